// Runs one command on this machine: normalise, spawn, collect, bound, end. The command is the leader
// of its own session, so that a timeout or a cancellation ends everything it started.
import { existsSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import {
  commandDrainMs,
  commandKillGraceMs,
  commandOutputBytesMax,
  commandTimeoutMs,
} from "../base/limits.ts";
import { asUser } from "./account.ts";
import type { Command, CommandResult } from "./command.ts";
import type { RunOptions } from "./executor.ts";
import { BoundedOutput, LineSplitter } from "./output.ts";
import { hasCode, sendSignal } from "./process.ts";
import { renderCommand } from "./quote.ts";

/** Where programs are looked for; the caller's own PATH does not count. */
export const commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What a shell answers for a program that does not exist. */
const NOT_FOUND = 127;

/** Runs the command to its end. Throws when it could not be tried at all. */
export async function runLocally(
  command: Command,
  options: RunOptions & { readonly killGraceMs?: number },
  clock: Clock,
): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const startedMs = clock.monotonicMs();
  const shown = command.label ?? renderCommand(command.argv);
  const env = { PATH: commandPath, LANG: "C.UTF-8", ...command.env };
  const program = Bun.which(command.argv[0], { PATH: env.PATH });
  if (program === null) return notFound(shown, command.argv[0]);
  const [, ...rest] = command.argv;
  const child = spawn([...asUser([program, ...rest], command.user)], command, env);
  const stdout = collect(child.stdout, "stdout", options);
  const stderr = collect(child.stderr, "stderr", options);
  const reason = await ending(child, command.timeoutMs ?? commandTimeoutMs, options.signal, clock);
  if (reason !== "exited") await endGroup(child, options.killGraceMs ?? commandKillGraceMs, clock);
  await settleOutput([stdout, stderr], clock);
  return {
    command: shown,
    exitCode: reason !== "exited" || child.signalCode ? null : child.exitCode,
    signal: child.signalCode === null ? null : String(child.signalCode),
    timedOut: reason === "timedOut",
    cancelled: reason === "cancelled",
    stdout: stdout.output.text(),
    stderr: stderr.output.text(),
    truncated: stdout.output.truncated || stderr.output.truncated,
    durationMs: clock.monotonicMs() - startedMs,
  };
}

type Child = Bun.Subprocess<Uint8Array | "ignore", "pipe", "pipe">;

function spawn(argv: string[], command: Command, env: Record<string, string>): Child {
  if (command.cwd !== undefined && !existsSync(command.cwd)) {
    throw new AppError("terminal", `the working directory ${command.cwd} does not exist`);
  }
  const { stdin } = command;
  try {
    return Bun.spawn(argv, {
      env,
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      stdin: typeof stdin === "string" ? new TextEncoder().encode(stdin) : (stdin ?? "ignore"),
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    });
  } catch (error) {
    const kind = hasCode(error, "EAGAIN", "ENOMEM", "EMFILE") ? "retryable" : "terminal";
    throw new AppError(kind, `cannot run ${argv[0]}: ${messageOf(error)}`, { cause: error });
  }
}

interface Collected {
  readonly output: BoundedOutput;
  readonly done: Promise<void>;
  readonly cancel: () => Promise<void>;
}

function collect(
  stream: ReadableStream<Uint8Array>,
  name: "stdout" | "stderr",
  options: RunOptions,
): Collected {
  const output = new BoundedOutput(commandOutputBytesMax);
  const reader = stream.getReader();
  const lines = new LineSplitter((line) => options.onLine?.(name, line));
  const pump = async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      output.push(value);
      if (options.onLine) lines.push(value);
    }
    lines.end();
  };
  return { output, done: pump(), cancel: () => reader.cancel() };
}

/** Waits until the command ends by itself, its time is over, or it is cancelled. */
async function ending(
  child: Child,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  clock: Clock,
): Promise<"exited" | "timedOut" | "cancelled"> {
  const over = new AbortController();
  const either = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  const limit = clock.sleep(timeoutMs, either).then(
    () => "timedOut" as const,
    () => "cancelled" as const,
  );
  const reason = await Promise.race([child.exited.then(() => "exited" as const), limit]);
  over.abort();
  return reason;
}

/** Ends the command and everything in its process group, which is gone when this returns. */
async function endGroup(child: Child, graceMs: number, clock: Clock): Promise<void> {
  sendSignal(-child.pid, "SIGTERM");
  const graceEndMs = clock.monotonicMs() + graceMs;
  while (clock.monotonicMs() < graceEndMs && sendSignal(-child.pid, 0)) await clock.sleep(10);
  sendSignal(-child.pid, "SIGKILL");
  await child.exited;
}

/** Reads what is left; a pipe that something else still holds open is given up after commandDrainMs. */
async function settleOutput(streams: readonly Collected[], clock: Clock): Promise<void> {
  const over = new AbortController();
  const all = Promise.all(streams.map(({ done }) => done)).then(() => over.abort());
  const drained = clock.sleep(commandDrainMs, over.signal).then(
    () => false,
    () => true,
  );
  if (!(await drained)) for (const { cancel } of streams) await cancel();
  await all;
}

function notFound(shown: string, program: string): CommandResult {
  return {
    command: shown,
    exitCode: NOT_FOUND,
    signal: null,
    timedOut: false,
    cancelled: false,
    stdout: "",
    stderr: `${program}: not found`,
    truncated: false,
    durationMs: 0,
  };
}
