// PostgreSQL's programs as this part runs them: found, of the right version, bounded by time and by silence, and not
// outliving the keeper that started them for long.
import { AppError } from "../../../src/base/errors.ts";
import { cloneStallMs, strayKillTimeoutMs } from "../../../src/base/limits.ts";
import { type CommandResult, failureText } from "../../../src/host/command.ts";
import { isLive, listProcesses, readArguments, sendSignal } from "../../../src/host/process.ts";
import { asPostgres, type Places, type StandbyDeps } from "./places.ts";

/** Programs that take a data directory from this part; see `endStrays`. */
const OURS = ["pg_basebackup", "pg_verifybackup", "pg_rewind"];

/** The path of a program of the instance's installation; undefined when it is not there. */
export async function findProgram(deps: StandbyDeps, name: string): Promise<string | undefined> {
  const path = `${deps.server().binDir}/${name}`;
  return (await deps.executor.stat(path)) ? path : undefined;
}

/** The path of a program that must be there. */
export async function requireProgram(deps: StandbyDeps, name: string): Promise<string> {
  const path = await findProgram(deps, name);
  if (path !== undefined) return path;
  const { binDir, major } = deps.server();
  const text = `${name} of PostgreSQL ${major} is not installed in ${binDir}`;
  throw new AppError("terminal", text);
}

/** Whether a program is there and of the server's own major: pg_rewind and pg_waldump work with no other. */
export async function hasOwnMajor(deps: StandbyDeps, name: string): Promise<boolean> {
  const path = await findProgram(deps, name);
  if (path === undefined) return false;
  const result = await deps.executor.run({ argv: [path, "--version"], ...asPostgres(deps.file) });
  const major = /\(PostgreSQL\) (\d+)/.exec(result.stdout)?.[1];
  return Number(major) === deps.server().major;
}

export interface LongRun {
  readonly argv: readonly [string, ...string[]];
  readonly timeoutMs: number;
  /** It reports progress, so that silence means that it hangs. */
  readonly talks: boolean;
  readonly signal: AbortSignal;
  readonly onLine?: (line: string) => void;
}

/** Runs a program that may take long. One that should talk and says nothing for `cloneStallMs` is ended. */
export async function runLong(deps: StandbyDeps, run: LongRun): Promise<CommandResult> {
  const { clock, executor, file } = deps;
  const stalled = new AbortController();
  const over = new AbortController();
  let heardMs = clock.monotonicMs();
  const watch = async () => {
    while (!over.signal.aborted) {
      const leftMs = heardMs + cloneStallMs - clock.monotonicMs();
      if (leftMs <= 0) return stalled.abort();
      await clock.sleep(leftMs, over.signal).catch(() => undefined);
    }
  };
  const watching = run.talks ? watch() : undefined;
  try {
    const result = await executor.run(
      { argv: run.argv, timeoutMs: run.timeoutMs, cwd: "/", ...asPostgres(file) },
      {
        signal: AbortSignal.any([run.signal, stalled.signal]),
        onLine: (_stream, line) => {
          heardMs = clock.monotonicMs();
          run.onLine?.(line);
        },
      },
    );
    run.signal.throwIfAborted();
    if (!stalled.signal.aborted) return result;
    const text = `${run.argv[0]} said nothing for ${cloneStallMs / 1_000} seconds and was ended`;
    throw new AppError("retryable", `${text}: ${failureText(result)}`);
  } finally {
    over.abort();
    await watching;
  }
}

/**
 * Ends programs of ours that work on this instance's directories: a keeper that was killed leaves them running, and
 * they would go on writing. Returns when none is left.
 */
export async function endStrays(deps: StandbyDeps, places: Places): Promise<void> {
  const { clock, log } = deps;
  const endMs = clock.monotonicMs() + strayKillTimeoutMs;
  for (;;) {
    const strays = listProcesses().filter((entry) => isLive(entry) && isStray(entry.pid, places));
    if (strays.length === 0) return;
    for (const { pid, name } of strays) {
      log.warn("a program of an earlier keeper is ended", { pid, name });
      sendSignal(pid, "SIGKILL");
    }
    if (clock.monotonicMs() > endMs) {
      throw new AppError("retryable", `${strays.length} programs of an earlier keeper do not end`);
    }
    await clock.sleep(20);
  }
}

function isStray(pid: number, places: Places): boolean {
  const argv = readArguments(pid);
  const program = argv.find((argument) => OURS.some((name) => argument.endsWith(`/${name}`)));
  const ours = program !== undefined || argv.includes("--single");
  return ours && argv.some((argument) => namesPlace(argument, places));
}

function namesPlace(argument: string, { data, clone }: Places): boolean {
  const path = argument.replace(/^--(pgdata|target-pgdata)=/, "");
  return path === data || path === clone;
}
