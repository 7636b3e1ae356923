// A machine is looked at before it becomes a host: this one directly, over a real sshd, and a fake one.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import type { Executor } from "../../src/host/executor.ts";
import { FakeHost } from "../../src/host/fake.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { SshConnection } from "../../src/host/ssh/pool.ts";
import { SshExecutor } from "../../src/host/ssh/ssh-executor.ts";
import { type PreflightQuestions, preflightHost } from "../../src/operations/host-preflight.ts";
import { makeUser, sshdMissing, startSshd, type TestSshd } from "../support/sshd.ts";

const questions: PreflightQuestions = {
  directories: ["/nowhere/yet"],
  ports: [],
  postgresUser: "root",
  binDirs: [],
  reach: [],
};
const codes = async (executor: Executor, asked: Partial<PreflightQuestions> = {}) => {
  const { facts, problems } = await preflightHost(executor, systemClock, {
    ...questions,
    ...asked,
  });
  return { facts, codes: problems.map(({ code }) => code).filter((code) => code !== "not_root") };
};

function suite(name: string, executor: () => Executor): void {
  describe(`host preflight, ${name}`, () => {
    test("facts are those of the machine", async () => {
      const { facts } = await codes(executor());
      const uname = Bun.spawnSync(["uname", "-nm"]).stdout.toString().trim();
      expect(`${facts?.hostName} ${facts?.machine}`).toBe(uname);
      expect(Math.abs(facts?.clockAheadMs ?? 1e9)).toBeLessThanOrEqual(
        (facts?.clockErrorMs ?? 0) + 1,
      );
      expect(facts?.disks[0]).toMatchObject({ path: "/nowhere/yet" });
      expect(facts?.disks[0]?.freeBytes).toBeGreaterThan(0);
      expect(facts?.memoryBytes).toBeGreaterThan(1e8);
      for (const { version } of facts?.installations ?? []) expect(version).toMatch(/^\d+\.\d+/);
    });

    test("ports, users, clusters and what cannot be reached are told, all at once", async () => {
      const directory = mkdtempSync(join(tmpdir(), "pgherd-preflight-"));
      mkdirSync(join(directory, "old"));
      await Bun.write(join(directory, "old", "PG_VERSION"), "15\n");
      Bun.spawnSync(["chmod", "-R", "a+rX", directory]);
      const server = createServer().listen(0, "127.0.0.1");
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      const found = await codes(executor(), {
        ports: [port],
        postgresUser: "no-such-user",
        directories: [directory],
        reach: [
          { host: "127.0.0.1", port },
          { host: "127.0.0.1", port: 1 },
        ],
      });
      server.close();
      rmSync(directory, { recursive: true });
      expect(found.facts?.listening).toContain(port);
      expect(found.facts?.clusters).toContainEqual({ dataDir: `${directory}/old`, major: "15" });
      expect(found.codes.filter((code) => code !== "no_postgres")).toEqual([
        "port_in_use",
        "directory_in_use",
        "missing_user",
        "unreachable_from_host",
      ]);
    });
  });
}

suite("local", () => new LocalExecutor("h1", systemClock));

const missing = sshdMissing();
// A login shell may take its time for its start files, at every command.
setDefaultTimeout(20_000);
if (missing !== undefined) {
  console.log(`host preflight over ssh: skipped: ${missing}`);
  test.skip(`host preflight over ssh: ${missing}`, () => undefined);
} else {
  const sshd: TestSshd = await startSshd();
  const user = makeUser({ sudo: true });
  const sudo = new SshConnection(sshd.target({ user: user.name, become: "sudo" }), systemClock);
  const plain = new SshConnection(sshd.target({ user: user.name }), systemClock);
  afterAll(async () => {
    await sudo.close();
    await plain.close();
    await sshd.stop();
    user.remove();
  });
  suite("ssh by sudo", () => new SshExecutor(sudo, systemClock));

  test("a login without root's rights is told", async () => {
    const { facts, problems } = await preflightHost(
      new SshExecutor(plain, systemClock),
      systemClock,
      questions,
    );
    expect(facts?.isRoot).toBe(false);
    expect(problems.map(({ code }) => code)).toContain("not_root");
  });

  test("a host that refuses us is a problem, not an exception", async () => {
    const wrong = new SshConnection(sshd.target({ port: 1 }), systemClock);
    const found = await codes(new SshExecutor(wrong, systemClock));
    expect(found).toEqual({ facts: undefined, codes: ["host_unreachable"] });
  });
}

test("a clock that is off, a full disk and another machine are told", async () => {
  const host = new FakeHost("h1", systemClock);
  const late = systemClock.nowMs() - 600_000;
  const say = (stdout: string) => () => ({ stdout });
  host
    .program("uname", ({ argv }) => ({ stdout: argv[1] === "-m" ? "riscv64" : "h1" }))
    .program("id", say("0"))
    .program("date", say(String(late)))
    .program("nproc", say("2"))
    .program("df", say("Filesystem 1024-blocks Used Available\n/dev/sda 1000 990 10 99% /"))
    .program("find", say(""))
    .program("cat", say(""));
  await host.mkdir("/proc", { mode: 0o755 });
  await host.put("/proc/meminfo", "MemTotal: 2000 kB\n", { mode: 0o444 });
  const { codes: found } = await codes(host);
  expect(found).toEqual(["unsupported", "clock_off", "disk_full", "no_postgres"]);
});
