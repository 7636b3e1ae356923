// A host that only runs sshd, as an executor. Commands and directories by shell programs of ours, files
// by SFTP, or by shell programs too where everything is done through sudo or there is no SFTP.
import { basename, dirname, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { AppError, inContext } from "../../base/errors.ts";
import {
  commandKillGraceMs,
  commandOutputBytesMax,
  commandTimeoutMs,
  hostFileBytesMax,
  removeTreeTimeoutMs,
  sshAccountsKeptMs,
  sshFileTimeoutMs,
} from "../../base/limits.ts";
import { type Command, type CommandResult, failureText, succeeded } from "../command.ts";
import type { Executor, FileOptions, FileStat, RunOptions } from "../executor.ts";
import { checkPath } from "../local.ts";
import { BoundedOutput, LineSplitter } from "../output.ts";
import { renderCommand } from "../quote.ts";
import { execute } from "./exec.ts";
import { type Owner, SftpFiles } from "./files.ts";
import {
  accountScript,
  getScript,
  hostScript,
  identityScript,
  listScript,
  mkdirScript,
  parseStat,
  putScript,
  saysMissing,
  statScript,
} from "./host-script.ts";
import type { SshConnection } from "./pool.ts";

interface Identity {
  readonly uid: number;
  readonly name: string;
}

interface Known<T> {
  readonly value: T;
  readonly atMs: number;
}

/** The executor of a host behind a connection. */
export class SshExecutor implements Executor {
  readonly hostId: string;
  readonly #connection: SshConnection;
  readonly #clock: Clock;
  readonly #killGraceMs: number;
  readonly #files: SftpFiles;
  readonly #owners = new Map<string, Known<Owner>>();
  readonly #names = new Map<number, Known<string>>();
  #identity: Promise<Identity> | undefined;
  #sftpOffered: Promise<boolean> | undefined;
  #temporaries = 0;

  constructor(connection: SshConnection, clock: Clock, killGraceMs = commandKillGraceMs) {
    this.hostId = connection.target.hostId;
    this.#connection = connection;
    this.#clock = clock;
    this.#killGraceMs = killGraceMs;
    this.#files = new SftpFiles(connection, clock);
  }

  async run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    options.signal?.throwIfAborted();
    const startedMs = this.#clock.monotonicMs();
    const stdout = new Collector("stdout", options);
    const stderr = new Collector("stderr", options);
    const ended = await this.#execute(command, options.signal, stdout.push, stderr.push);
    stdout.end();
    stderr.end();
    return {
      command: command.label ?? renderCommand(command.argv),
      ...ended,
      stdout: stdout.output.text(),
      stderr: stderr.output.text(),
      truncated: stdout.output.truncated || stderr.output.truncated,
      durationMs: this.#clock.monotonicMs() - startedMs,
    };
  }

  async put(path: string, content: string | Uint8Array, options: FileOptions): Promise<void> {
    const { mode, signal } = options;
    await this.#about("put", path, signal, async () => {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      const owner = await this.#ownerFor(options);
      if (!(await this.#bySftp(signal))) {
        const ids = owner ? [String(owner.uid), String(owner.gid)] : ["", ""];
        await this.#script(hostScript(putScript, path, octal(mode), ...ids), signal, bytes);
        return;
      }
      this.#temporaries += 1;
      const name = `.${basename(path)}.${process.pid}-${this.#temporaries}.tmp`;
      const temporary = join(dirname(path), name);
      const synced = await this.#files.put(path, temporary, bytes, { mode, owner, signal });
      // SFTP has no way to make the new name durable.
      const what = synced ? [dirname(path)] : [path, dirname(path)];
      await this.#script(["sync", "--", ...what], signal);
    });
  }

  async get(
    path: string,
    options: { bytesMax?: number; signal?: AbortSignal } = {},
  ): Promise<Uint8Array | undefined> {
    const { bytesMax = hostFileBytesMax, signal } = options;
    return this.#about("get", path, signal, async () => {
      if (await this.#bySftp(signal)) return this.#files.get(path, bytesMax, signal);
      const argv = hostScript(getScript, path, String(bytesMax + 1));
      const found = await this.#look(argv, signal);
      if (found && found.length > bytesMax) {
        throw new AppError("terminal", `it is longer than ${bytesMax} bytes`);
      }
      return found;
    });
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStat | undefined> {
    return this.#about("stat", path, signal, async () => {
      if (await this.#bySftp(signal)) {
        const found = await this.#files.stat(path, signal);
        if (!found) return undefined;
        const { uid, ...rest } = found;
        return { ...rest, owner: await this.#nameOf(uid, signal) };
      }
      const text = await this.#look(hostScript(statScript, path), signal);
      return text && parseStat(new TextDecoder().decode(text));
    });
  }

  async mkdir(path: string, options: FileOptions): Promise<void> {
    const { mode, signal } = options;
    await this.#about("mkdir", path, signal, async () => {
      const owner = await this.#ownerFor(options);
      const ids = owner ? [String(owner.uid), String(owner.gid)] : ["", ""];
      await this.#script(hostScript(mkdirScript, path, octal(mode), ...ids), signal);
    });
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    checkPath(path);
    if (path.split("/").filter((part) => part !== "").length < 2) {
      throw new AppError("terminal", `refusing to remove ${path}`);
    }
    const argv = ["rm", "-rf", "--one-file-system", "--", path] as const;
    const result = await this.run(
      { argv, timeoutMs: removeTreeTimeoutMs },
      signal ? { signal } : {},
    );
    if (!succeeded(result)) throw new AppError("retryable", failureText(result));
  }

  async list(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    return this.#about("list", path, signal, async () => {
      if (await this.#bySftp(signal)) return this.#files.list(path, signal);
      const names = await this.#look(hostScript(listScript, path), signal);
      return new TextDecoder()
        .decode(names)
        .split("\0")
        .filter((name) => name !== "")
        .sort();
    });
  }

  #execute(
    command: Command,
    signal: AbortSignal | undefined,
    onStdout: (bytes: Uint8Array) => void,
    onStderr: (bytes: Uint8Array) => void,
  ) {
    const timeoutMs = command.timeoutMs ?? commandTimeoutMs;
    const killGraceMs = this.#killGraceMs;
    const execution = { command, timeoutMs, killGraceMs, signal, onStdout, onStderr };
    return execute(this.#connection, execution, this.#clock);
  }

  async #about<T>(
    what: string,
    path: string,
    signal: AbortSignal | undefined,
    act: () => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    checkPath(path);
    try {
      return await act();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw inContext(`${what} ${path}`, error);
    }
  }

  /** Runs a program of ours, which must succeed. */
  async #script(
    argv: Command["argv"],
    signal: AbortSignal | undefined,
    stdin?: Uint8Array,
  ): Promise<Uint8Array> {
    const { stdout, stderr, exitCode } = await this.#bytes(argv, signal, stdin);
    if (exitCode === 0) return stdout;
    throw new AppError("terminal", stderr.trim() || `${argv[0]} failed`);
  }

  /** What a program of ours prints about a path; undefined when nothing is there. */
  async #look(
    argv: Command["argv"],
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    const { stdout, stderr, exitCode } = await this.#bytes(argv, signal);
    if (exitCode === 0) return stdout;
    if (saysMissing(stderr)) return undefined;
    throw new AppError("terminal", stderr.trim());
  }

  async #bytes(argv: Command["argv"], signal: AbortSignal | undefined, stdin?: Uint8Array) {
    const parts: Uint8Array[] = [];
    const stderr = new BoundedOutput(commandOutputBytesMax);
    const command = { argv, timeoutMs: sshFileTimeoutMs, ...(stdin ? { stdin } : {}) };
    const ended = await this.#execute(
      command,
      signal,
      (bytes) => parts.push(bytes.slice()),
      (bytes) => stderr.push(bytes),
    );
    signal?.throwIfAborted();
    if (ended.timedOut) throw new AppError("retryable", "no answer in time");
    return {
      stdout: new Uint8Array(Buffer.concat(parts)),
      stderr: stderr.text(),
      exitCode: ended.exitCode,
    };
  }

  /** Whether files go over SFTP: it acts as the login user only. */
  #bySftp(signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#connection.target.become === "sudo") return Promise.resolve(false);
    this.#sftpOffered ??= this.#files.offered(signal).catch((error: unknown) => {
      this.#sftpOffered = undefined;
      throw error;
    });
    return this.#sftpOffered;
  }

  async #ownerFor({ owner, signal }: FileOptions): Promise<Owner | undefined> {
    if (owner === undefined) return undefined;
    const self = await this.#self();
    if (owner === self.name) return undefined;
    const account = await this.#accountOf(owner, signal);
    if (account.uid === self.uid) return undefined;
    if (self.uid === 0) return account;
    throw new AppError("terminal", `only root can give a file to user "${owner}"`);
  }

  #self(): Promise<Identity> {
    this.#identity ??= this.#script(hostScript(identityScript), undefined).then(
      (text) => {
        const [uid, name] = new TextDecoder().decode(text).split("\n");
        return { uid: Number(uid), name: name ?? "" };
      },
      (error: unknown) => {
        this.#identity = undefined;
        throw error;
      },
    );
    return this.#identity;
  }

  async #accountOf(name: string, signal: AbortSignal | undefined): Promise<Owner> {
    const known = this.#fresh(this.#owners.get(name));
    if (known) return known;
    const argv = hostScript(accountScript, name);
    const { stdout, exitCode } = await this.#bytes(argv, signal);
    if (exitCode !== 0) throw new AppError("terminal", `this host has no user "${name}"`);
    const [uid, gid] = new TextDecoder().decode(stdout).trim().split("\n").map(Number);
    const value = { uid: uid ?? Number.NaN, gid: gid ?? Number.NaN };
    this.#owners.set(name, { value, atMs: this.#clock.monotonicMs() });
    return value;
  }

  async #nameOf(uid: number, signal: AbortSignal | undefined): Promise<string> {
    const known = this.#fresh(this.#names.get(uid));
    if (known) return known;
    const { stdout, exitCode } = await this.#bytes(["id", "-un", "--", String(uid)], signal);
    if (exitCode !== 0) return String(uid);
    const value = new TextDecoder().decode(stdout).trim();
    this.#names.set(uid, { value, atMs: this.#clock.monotonicMs() });
    return value;
  }

  #fresh<T>(known: Known<T> | undefined): T | undefined {
    if (!known || this.#clock.monotonicMs() - known.atMs > sshAccountsKeptMs) return undefined;
    return known.value;
  }
}

/** Output of a command, whole and by lines. */
class Collector {
  readonly output = new BoundedOutput(commandOutputBytesMax);
  readonly push: (bytes: Uint8Array) => void;
  readonly end: () => void;

  constructor(name: "stdout" | "stderr", { onLine }: RunOptions) {
    const lines = new LineSplitter((line) => onLine?.(name, line));
    this.push = (bytes) => {
      this.output.push(bytes);
      if (onLine) lines.push(bytes);
    };
    this.end = () => lines.end();
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
