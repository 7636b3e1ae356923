// Runs the executor suite against this machine (as root and as an ordinary user) and the fake host.
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { accountName, ownUid } from "../../src/host/account.ts";
import { FakeHost } from "../../src/host/fake.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { listProcesses } from "../../src/host/process.ts";
import { shellPrograms } from "../support/shell-programs.ts";
import { type ExecutorBench, executorContract } from "./executor.ts";

const isRoot = process.geteuid?.() === 0;
const AS_NOBODY = "PGHERD_TEST_AS_NOBODY";

executorContract("local", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "pgherd-executor-"));
  chmodSync(scratch, 0o755);
  return {
    executor: new LocalExecutor("h1", systemClock),
    scratch,
    user: accountName(ownUid()),
    otherUser: isRoot ? "nobody" : undefined,
    programs: shellPrograms,
    close: async () => rmSync(scratch, { recursive: true, force: true }),
  };
});

executorContract("fake, as root", async () => fakeBench("root", "postgres"));
executorContract("fake, as an ordinary user", async () => fakeBench("postgres", undefined));

if (isRoot && process.env[AS_NOBODY] === undefined) {
  test("the local suite passes as an ordinary user too", async () => {
    // The sources may be readable by root only, so the suite is bundled for the other user.
    const directory = mkdtempSync(join(tmpdir(), "pgherd-nobody-"));
    afterAll(() => rmSync(directory, { recursive: true, force: true }));
    chmodSync(directory, 0o755);
    const built = await Bun.build({
      entrypoints: [import.meta.path],
      outdir: directory,
      target: "bun",
      naming: "executor.test.js",
      external: ["bun:test"],
    });
    expect(built.success).toBe(true);
    const bun = join(directory, "bun");
    await Bun.write(bun, Bun.file(process.execPath));
    chmodSync(bun, 0o755);
    const run = Bun.spawn(
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", bun, "test"],
      {
        cwd: directory,
        env: { PATH: "/usr/bin:/bin", HOME: directory, [AS_NOBODY]: "1" },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const said = await new Response(run.stderr).text();
    expect({ code: await run.exited, failed: said.match(/\d+ fail/)?.[0] }).toEqual({
      code: 0,
      failed: "0 fail",
    });
  }, 60_000);
}

test("a timeout ends everything the command started", async () => {
  const executor = new LocalExecutor("h1", systemClock, 300);
  const mark = `${31_000 + (process.pid % 1_000)}.125`;
  const result = await executor.run({
    argv: ["/bin/sh", "-c", `trap '' TERM; sleep ${mark} & sleep ${mark} & wait`],
    timeoutMs: 200,
  });
  expect(result.timedOut).toBe(true);
  const left = listProcesses().filter(({ name, pid }) => name === "sleep" && marked(pid, mark));
  expect(left).toEqual([]);
});

test("a daemon that keeps the pipe open does not keep the caller", async () => {
  const executor = new LocalExecutor("h1", systemClock);
  const result = await executor.run({
    argv: ["/bin/sh", "-c", "echo started; sleep 3 & exit 0"],
  });
  expect(result).toMatchObject({ exitCode: 0, stdout: "started\n" });
  expect(result.durationMs).toBeLessThan(2_500);
});

test("directories and files are never made or changed through a symlink", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "pgherd-symlink-"));
  const executor = new LocalExecutor("h1", systemClock);
  await executor.mkdir(join(scratch, "target"), { mode: 0o755 });
  symlinkSync(join(scratch, "target"), join(scratch, "link"));
  await expect(executor.mkdir(join(scratch, "link"), { mode: 0o700 })).rejects.toThrow();
  expect((await executor.stat(join(scratch, "target")))?.mode).toBe(0o755);
  await executor.put(join(scratch, "file"), "kept", { mode: 0o600 });
  symlinkSync(join(scratch, "file"), join(scratch, "planted"));
  await executor.put(join(scratch, "planted"), "new", { mode: 0o600 });
  expect(new TextDecoder().decode(await executor.get(join(scratch, "file")))).toBe("kept");
  await executor.remove(join(scratch, "link"));
  expect((await executor.stat(join(scratch, "target")))?.kind).toBe("directory");
  await executor.remove(scratch);
  expect(await executor.stat(scratch)).toBeUndefined();
});

function marked(pid: number, mark: string): boolean {
  return Bun.spawnSync(["cat", `/proc/${pid}/cmdline`])
    .stdout.toString()
    .includes(mark);
}

async function fakeBench(user: string, otherUser: string | undefined): Promise<ExecutorBench> {
  const host = new FakeHost("h1", systemClock, { user });
  host
    .program("say", ({ argv }) => ({
      stdout: argv[1] ?? "",
      stderr: argv[2] ?? "",
      exitCode: Number(argv[3]),
    }))
    .program("hang", (_, signal) => systemClock.sleep(600_000, signal).then(() => ({})))
    .program("flood", ({ argv }) => ({ stdout: `A${"x".repeat(Number(argv[1]) - 2)}Z` }))
    .program("cat", ({ stdin }) => ({ stdout: typeof stdin === "string" ? stdin : "" }))
    .program("env", ({ env }) => ({
      stdout: Object.entries({ PATH: "/bin", LANG: "C.UTF-8", ...env })
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    }))
    .program("id", (command) => ({ stdout: `${command.user ?? user}\n` }));
  await host.mkdir("/srv/scratch", { mode: 0o755 });
  return {
    executor: host,
    scratch: "/srv/scratch",
    user,
    otherUser,
    programs: {
      say: (out, err, code) => ["say", out, err, String(code)],
      hang: ["hang"],
      flood: (bytes) => ["flood", String(bytes)],
      cat: ["cat"],
      env: ["env"],
      whoAmI: ["id"],
    },
    close: async () => undefined,
  };
}
