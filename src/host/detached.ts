// Processes of this machine that outlive the one that starts them: own session, output to a file, a
// record on disk by which they are recognised later. Never starts a second of the same.
import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { detachedLogBytesMax } from "../base/limits.ts";
import { commandPath } from "./local-run.ts";
import {
  hasCode,
  identify,
  isAlive,
  listProcesses,
  type ProcessIdentity,
  readArguments,
  signalProcess,
} from "./process.ts";

/**
 * For keepers and fencers. Looking again and again for memory to hand back, a few pages each time, took a
 * seventh of the CPU time of a keeper; what they free they soon need again. Helpers of garbage collection and
 * compilation are threads that come and go: one that was started a moment ago has not got real-time priority yet
 * (realtime.ts), and on a busy host the program would wait for it, for seconds.
 */
export const agentEnvironment = {
  MIMALLOC_PURGE_DELAY: "-1",
  BUN_JSC_numberOfGCMarkers: "1",
  BUN_JSC_useConcurrentGC: "0",
  BUN_JSC_useConcurrentJIT: "0",
} as const;

export interface DetachedCommand {
  readonly argv: readonly [string, ...string[]];
  /** The last arguments by which a process of this command is recognised, whatever binary runs it. */
  readonly mark: readonly string[];
  /** Receives stdout and stderr. Its directory may belong to another user. */
  readonly logFile: string;
  /** Where pid, start time and boot are kept; in a directory of this process's own user. */
  readonly recordFile: string;
}

export class DetachedProcesses {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The living process of this command: as recorded, or found by its arguments where the record was lost. */
  find(command: DetachedCommand): ProcessIdentity | undefined {
    const recorded = loadRecord(command.recordFile);
    if (recorded && isAlive(recorded)) return recorded;
    const found = findByArguments(command.mark);
    if (found) saveRecord(command.recordFile, found);
    return found;
  }

  /** Starts it unless it lives. Throws a terminal AppError when it cannot be started. */
  start(command: DetachedCommand): {
    readonly identity: ProcessIdentity;
    readonly started: boolean;
  } {
    const living = this.find(command);
    if (living) return { identity: living, started: false };
    let output: number | undefined;
    try {
      output = openForAppend(command.logFile);
      const child = Bun.spawn([...command.argv], {
        cwd: "/",
        env: { PATH: commandPath, LANG: "C.UTF-8", ...agentEnvironment },
        stdin: "ignore",
        stdout: output,
        stderr: output,
        detached: true,
      });
      child.unref();
      const identity = identify(child.pid);
      if (!identity) throw new AppError("retryable", "it ended at once");
      saveRecord(command.recordFile, identity);
      return { identity, started: true };
    } catch (error) {
      throw new AppError(
        "retryable",
        `cannot start ${command.mark.join(" ")}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    } finally {
      if (output !== undefined) closeSync(output);
    }
  }

  /** Asks it to end (SIGTERM), kills it after `graceMs`, and returns when it is gone. */
  async stop(command: DetachedCommand, graceMs: number, signal: AbortSignal): Promise<void> {
    const endMs = this.#clock.monotonicMs() + graceMs;
    for (let living = this.find(command); living; living = this.find(command)) {
      signalProcess(living, this.#clock.monotonicMs() < endMs ? "SIGTERM" : "SIGKILL");
      while (isAlive(living) && this.#clock.monotonicMs() < endMs) {
        await this.#clock.sleep(10, signal);
      }
      if (isAlive(living)) {
        signalProcess(living, "SIGKILL");
        await this.#clock.sleep(10, signal);
      }
    }
    rmSync(command.recordFile, { force: true });
  }

  /** Keeps the log bounded: what is too long is moved aside (one older copy is kept) and begun anew. */
  boundLog(logFile: string): void {
    let handle: number | undefined;
    try {
      handle = openForAppend(logFile);
      if (fstatSync(handle).size <= detachedLogBytesMax) return;
      rmSync(`${logFile}.1`, { force: true });
      copyFileSync(`/proc/self/fd/${handle}`, `${logFile}.1`, constants.COPYFILE_EXCL);
      // The writers append, so they go on at the new beginning.
      ftruncateSync(handle, 0);
    } finally {
      if (handle !== undefined) closeSync(handle);
    }
  }
}

/** Never through a symlink, which the owner of the directory could have put there. */
function openForAppend(path: string): number {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = openSync(path, flags | constants.O_NONBLOCK, 0o640);
  if (fstatSync(handle).isFile()) return handle;
  closeSync(handle);
  throw new AppError("terminal", `${path} is not a file`);
}

function findByArguments(mark: readonly string[]): ProcessIdentity | undefined {
  for (const { pid } of listProcesses()) {
    const tail = readArguments(pid).slice(-mark.length);
    if (tail.length === mark.length && tail.every((part, index) => part === mark[index])) {
      const identity = identify(pid);
      if (identity) return identity;
    }
  }
  return undefined;
}

function loadRecord(path: string): ProcessIdentity | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, startTicks, bootId } = { pid: 0, startTicks: "", bootId: "", ...value };
    return typeof pid === "number" && typeof startTicks === "string" && typeof bootId === "string"
      ? { pid, startTicks, bootId }
      : undefined;
  } catch (error) {
    // A record that was cut short is as good as none: the process is found by its arguments.
    if (hasCode(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function saveRecord(path: string, identity: ProcessIdentity): void {
  writeFileSync(`${path}.tmp`, JSON.stringify(identity), { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}
