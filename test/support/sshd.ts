// A real sshd on a loopback port, with its own configuration and keys in a directory of its own.
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { Secret } from "../../src/base/secret.ts";
import { listProcesses, sendSignal } from "../../src/host/process.ts";
import type { SshTarget } from "../../src/host/ssh/connect.ts";

const SSHD = "/usr/sbin/sshd";

/** Why there can be no sshd here; undefined when there can. Logins of other users need root. */
export function sshdMissing(): string | undefined {
  if (process.geteuid?.() !== 0) return "only root can start an sshd for several users";
  return Bun.which(SSHD) ? undefined : `there is no ${SSHD}: apt-get install openssh-server`;
}

export interface TestSshd {
  readonly port: number;
  readonly directory: string;
  /** Public host keys, as in a .pub file. */
  readonly hostKeys: { readonly ed25519: string; readonly rsa: string };
  /** Settings for a login with the usual key. */
  target(overrides?: Partial<SshTarget>): SshTarget;
  /** Makes a key and lets it in; its private text. */
  authorise(name: string, ...options: readonly string[]): Secret;
  /** Processes of sshd that serve a connection. */
  sessions(): readonly number[];
  stop(): Promise<void>;
}

/** Starts one; `lines` are added to its configuration. */
export async function startSshd(lines: readonly string[] = []): Promise<TestSshd> {
  const directory = mkdtempSync(join(tmpdir(), "pgherd-sshd-"));
  chmodSync(directory, 0o755);
  mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const authorized = join(directory, "authorized_keys");
  await Bun.write(authorized, "");
  const makeKey = (name: string, ...options: readonly string[]) => {
    run(["ssh-keygen", "-q", "-N", "", ...options, "-f", join(directory, name)]);
    return readFileSync(join(directory, `${name}.pub`), "utf8").trim();
  };
  const hostKeys = {
    ed25519: makeKey("host_ed25519", "-t", "ed25519"),
    rsa: makeKey("host_rsa", "-t", "rsa", "-b", "2048"),
  };
  const authorise = (name: string, ...options: readonly string[]) => {
    appendFileSync(authorized, `${makeKey(name, ...options)}\n`);
    return new Secret(readFileSync(join(directory, name), "utf8"));
  };
  const usual = authorise("client", "-t", "ed25519");
  const port = await freePort();
  const config = join(directory, "sshd_config");
  await Bun.write(config, `${configuration(directory, port, lines).join("\n")}\n`);
  const daemon = Bun.spawn([SSHD, "-D", "-f", config, "-E", join(directory, "log")], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  await accepting(port);
  const sessions = () =>
    descendants(daemon.pid)
      .filter(({ name }) => name === "sshd")
      .map(({ pid }) => pid);
  return {
    port,
    directory,
    hostKeys,
    target: (overrides) => ({
      hostId: "h1",
      address: "127.0.0.1",
      port,
      user: "root",
      auth: { kind: "key", privateKey: usual },
      hostKey: { kind: "pinned", key: hostKeys.ed25519 },
      ...overrides,
    }),
    authorise,
    sessions,
    async stop() {
      for (const pid of sessions()) sendSignal(pid, "SIGKILL");
      daemon.kill("SIGKILL");
      await daemon.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function configuration(directory: string, port: number, lines: readonly string[]): string[] {
  return [
    ...lines,
    "ListenAddress 127.0.0.1",
    `Port ${port}`,
    `HostKey ${directory}/host_ed25519`,
    `HostKey ${directory}/host_rsa`,
    `AuthorizedKeysFile ${directory}/authorized_keys`,
    "PidFile none",
    "PermitRootLogin yes",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "StrictModes no",
    "UsePAM no",
    "MaxStartups 100",
    "LogLevel VERBOSE",
    ...(lines.some((line) => line.startsWith("Subsystem")) ? [] : ["Subsystem sftp internal-sftp"]),
  ];
}

/** A user who exists for one test file, and may become root without a password if wanted. */
export interface TestUser {
  readonly name: string;
  readonly remove: () => void;
}

export function makeUser(options: { sudo: boolean; shell?: string }): TestUser {
  const name = `pgherd-test-${process.pid}${options.sudo ? "s" : "p"}`;
  const rule = `/etc/sudoers.d/${name}`;
  run(["useradd", "--create-home", "--shell", options.shell ?? "/bin/bash", name]);
  // A user without a password is locked to sshd unless PAM decides.
  run(["usermod", "--password", "*", name]);
  if (options.sudo) {
    run(["install", "-m", "0440", "/dev/stdin", rule], `${name} ALL=(ALL) NOPASSWD: ALL\n`);
  }
  return {
    name,
    remove() {
      rmSync(rule, { force: true });
      run(["userdel", "--force", "--remove", name]);
    },
  };
}

function run(argv: string[], stdin = ""): void {
  const result = Bun.spawnSync(argv, { stdin: new TextEncoder().encode(stdin) });
  if (result.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${result.stderr.toString()}`);
}

function descendants(pid: number): ReturnType<typeof listProcesses> {
  const all = listProcesses();
  const below = (parent: number): ReturnType<typeof listProcesses> =>
    all
      .filter(({ parentPid }) => parentPid === parent)
      .flatMap((entry) => [entry, ...below(entry.pid)]);
  return below(pid);
}

function freePort(): Promise<number> {
  return new Promise((accept) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => accept(typeof address === "object" && address ? address.port : 0));
    });
  });
}

async function accepting(port: number): Promise<void> {
  const limit = systemClock.deadline(10_000);
  for (;;) {
    limit.throwIfAborted();
    const open = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: { data: () => undefined },
    }).then(
      (socket) => {
        socket.end();
        return true;
      },
      () => false,
    );
    if (open) return;
    await systemClock.sleep(10);
  }
}
