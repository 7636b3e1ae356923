// A host that exists in memory: a model of its file system, and commands that a test scripts. Passes
// the same contract suite as the real executors.
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { AppError, inContext } from "../base/errors.ts";
import { commandOutputBytesMax, commandTimeoutMs, hostFileBytesMax } from "../base/limits.ts";
import type { Command, CommandResult } from "./command.ts";
import type { Executor, FileOptions, FileStat, RunOptions } from "./executor.ts";
import { checkPath } from "./local.ts";
import { BoundedOutput, LineSplitter } from "./output.ts";
import { renderCommand } from "./quote.ts";

/** What a scripted command says and how it ends. */
export interface ScriptedOutcome {
  readonly exitCode?: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** Plays a program. It is aborted when the command's time is over or the caller cancels. */
export type Script = (
  command: Command,
  signal: AbortSignal,
) => ScriptedOutcome | Promise<ScriptedOutcome>;

interface FakeNode {
  readonly kind: FileStat["kind"];
  mode: number;
  owner: string;
  content: Uint8Array;
  modifiedMs: number;
}

/** A host in memory. `programs` are found by the base name or the full path of argv[0]. */
export class FakeHost implements Executor {
  readonly hostId: string;
  /** The user it runs as; only root may run as others and give files away. */
  readonly user: string;
  /** Every command that was run, in order. */
  readonly commands: Command[] = [];
  readonly #clock: Clock;
  readonly #programs = new Map<string, Script>();
  readonly #nodes = new Map<string, FakeNode>();
  readonly #users: ReadonlySet<string>;

  constructor(hostId: string, clock: Clock, options: { user?: string; users?: string[] } = {}) {
    this.hostId = hostId;
    this.#clock = clock;
    this.user = options.user ?? "root";
    this.#users = new Set([this.user, "root", "postgres", ...(options.users ?? [])]);
    this.#nodes.set("/", this.#node("directory", 0o755));
  }

  /** Installs a program. */
  program(name: string, script: Script): this {
    this.#programs.set(name, script);
    return this;
  }

  /** Every path with its kind, mode and owner, for assertions. */
  files(): readonly string[] {
    return [...this.#nodes]
      .filter(([path]) => path !== "/")
      .map(([path, { kind, mode, owner }]) => `${path} ${kind} ${mode.toString(8)} ${owner}`)
      .sort();
  }

  async run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    options.signal?.throwIfAborted();
    this.#checkUser(command.user, "run a command as");
    if (command.cwd !== undefined && this.#nodes.get(command.cwd)?.kind !== "directory") {
      throw new AppError("terminal", `the working directory ${command.cwd} does not exist`);
    }
    this.commands.push(command);
    const [program] = command.argv;
    const script =
      this.#programs.get(program) ?? this.#programs.get(program.split("/").pop() ?? "");
    if (!script) return this.#result(command, { exitCode: 127, stderr: `${program}: not found` });
    return this.#play(script, command, options);
  }

  async put(path: string, content: string | Uint8Array, options: FileOptions): Promise<void> {
    this.#begin(path, options.signal);
    this.#checkUser(options.owner, "give a file to");
    const parent = this.#nodes.get(dirname(path));
    if (parent?.kind !== "directory")
      throw inContext(`put ${path}`, new Error("ENOENT: no parent"));
    if (this.#nodes.get(path)?.kind === "directory") {
      throw inContext(`put ${path}`, new Error("EISDIR: it is a directory"));
    }
    const node = this.#node("file", options.mode, options.owner);
    node.content =
      typeof content === "string" ? new TextEncoder().encode(content) : content.slice();
    this.#nodes.set(path, node);
  }

  async get(
    path: string,
    options: { bytesMax?: number; signal?: AbortSignal } = {},
  ): Promise<Uint8Array | undefined> {
    this.#begin(path, options.signal);
    const node = this.#nodes.get(path);
    if (!node) return undefined;
    if (node.kind !== "file") throw inContext(`get ${path}`, new Error("it is not a file"));
    const bytesMax = options.bytesMax ?? hostFileBytesMax;
    if (node.content.length > bytesMax) {
      throw inContext(`get ${path}`, new Error(`it is longer than ${bytesMax} bytes`));
    }
    return node.content.slice();
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStat | undefined> {
    this.#begin(path, signal);
    const node = this.#nodes.get(path);
    if (!node) return undefined;
    const { kind, mode, owner, modifiedMs, content } = node;
    return { kind, mode, owner, modifiedMs, sizeBytes: content.length };
  }

  async mkdir(path: string, options: FileOptions): Promise<void> {
    this.#begin(path, options.signal);
    this.#checkUser(options.owner, "give a file to");
    for (let parent = path; parent !== "/"; parent = dirname(parent)) {
      const kind = this.#nodes.get(parent)?.kind;
      if (kind !== undefined && kind !== "directory") {
        throw inContext(`mkdir ${path}`, new Error(`${parent} is not a directory`));
      }
      if (kind === undefined) this.#nodes.set(parent, this.#node("directory", 0o755));
    }
    const node = this.#nodes.get(path);
    if (!node) return;
    node.mode = options.mode;
    if (options.owner !== undefined) node.owner = options.owner;
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    this.#begin(path, signal);
    if (path.split("/").filter((part) => part !== "").length < 2) {
      throw new AppError("terminal", `refusing to remove ${path}`);
    }
    for (const known of [...this.#nodes.keys()]) {
      if (known === path || known.startsWith(`${path}/`)) this.#nodes.delete(known);
    }
  }

  async list(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    this.#begin(path, signal);
    const kind = this.#nodes.get(path)?.kind;
    if (kind === undefined) return [];
    if (kind !== "directory") throw inContext(`list ${path}`, new Error("ENOTDIR"));
    return [...this.#nodes.keys()]
      .filter((known) => known !== "/" && dirname(known) === path)
      .map((known) => known.slice(path === "/" ? 1 : path.length + 1))
      .sort();
  }

  async #play(script: Script, command: Command, options: RunOptions): Promise<CommandResult> {
    const over = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal;
    const startedMs = this.#clock.monotonicMs();
    const limit = this.#clock.sleep(command.timeoutMs ?? commandTimeoutMs, signal).then(
      () => ({ timedOut: true }),
      () => ({ cancelled: true }),
    );
    const played = Promise.resolve(script(command, signal));
    // A script that ends because it was aborted has nothing more to say.
    played.catch((error: unknown) => error);
    const outcome = await Promise.race([played, limit]);
    over.abort();
    const durationMs = this.#clock.monotonicMs() - startedMs;
    if ("timedOut" in outcome || "cancelled" in outcome) {
      return {
        ...this.#result(command, {}),
        exitCode: null,
        signal: "SIGTERM",
        durationMs,
        ...outcome,
      };
    }
    emitLines(outcome, options);
    return { ...this.#result(command, outcome), durationMs };
  }

  #result(command: Command, outcome: ScriptedOutcome): CommandResult {
    const stdout = bounded(outcome.stdout);
    const stderr = bounded(outcome.stderr);
    return {
      command: command.label ?? renderCommand(command.argv),
      exitCode: outcome.exitCode ?? 0,
      signal: null,
      timedOut: false,
      cancelled: false,
      stdout: stdout.text(),
      stderr: stderr.text(),
      truncated: stdout.truncated || stderr.truncated,
      durationMs: 0,
    };
  }

  #node(kind: FileStat["kind"], mode: number, owner: string = this.user): FakeNode {
    return { kind, mode, owner, content: new Uint8Array(), modifiedMs: this.#clock.nowMs() };
  }

  #begin(path: string, signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    checkPath(path);
  }

  #checkUser(user: string | undefined, what: string): void {
    if (user === undefined || user === this.user) return;
    if (!this.#users.has(user)) throw new AppError("terminal", `this host has no user "${user}"`);
    if (this.user !== "root")
      throw new AppError("terminal", `only root can ${what} user "${user}"`);
  }
}

function bounded(text: string | undefined): BoundedOutput {
  const output = new BoundedOutput(commandOutputBytesMax);
  output.push(new TextEncoder().encode(text ?? ""));
  return output;
}

function emitLines(outcome: ScriptedOutcome, options: RunOptions): void {
  for (const stream of ["stdout", "stderr"] as const) {
    const lines = new LineSplitter((line) => options.onLine?.(stream, line));
    lines.push(new TextEncoder().encode(outcome[stream] ?? ""));
    lines.end();
  }
}
