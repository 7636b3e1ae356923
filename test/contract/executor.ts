// What every executor must do, whatever reaches the host. Each implementation calls this suite with
// the programs it has; the expectations are the same for all.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { commandOutputBytesMax } from "../../src/base/limits.ts";
import type { Executor } from "../../src/host/executor.ts";

type Argv = readonly [string, ...string[]];

/** An executor under test, an empty directory of its own, and programs with known behaviour. */
export interface ExecutorBench {
  readonly executor: Executor;
  /** Absolute path of an existing, empty directory. */
  readonly scratch: string;
  /** The executor's own user, and one that it can become; undefined when it cannot. */
  readonly user: string;
  readonly otherUser: string | undefined;
  readonly programs: {
    /** Prints `out` to stdout and `err` to stderr and exits with `code`. */
    readonly say: (out: string, err: string, code: number) => Argv;
    /** Never ends by itself. */
    readonly hang: Argv;
    /** Prints `bytes` bytes: an "A", many "x", a "Z". */
    readonly flood: (bytes: number) => Argv;
    /** Prints its stdin. */
    readonly cat: Argv;
    /** Prints its environment, one NAME=value a line. */
    readonly env: Argv;
    /** Prints the name of its user. */
    readonly whoAmI: Argv;
  };
  readonly close: () => Promise<void>;
}

export function executorContract(name: string, open: () => Promise<ExecutorBench>): void {
  describe(`executor: ${name}`, () => {
    let bench: ExecutorBench;
    let host: Executor;
    beforeEach(async () => {
      bench = await open();
      host = bench.executor;
    });
    afterEach(() => bench.close());
    commandContract(() => bench);
    userContract(() => bench);
    fileContract(() => ({ host, at: (path: string) => `${bench.scratch}/${path}`, bench }));
    directoryContract(() => ({ host, at: (path: string) => `${bench.scratch}/${path}`, bench }));
  });
}

function commandContract(bench: () => ExecutorBench): void {
  test("a command's output, status and time come back", async () => {
    const { executor, programs } = bench();
    const result = await executor.run({ argv: programs.say("out\n", "err\n", 0) });
    expect(result).toMatchObject({
      exitCode: 0,
      signal: null,
      timedOut: false,
      cancelled: false,
      truncated: false,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect(result.durationMs).toBeGreaterThanOrEqual(0);
  });

  test("a command that fails is a result", async () => {
    const { executor, programs } = bench();
    const result = await executor.run({ argv: programs.say("", "no\n", 7), label: "the label" });
    expect(result).toMatchObject({ exitCode: 7, stderr: "no\n", command: "the label" });
  });

  test("a program that does not exist ends with 127, as in a shell", async () => {
    const result = await bench().executor.run({ argv: ["no-such-program-here"] });
    expect(result.exitCode).toBe(127);
    expect(result.stderr).toContain("not found");
  });

  test("a working directory that does not exist is an exception", async () => {
    const { executor, programs, scratch } = bench();
    const run = executor.run({ argv: programs.env, cwd: `${scratch}/none` });
    await expect(run).rejects.toThrow("working directory");
  });

  test("stdin arrives, the environment is minimal plus what was given", async () => {
    const { executor, programs } = bench();
    const text = "line\n".repeat(50_000);
    expect((await executor.run({ argv: programs.cat, stdin: text })).stdout).toBe(text);
    const { stdout } = await executor.run({ argv: programs.env, env: { GIVEN: "a b" } });
    const names = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("=")[0]);
    expect(stdout).toContain("GIVEN=a b\n");
    expect(stdout).toContain("LANG=C.UTF-8\n");
    const allowed = ["GIVEN", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    expect(names.filter((line) => !allowed.includes(line ?? ""))).toEqual([]);
  });

  test("lines are handed on, the last one also without an end", async () => {
    const { executor, programs } = bench();
    const lines: string[] = [];
    await executor.run(
      { argv: programs.say("a\nb\nc", "e\n", 0) },
      { onLine: (stream, line) => lines.push(`${stream} ${line}`) },
    );
    expect(lines.sort()).toEqual(["stderr e", "stdout a", "stdout b", "stdout c"]);
  });

  test("of too much output the beginning and the end are kept", async () => {
    const { executor, programs } = bench();
    const { stdout, truncated } = await executor.run({
      argv: programs.flood(3 * commandOutputBytesMax),
    });
    expect(truncated).toBe(true);
    expect(stdout.length).toBeLessThan(commandOutputBytesMax + 100);
    expect([stdout[0], stdout.at(-1)]).toEqual(["A", "Z"]);
    expect(stdout).toContain(`${2 * commandOutputBytesMax} bytes left out`);
  });

  test("a command past its time is ended", async () => {
    const { executor, programs } = bench();
    const result = await executor.run({ argv: programs.hang, timeoutMs: 50 });
    expect(result).toMatchObject({ timedOut: true, cancelled: false, exitCode: null });
  });

  test("a cancelled command is ended; one cancelled before is not started", async () => {
    const { executor, programs } = bench();
    const controller = new AbortController();
    const running = executor.run({ argv: programs.hang }, { signal: controller.signal });
    controller.abort();
    expect(await running).toMatchObject({ cancelled: true, timedOut: false, exitCode: null });
    const refused = executor.run({ argv: programs.env }, { signal: controller.signal });
    await expect(refused).rejects.toThrow();
  });
}

function userContract(bench: () => ExecutorBench): void {
  test("a command runs as the user it names, or is refused", async () => {
    const { executor, programs, user, otherUser } = bench();
    expect((await executor.run({ argv: programs.whoAmI, user })).stdout.trim()).toBe(user);
    if (otherUser !== undefined) {
      const result = await executor.run({ argv: programs.whoAmI, user: otherUser });
      expect(result.stdout.trim()).toBe(otherUser);
    } else {
      const stranger = user === "root" ? "postgres" : "root";
      const run = executor.run({ argv: programs.whoAmI, user: stranger });
      await expect(run).rejects.toThrow("only root");
    }
    const unknown = executor.run({ argv: programs.whoAmI, user: "no-such-user" });
    await expect(unknown).rejects.toThrow("no user");
  });
}

type Place = () => { host: Executor; at: (path: string) => string; bench: ExecutorBench };

function fileContract(place: Place): void {
  test("a file is written whole, with mode and owner, and read back", async () => {
    const { host, at, bench } = place();
    await host.put(at("f"), "one", { mode: 0o640 });
    await host.put(at("f"), new Uint8Array([0, 255, 10]), { mode: 0o600, owner: bench.user });
    expect(await host.get(at("f"))).toEqual(new Uint8Array([0, 255, 10]));
    expect(await host.stat(at("f"))).toMatchObject({
      kind: "file",
      mode: 0o600,
      owner: bench.user,
      sizeBytes: 3,
    });
    expect(await host.list(bench.scratch)).toEqual(["f"]);
  });

  test("a file can be given away only by root", async () => {
    const { host, at, bench } = place();
    const owner = bench.otherUser ?? (bench.user === "root" ? "postgres" : "root");
    const put = host.put(at("f"), "x", { mode: 0o600, owner });
    if (bench.otherUser === undefined) {
      await expect(put).rejects.toThrow("only root");
      expect(await host.list(bench.scratch)).toEqual([]);
      return;
    }
    await put;
    expect((await host.stat(at("f")))?.owner).toBe(owner);
  });

  test("what is not there is undefined; what is no file, or too long, is an error", async () => {
    const { host, at } = place();
    expect(await host.get(at("none"))).toBeUndefined();
    expect(await host.stat(at("none/deeper"))).toBeUndefined();
    await host.put(at("f"), "12345", { mode: 0o600 });
    expect(await host.get(at("f"), { bytesMax: 5 })).toHaveLength(5);
    const long = "0123456789".repeat(1_000);
    await host.put(at("long"), long, { mode: 0o600 });
    expect(new TextDecoder().decode(await host.get(at("long")))).toBe(long);
    await expect(host.get(at("f"), { bytesMax: 4 })).rejects.toThrow("longer than 4 bytes");
    await host.mkdir(at("d"), { mode: 0o700 });
    await expect(host.get(at("d"))).rejects.toThrow("not a file");
    await expect(host.put(at("none/f"), "x", { mode: 0o600 })).rejects.toThrow("ENOENT");
    await expect(host.put(at("d"), "x", { mode: 0o600 })).rejects.toThrow("EISDIR");
    expect(await host.list(at("d"))).toEqual([]);
  });

  test("paths that do not name one place are refused", async () => {
    const { host, at } = place();
    for (const path of ["relative", at("a/../b"), at("a//b"), at("z\0"), ""]) {
      await expect(host.get(path)).rejects.toThrow("normalised");
      await expect(host.put(path, "", { mode: 0o600 })).rejects.toThrow("normalised");
      await expect(host.remove(path)).rejects.toThrow("normalised");
    }
  });
}

function directoryContract(place: Place): void {
  test("directories are made with their parents; mode and owner are those of the last", async () => {
    const { host, at, bench } = place();
    await host.mkdir(at("a/b/c"), { mode: 0o700 });
    expect(await host.stat(at("a/b/c"))).toMatchObject({ kind: "directory", mode: 0o700 });
    expect((await host.stat(at("a/b")))?.mode).toBe(0o755);
    await host.mkdir(at("a/b"), { mode: 0o750, owner: bench.user });
    expect((await host.stat(at("a/b")))?.mode).toBe(0o750);
    expect((await host.stat(at("a/b/c")))?.mode).toBe(0o700);
    await host.put(at("f"), "x", { mode: 0o600 });
    await expect(host.mkdir(at("f/d"), { mode: 0o700 })).rejects.toThrow();
  });

  test("a tree is removed whole; nothing there is success", async () => {
    const { host, at, bench } = place();
    await host.mkdir(at("a/b"), { mode: 0o700 });
    await host.put(at("a/b/f"), "x", { mode: 0o600 });
    await host.put(at("ab"), "x", { mode: 0o600 });
    expect(await host.list(at("a"))).toEqual(["b"]);
    await host.remove(at("a"));
    await host.remove(at("a"));
    expect(await host.list(bench.scratch)).toEqual(["ab"]);
    expect(await host.list(at("a"))).toEqual([]);
  });

  test("the root and its children are never removed", async () => {
    const { host } = place();
    for (const path of ["/", "/var"]) await expect(host.remove(path)).rejects.toThrow("refusing");
  });
}
