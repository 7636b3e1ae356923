// What can go wrong on the way to an SSH host, and what must hold then, against a real sshd.
import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { Secret } from "../../src/base/secret.ts";
import { listProcesses, readArguments, sendSignal } from "../../src/host/process.ts";
import type { SshTarget } from "../../src/host/ssh/connect.ts";
import { listenForward, openForward } from "../../src/host/ssh/forward.ts";
import type { HostKey } from "../../src/host/ssh/known-hosts.ts";
import { SshConnection, type SshOptions } from "../../src/host/ssh/pool.ts";
import { SshExecutor } from "../../src/host/ssh/ssh-executor.ts";
import { makeUser, sshdMissing, startSshd } from "../support/sshd.ts";

const missing = sshdMissing();
// A login shell may take its time for its start files, at every command.
setDefaultTimeout(20_000);
const keepalive = { keepaliveIntervalMs: 100, keepaliveMissesMax: 2 };

if (missing !== undefined) {
  console.log(`ssh faults: skipped: ${missing}`);
  test.skip(`ssh faults: ${missing}`, () => undefined);
} else {
  const sshd = await startSshd();
  const user = makeUser({ sudo: true });
  const open: SshConnection[] = [];
  afterEach(async () => {
    for (const connection of open.splice(0)) await connection.close();
  });
  afterAll(async () => {
    await sshd.stop();
    user.remove();
  });
  const connect = (target: Partial<SshTarget> = {}, options: SshOptions = {}) => {
    const connection = new SshConnection(sshd.target(target), systemClock, options);
    open.push(connection);
    return connection;
  };
  const executor = (target: Partial<SshTarget> = {}, options: SshOptions = {}) =>
    new SshExecutor(connect(target, options), systemClock, 300);
  const whoAmI = async (target: Partial<SshTarget>) =>
    (await executor(target).run({ argv: ["id", "-un"] })).stdout.trim();

  test("a host key other than the pinned one is refused for good, with both named", async () => {
    const fingerprint = `SHA256:${"A".repeat(43)}`;
    const run = executor({ hostKey: { kind: "pinned", fingerprint } }).run({ argv: ["true"] });
    await expect(run).rejects.toMatchObject({ kind: "terminal", phase: "host key", hostId: "h1" });
    await expect(run).rejects.toThrow(fingerprint);
    expect(() => connect({ hostKey: { kind: "pinned", fingerprint: "MD5:00" } })).toThrow(
      "fingerprint",
    );
    expect(() => connect({ hostKey: { kind: "pinned", key: "ssh-ed25519 AAAA" } })).toThrow(
      "public key",
    );
  });

  test("host keys are pinned by key of any type, by fingerprint, or learned once", async () => {
    const learned: HostKey[] = [];
    const onLearn = (key: HostKey) => void learned.push(key);
    const learner = executor({ hostKey: { kind: "learn", onLearn } }, { idleCloseMs: 0 });
    await learner.run({ argv: ["true"] });
    await gone(() => sshd.sessions().length === 0);
    await learner.run({ argv: ["true"] });
    expect(learned).toHaveLength(1);
    const [{ fingerprint, key }] = [learned[0] ?? { fingerprint: "", key: "" }];
    expect(sshd.hostKeys.ed25519).toStartWith(key);
    expect(await whoAmI({ hostKey: { kind: "pinned", fingerprint } })).toBe("root");
    expect(await whoAmI({ hostKey: { kind: "pinned", key: sshd.hostKeys.rsa } })).toBe("root");
    const refuse = () => {
      throw new Error("nobody agreed");
    };
    const run = executor({ hostKey: { kind: "learn", onLearn: refuse } }).run({ argv: ["true"] });
    await expect(run).rejects.toThrow("nobody agreed");
  });

  test("rsa keys, keys with a passphrase and agents get in; others do not", async () => {
    const rsa = sshd.authorise("rsa", "-t", "rsa", "-b", "2048");
    expect(await whoAmI({ auth: { kind: "key", privateKey: rsa } })).toBe("root");
    const locked = sshd.authorise("locked", "-t", "ed25519", "-N", "open sesame");
    const passphrase = new Secret("open sesame");
    const auth = { kind: "key", privateKey: locked } as const;
    expect(await whoAmI({ auth: { ...auth, passphrase } })).toBe("root");
    for (const wrong of [auth, { ...auth, passphrase: new Secret("hunter2 hunter2") }]) {
      const run = executor({ auth: wrong }).run({ argv: ["true"] });
      await expect(run).rejects.toMatchObject({ kind: "terminal", phase: "authenticate" });
      await expect(run).rejects.not.toThrow("hunter2");
    }
    const stranger = await startSshd();
    const other = stranger.authorise("other", "-t", "ed25519");
    await stranger.stop();
    const run = executor({ auth: { kind: "key", privateKey: other } }).run({ argv: ["true"] });
    await expect(run).rejects.toMatchObject({ kind: "terminal", phase: "authenticate" });
    await withAgent(join(sshd.directory, "rsa"), async (socket) => {
      expect(await whoAmI({ auth: { kind: "agent", socket } })).toBe("root");
    });
  });

  test("a host that is not there or never answers is worth another try", async () => {
    const none = executor({ address: "no-such-host.invalid" }).run({ argv: ["true"] });
    await expect(none).rejects.toMatchObject({ kind: "retryable", phase: "resolve" });
    const refused = executor({ port: 1 }).run({ argv: ["true"] });
    await expect(refused).rejects.toMatchObject({ kind: "retryable", phase: "connect" });
    const silent = createServer(() => undefined).listen(0, "127.0.0.1");
    const address = silent.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const timings = { connectTimeoutMs: 200 };
    const hung = executor({ port }, { timings }).run({ argv: ["true"] });
    await expect(hung).rejects.toMatchObject({ kind: "retryable", phase: "host key" });
    silent.close();
  });

  test("a frozen sshd is noticed by its silence; afterwards a new connection is made", async () => {
    const host = executor({}, { timings: keepalive });
    const mark = freshMark();
    const freeze = () => sshd.sessions().filter((pid) => sendSignal(pid, "SIGSTOP"));
    let frozen: readonly number[] = [];
    const run = host.run(
      { argv: ["/bin/sh", "-c", `echo go; sleep ${mark}; true`] },
      {
        onLine: () => {
          frozen = freeze();
        },
      },
    );
    await expect(run).rejects.toMatchObject({ kind: "retryable", phase: "channel" });
    for (const pid of frozen) sendSignal(pid, "SIGCONT");
    await gone(() => marked(mark).length === 0);
    expect((await host.run({ argv: ["echo", "again"] })).stdout).toBe("again\n");
    // Frozen while idle: the command has not begun, so it is begun anew.
    frozen = freeze();
    expect((await host.run({ argv: ["echo", "anew"] })).stdout).toBe("anew\n");
    for (const pid of frozen) sendSignal(pid, "SIGCONT");
  });

  for (const [name, target] of [
    ["root", {}],
    ["a user with sudo", { user: user.name, become: "sudo" }],
  ] as const) {
    test(`a connection cut under a command of ${name} fails it and ends its process`, async () => {
      const host = executor(target);
      const mark = freshMark();
      const run = host.run(
        { argv: ["/bin/sh", "-c", `echo go; sleep ${mark}; true`] },
        { onLine: () => sshd.sessions().map((pid) => sendSignal(pid, "SIGKILL")) },
      );
      await expect(run).rejects.toMatchObject({ kind: "retryable", phase: "channel" });
      await gone(() => marked(mark).length === 0);
      expect((await host.run({ argv: ["echo", "again"] })).stdout).toBe("again\n");
    });

    test(`a cancelled command of ${name} leaves no process, however stubborn`, async () => {
      const host = executor(target);
      const mark = freshMark();
      const controller = new AbortController();
      const result = await host.run(
        {
          argv: ["/bin/sh", "-c", `trap '' TERM; sleep ${mark} & echo go; sleep ${mark} & wait`],
          // More than a pipe holds, and nobody reads it.
          stdin: "x".repeat(1_000_000),
        },
        { signal: controller.signal, onLine: () => controller.abort() },
      );
      expect(result).toMatchObject({ cancelled: true, exitCode: null, stdout: "go\n" });
      expect(marked(mark)).toEqual([]);
    });
  }

  test("a command past its time leaves no process either", async () => {
    const mark = freshMark();
    const result = await executor().run({ argv: ["sleep", mark], timeoutMs: 500 });
    expect(result).toMatchObject({ timedOut: true, exitCode: null, signal: "SIGTERM" });
    expect(marked(mark)).toEqual([]);
  });

  test("a command starts with no signal ignored", async () => {
    const argv = ["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"] as const;
    const { stdout } = await executor().run({ argv });
    expect(stdout).toMatch(/^SigBlk:\s0+\nSigIgn:\s0+\n$/);
  });

  test("a cancelled transfer leaves the file as it was, and nothing beside it", async () => {
    const directory = mkdtempSync(join(tmpdir(), "pgherd-cancelled-"));
    const path = join(directory, "file");
    for (const target of [{}, { user: user.name, become: "sudo" }] as const) {
      const host = executor(target);
      await host.put(path, "kept", { mode: 0o600 });
      const controller = new AbortController();
      const content = new Uint8Array(50_000_000);
      const put = host.put(path, content, { mode: 0o600, signal: controller.signal });
      // With sudo nothing is in the directory before all of the content is on the host.
      if (!("become" in target)) await gone(() => readdirSync(directory).length === 2);
      controller.abort();
      await expect(put).rejects.toThrow();
      await gone(() => readdirSync(directory).length === 1);
      expect(new TextDecoder().decode(await host.get(path))).toBe("kept");
    }
    rmSync(directory, { recursive: true });
  });

  test("a signal that ends a command is told; a daemon that keeps the pipe open is left alone", async () => {
    const host = executor({ user: user.name });
    const killed = await host.run({ argv: ["/bin/sh", "-c", "kill -KILL $$"] });
    expect(killed).toMatchObject({ exitCode: null, signal: "SIGKILL", timedOut: false });
    const mark = freshMark();
    const started = await host.run({ argv: ["/bin/sh", "-c", `echo up; sleep ${mark} & exit 0`] });
    expect(started).toMatchObject({ exitCode: 0, stdout: "up\n" });
    const left = marked(mark);
    expect(left).toHaveLength(1);
    for (const pid of left) sendSignal(pid, "SIGKILL");
  });

  test("what a login shell prints is not output; variables are no arguments", async () => {
    await Bun.write(`/home/${user.name}/.bashrc`, "echo noise; printf more >&2\n");
    const host = executor({ user: user.name, become: "sudo" });
    const result = await host.run({
      argv: ["/bin/sh", "-c", "cat /proc/[0-9]*/cmdline 2>&-; printenv PRIVATE >&2"],
      env: { PRIVATE: "swordfish-41" },
    });
    expect(result.stderr).toBe("swordfish-41\n");
    expect(result.stdout).toContain("sshd");
    expect(result.stdout).not.toMatch(/noise|swordfish-41/);
  });

  test("many commands share one connection, a few at a time; idle, it is closed", async () => {
    const host = executor({ user: user.name }, { idleCloseMs: 100 });
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, index) => host.run({ argv: ["echo", String(index)] })),
    );
    expect(results.map(({ stdout }) => Number(stdout))).toEqual([...Array(30).keys()]);
    await gone(() => sshd.sessions().length === 0);
  });

  test("a host that allows fewer sessions is waited for", async () => {
    const strict = await startSshd(["MaxSessions 2"]);
    const key = { kind: "pinned", key: strict.hostKeys.ed25519 } as const;
    const privateKey = strict.authorise("strict", "-t", "ed25519");
    const host = executor(
      { port: strict.port, hostKey: key, auth: { kind: "key", privateKey } },
      { channelsMax: 8 },
    );
    const run = (index: number) => host.run({ argv: ["echo", String(index)] });
    try {
      const results = await Promise.all(Array.from({ length: 10 }, (_, index) => run(index)));
      expect(results.every(({ exitCode }) => exitCode === 0)).toBe(true);
    } finally {
      await strict.stop();
    }
  });

  test("a large file comes back byte for byte, by SFTP and by sudo", async () => {
    const directory = mkdtempSync(join(tmpdir(), "pgherd-large-"));
    const content = new Uint8Array(20_000_000).map((_, index) => (index * 7919) >> 3);
    for (const target of [{}, { user: user.name, become: "sudo" }] as const) {
      const host = executor(target);
      const path = join(directory, "large");
      await host.put(path, content, { mode: 0o600 });
      const back = await host.get(path, { bytesMax: content.length });
      expect(back && Buffer.compare(back, content)).toBe(0);
      expect(await host.list(directory)).toEqual(["large"]);
    }
    rmSync(directory, { recursive: true });
  });

  test("a link in place of a file or directory is not followed by a change", async () => {
    for (const target of [{}, { user: user.name, become: "sudo" }] as const) {
      const host = executor(target);
      const at = mkdtempSync(join(tmpdir(), "pgherd-link-"));
      await host.put(join(at, "file"), "kept", { mode: 0o600 });
      await host.run({ argv: ["ln", "-s", "file", join(at, "planted")] });
      await host.put(join(at, "planted"), "new", { mode: 0o644 });
      expect(new TextDecoder().decode(await host.get(join(at, "file")))).toBe("kept");
      await host.mkdir(join(at, "target"), { mode: 0o755 });
      await host.run({ argv: ["ln", "-s", "target", join(at, "link")] });
      await expect(host.mkdir(join(at, "link"), { mode: 0o700 })).rejects.toThrow("symlink");
      expect((await host.stat(join(at, "target")))?.mode).toBe(0o755);
      expect((await host.stat(join(at, "link")))?.kind).toBe("symlink");
      await host.remove(at);
      expect(await host.stat(at)).toBeUndefined();
    }
  });

  test("ports and sockets of the host are reached through the connection", async () => {
    const socketPath = join(sshd.directory, "service");
    const options = { fetch: () => new Response("hello") };
    const onPort = Bun.serve({ ...options, hostname: "127.0.0.1", port: 0 });
    const onSocket = Bun.serve({ ...options, unix: socketPath });
    const jumped = connect({}, { jump: connect({ hostId: "jump" }) });
    for (const connection of [connect(), jumped]) {
      for (const to of [{ host: "127.0.0.1", port: onPort.port ?? 0 }, { socketPath }]) {
        const forward = await listenForward(connection, to);
        const said = await fetch(`http://127.0.0.1:${forward.port}/`);
        expect(await said.text()).toBe("hello");
        await forward.close();
      }
    }
    const refused = openForward(jumped, { host: "127.0.0.1", port: 1 });
    await expect(refused).rejects.toMatchObject({ kind: "retryable", phase: "channel" });
    await onPort.stop(true);
    await onSocket.stop(true);
  });
}

let marks = 0;

/** A duration for sleep(1) that no other process has. */
function freshMark(): string {
  marks += 1;
  return `${40_000 + (process.pid % 10_000)}.${marks}25`;
}

function marked(mark: string): readonly number[] {
  return listProcesses()
    .filter(({ pid, name }) => name === "sleep" && readArguments(pid).includes(mark))
    .map(({ pid }) => pid);
}

/** Waits for a state of processes, which nothing announces. */
async function gone(done: () => boolean): Promise<void> {
  const limit = systemClock.deadline(4_000);
  while (!done()) {
    limit.throwIfAborted();
    await systemClock.sleep(10);
  }
}

async function withAgent(key: string, use: (socket: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "pgherd-agent-"));
  const socket = join(directory, "agent");
  const agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    await gone(
      () => Bun.spawnSync(["ssh-add", "-q", key], { env: { SSH_AUTH_SOCK: socket } }).success,
    );
    await use(socket);
  } finally {
    agent.kill();
    await agent.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}
