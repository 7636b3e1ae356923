// Runs the executor suite against another host over mutual TLS, and what is particular to that way.

import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { systemClock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { accountName, ownUid } from "../../src/host/account.ts";
import { listProcesses, readArguments } from "../../src/host/process.ts";
import type { PeerCredentials } from "../../src/peer/credentials.ts";
import { keyFingerprint } from "../../src/peer/credentials.ts";
import { listenForPeers } from "../../src/peer/listener.ts";
import { PlanFences } from "../../src/peer/plan-fences.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { issueFor, newAuthority, PeerHost, silentLog } from "../support/peer-host.ts";
import { shellPrograms } from "../support/shell-programs.ts";
import { executorContract } from "./executor.ts";

const isRoot = process.geteuid?.() === 0;
let authority: Authority;
let directory: string;
let caller: PeerCredentials;
beforeAll(async () => {
  authority = await newAuthority();
  directory = mkdtempSync(join(tmpdir(), "pgherd-caller-"));
  caller = await issueFor(authority, "caller", directory);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

executorContract("peer", async () => {
  const host = await PeerHost.start(authority, "h2");
  const scratch = mkdtempSync(join(tmpdir(), "pgherd-executor-"));
  chmodSync(scratch, 0o755);
  return {
    executor: host.executorFor(caller),
    scratch,
    user: accountName(ownUid()),
    otherUser: isRoot ? "nobody" : undefined,
    programs: shellPrograms,
    close: async () => {
      rmSync(scratch, { recursive: true, force: true });
      await host.stop();
    },
  };
});

const hosts: PeerHost[] = [];
const open = async (hostId: string) => {
  const host = await PeerHost.start(authority, hostId);
  hosts.push(host);
  return host;
};
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});

test("without the cluster's certificate nothing answers, whatever the certificate says", async () => {
  const host = await open("h2");
  const foreign = mkdtempSync(join(tmpdir(), "pgherd-foreign-"));
  const stranger = await issueFor(await newAuthority(), "caller", foreign);
  rmSync(foreign, { recursive: true });
  const url = `https://127.0.0.1:${host.listener.port}/v1/internal/host/ping`;
  const reach = (tls: object) => fetch(url, { tls: { ca: caller.ca, ...tls } });
  const keyed = ({ cert, key }: PeerCredentials) => ({ cert, key: key.reveal() });
  expect((await reach(keyed(caller))).status).toBe(200);
  for (let round = 0; round < 20; round++) {
    await expect(reach({})).rejects.toThrow();
    await expect(reach(keyed(stranger))).rejects.toThrow();
    await expect(reach({ ...keyed(stranger), serverName: "h2" })).rejects.toThrow();
  }
  await expect(fetch(url.replace("https", "http"))).rejects.toThrow();
  expect((await reach(keyed(caller))).status).toBe(200);
});

test("a host that answers in place of the one meant is not believed", async () => {
  const host = await open("h2");
  const run = host.executorFor(caller, undefined, "h3").stat("/etc");
  await expect(run).rejects.toThrow("host h3 (127.0.0.1");
  await expect(run).rejects.toThrow("host h2 answers there");
});

test("a host of another cluster is not believed", async () => {
  const host = await PeerHost.start(await newAuthority(), "h2");
  hosts.push(host);
  const failed = await host
    .executorFor(caller)
    .stat("/etc")
    .catch((error: unknown) => error);
  expect(failed).toMatchObject({ kind: "retryable" });
  expect(String(failed)).toContain("host h2");
});

test("a host that was removed is refused, whatever its certificate says, and so is another's key", async () => {
  const known = new Map([[caller.hostId, keyFingerprint(caller.cert)]]);
  let readable = true;
  const host = await PeerHost.start(authority, "h2", {
    admits: async ({ hostId, key }) => (readable ? known.get(hostId) === key : undefined),
  });
  hosts.push(host);
  expect((await host.executorFor(caller).stat("/etc"))?.kind).toBe("directory");
  const forged = await issueFor(authority, caller.hostId, host.directory);
  await expect(host.executorFor(forged).stat("/etc")).rejects.toThrow("not in the cluster");
  readable = false;
  await expect(host.executorFor(caller).stat("/etc")).rejects.toThrow("cannot tell whether");
  readable = true;
  known.delete(caller.hostId);
  await expect(host.executorFor(caller).stat("/etc")).rejects.toThrow("not in the cluster");
  const run = host.executorFor(caller).run({ argv: ["true"] });
  await expect(run).rejects.toThrow("not in the cluster");
});

test("a renewed certificate is used by new connections and drops no old one", async () => {
  const host = await open("h2");
  const executor = host.executorFor(caller);
  const lines: string[] = [];
  const running = executor.run(
    { argv: ["/bin/sh", "-c", "echo before; read go; echo after"], stdin: "" },
    { onLine: (_, line) => lines.push(line) },
  );
  const slow = executor.run({ argv: ["/bin/sh", "-c", "sleep 0.5; echo done"] });
  const serial = () =>
    new Promise<string>((resolve, reject) => {
      const { ca, cert, key } = caller;
      const socket = connect(
        { port: host.listener.port, host: "127.0.0.1", ca, cert, key: key.reveal() },
        () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.end();
        },
      );
      socket.on("error", reject);
    });
  const before = await serial();
  host.listener.renew(await issueFor(authority, "h2", host.directory));
  expect(await serial()).not.toBe(before);
  expect(await slow).toMatchObject({ exitCode: 0, stdout: "done\n" });
  expect((await running).stdout).toBe("before\nafter\n");
  expect(lines).toEqual(["before", "after"]);
  expect((await executor.stat("/etc"))?.kind).toBe("directory");
});

test("an aborted command has ended on the other host when the call returns", async () => {
  const host = await open("h2");
  const controller = new AbortController();
  const mark = `${32_000 + (process.pid % 1_000)}.25`;
  const started = Promise.withResolvers<void>();
  const running = host
    .executorFor(caller)
    .run(
      { argv: ["/bin/sh", "-c", `echo up; sleep ${mark}; true`] },
      { signal: controller.signal, onLine: () => started.resolve() },
    );
  await started.promise;
  controller.abort();
  expect(await running).toMatchObject({ cancelled: true, stdout: "up\n" });
  expect(living(mark)).toEqual([]);
});

test("a caller that vanishes ends its command", async () => {
  const host = await open("h2");
  const mark = `${33_000 + (process.pid % 1_000)}.25`;
  const { ca, cert, key } = caller;
  const gone = new AbortController();
  const answer = await fetch(`https://127.0.0.1:${host.listener.port}/v1/internal/host/run`, {
    method: "POST",
    body: JSON.stringify({ id: "r1", command: { argv: ["sleep", mark] }, lines: false }),
    tls: { ca, cert, key: key.reveal() },
    signal: gone.signal,
  });
  await answer.body?.getReader().read();
  while (living(mark).length === 0) await systemClock.sleep(5);
  gone.abort();
  while (living(mark).length > 0) await systemClock.sleep(5);
});

test("a lost connection is retryable and names the host", async () => {
  const host = await open("h2");
  const started = Promise.withResolvers<void>();
  const running = host
    .executorFor(caller)
    .run({ argv: ["/bin/sh", "-c", "echo up; sleep 60"] }, { onLine: () => started.resolve() });
  await started.promise;
  await host.listener.stop();
  const lost = await running.catch((error: unknown) => error);
  expect(lost).toBeInstanceOf(AppError);
  expect(lost).toMatchObject({ kind: "retryable" });
  expect(String(lost)).toContain("host h2");
  await expect(host.executorFor(caller).list("/etc")).rejects.toThrow("host h2 (127.0.0.1");
});

test("work of a plan waits for a server that only restarts; a question does not", async () => {
  const host = await open("h2");
  const plan = { databaseId: "shop", generation: 1, epoch: 1, createdAtMs: 1 };
  const { port } = host.listener;
  await host.listener.stop();
  await expect(host.executorFor(caller).list("/etc")).rejects.toThrow("ECONNREFUSED");
  const waiting = host.executorFor(caller, plan).run({ argv: ["echo", "here"] });
  await systemClock.sleep(500);
  const again = await listenForPeers({
    hostname: "127.0.0.1",
    port,
    credentials: host.credentials,
    routes: host.routes,
    log: silentLog,
    admits: async () => true,
  });
  expect(await waiting).toMatchObject({ exitCode: 0, stdout: "here\n" });
  await again.stop();
});

test("a host that accepts and says nothing is given up in bounded time", async () => {
  const mute = createServer(() => undefined);
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  const address = mute.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const host = await open("h2");
  const through = Object.assign(Object.create(host), { listener: { port } });
  const executor = PeerHost.prototype.executorFor.call(through, caller, undefined, "h2");
  const startedMs = systemClock.monotonicMs();
  const failed = await executor.run({ argv: ["true"] }).catch((error: unknown) => error);
  expect(failed).toMatchObject({ kind: "retryable" });
  expect(String(failed)).toContain("nothing came for");
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(10_000);
  mute.close();
}, 15_000);

test("an older plan is refused, also after a restart; what only looks is not", async () => {
  const host = await open("h2");
  const at = (name: string) => join(host.directory, name);
  const plan = { databaseId: "shop", generation: 5, epoch: 3, createdAtMs: 1_000 };
  const as = (change: object, through = host) =>
    through.executorFor(caller, { ...plan, ...change });
  await as({}).put(at("f"), "5", { mode: 0o600 });
  await as({}).put(at("f"), "5 again", { mode: 0o600 });
  for (const old of [{ generation: 4 }, { epoch: 2, generation: 9 }]) {
    await expect(as(old).put(at("f"), "old", { mode: 0o600 })).rejects.toThrow("outdated");
    await expect(as(old).run({ argv: ["touch", at("old")] })).rejects.toThrow("outdated");
    await expect(as(old).mkdir(at("old"), { mode: 0o700 })).rejects.toThrow("outdated");
    await expect(as(old).remove(at("f"))).rejects.toThrow("outdated");
    expect(await as(old).list(host.directory)).not.toContain("old");
  }
  expect(existsSync(at("old"))).toBe(false);
  const restarted = new PlanFences(at("plans.json"));
  expect(() => restarted.pass({ ...plan, generation: 4 })).toThrow("outdated");
  restarted.pass(plan);
  await as({ databaseId: "other", generation: 1 }).put(at("g"), "", { mode: 0o600 });
  // Another database under the same id begins anew.
  await as({ generation: 1, createdAtMs: 2_000 }).put(at("f"), "1", { mode: 0o600 });
  await expect(as({ epoch: 1 }).put(at("f"), "", { mode: 0o600 })).rejects.toThrow("outdated");
});

function living(mark: string) {
  return listProcesses().filter(
    ({ pid, name, state }) =>
      name === "sleep" && state !== "Z" && readArguments(pid).includes(mark),
  );
}
