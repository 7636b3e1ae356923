import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../../src/base/fake-clock.ts";
import { freshProbeBelievedMs, freshProbeTimeoutMs } from "../../../src/base/limits.ts";
import { FreshProbe, probeOnce } from "./fresh-probe.ts";

const directory = mkdtempSync(join(tmpdir(), "pgherd-fresh-probe-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Listens in the place of a postmaster, and tells of every startup packet. */
function postmaster(name: string, answers: boolean) {
  const path = join(directory, name);
  const waiting: (() => void)[] = [];
  let packets = 0;
  const server = Bun.listen({
    unix: path,
    socket: {
      data(socket) {
        packets += 1;
        if (answers) socket.write("R");
        waiting.shift()?.();
      },
    },
  });
  return {
    path,
    packets: () => packets,
    next: () => new Promise<void>((resolve) => waiting.push(resolve)),
    end: () => server.stop(true),
  };
}

test("any first byte is an answer, none in time is silence, and without a socket nobody listens", async () => {
  const clock = new FakeClock();
  const living = postmaster("answers", true);
  expect(await probeOnce(living.path, clock)).toBe("answers");
  const hung = postmaster("silent", false);
  const asked = hung.next();
  const outcome = probeOnce(hung.path, clock);
  await asked;
  await clock.advance(freshProbeTimeoutMs);
  expect(await outcome).toBe("silent");
  living.end();
  hung.end();
  expect(await probeOnce(join(directory, "nobody"), clock)).toBe("refused");
});

test("a postmaster that answered is believed for a while; after a start it is asked at once", async () => {
  const clock = new FakeClock();
  const server = postmaster("believed", true);
  let path: string | undefined = server.path;
  const probe = new FreshProbe({
    clock,
    boot: { bootMs: () => clock.monotonicMs(), bootId: () => "boot" },
    socketPath: () => path,
    postmasterPid: () => undefined,
    believedMs: () => freshProbeBelievedMs,
    onChange: () => undefined,
  });
  const packetsAfter = async (ms: number) => {
    await clock.advance(ms);
    await probe.look();
    return server.packets();
  };
  expect(await packetsAfter(0)).toBe(1);
  expect(await packetsAfter(freshProbeBelievedMs - 1)).toBe(1);
  expect(await packetsAfter(1)).toBe(2);
  path = undefined;
  expect(await packetsAfter(1)).toBe(2);
  path = server.path;
  expect(await packetsAfter(1)).toBe(3);
  server.end();
  for (let n = 1; n <= 3; n++) {
    expect(probe.hungSinceMs).toBeUndefined();
    await packetsAfter(freshProbeBelievedMs);
  }
  expect(probe.hungSinceMs).toBe(clock.monotonicMs() - 2 * freshProbeBelievedMs);
});
