// Runs one command on an SSH host and tells how it ended. Bytes in, bytes out.
import { constants } from "node:os";
import type { ClientChannel } from "ssh2";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import {
  commandDrainMs,
  sshDrainMs,
  sshEndConfirmMs,
  sshPreambleBytesMax,
  sshRemoteLimitMarginMs,
} from "../../base/limits.ts";
import type { Command } from "../command.ts";
import { orAborted } from "./connect.ts";
import type { Held, SshConnection } from "./pool.ts";
import { Preamble } from "./preamble.ts";
import { commandScript, launcher } from "./remote-script.ts";
import { SshError } from "./ssh-error.ts";

export interface Execution {
  readonly command: Command;
  readonly timeoutMs: number;
  readonly killGraceMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onStdout: (bytes: Uint8Array) => void;
  readonly onStderr: (bytes: Uint8Array) => void;
}

/** How a command ended. A status above 128 is how the host's shell reports a signal, and taken as one. */
export interface Ended {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly cancelled: boolean;
}

const CANCELLED: Ended = { exitCode: null, signal: null, timedOut: false, cancelled: true };

/**
 * Runs the command to its end, which on a timeout or a cancellation means that the host ended it.
 * Throws an SshError when the connection fails; a command that was running then is ended by the host.
 */
export async function execute(
  connection: SshConnection,
  execution: Execution,
  clock: Clock,
): Promise<Ended> {
  const { command, signal } = execution;
  const input = inputOf(command);
  const script = new TextEncoder().encode(
    commandScript(command, input.length, {
      graceMs: execution.killGraceMs,
      limitMs: execution.timeoutMs + sshRemoteLimitMarginMs,
    }),
  );
  const text = launcher(script.length, connection.target.become);
  let held: Held<Running>;
  try {
    held = await connection.session(
      (client, answer) => client.exec(text, answer),
      (channel) => new Running(channel, execution, clock),
      signal,
    );
  } catch (error) {
    if (signal?.aborted) return CANCELLED;
    throw error;
  }
  try {
    held.value.send(script, input);
    return await conclude(held, connection.target.hostId, execution, clock);
  } finally {
    held.value.destroy();
    held.release();
  }
}

/** Waits for the end, asking for it when the time is over or the caller cancels. */
async function conclude(
  { value: running, gone }: Held<Running>,
  hostId: string,
  execution: Execution,
  clock: Clock,
): Promise<Ended> {
  const reason = await ending(running, gone, execution, clock);
  const forced = { timedOut: reason === "timedOut", cancelled: reason === "cancelled" };
  if (reason !== "ended") {
    running.end();
    const confirmMs = execution.killGraceMs + sshEndConfirmMs;
    await orAborted(running.exited, clock.deadline(confirmMs, gone)).catch(
      (cause: unknown) => cause,
    );
    return { exitCode: null, signal: running.outcome?.signal ?? null, ...forced };
  }
  if (gone.aborted) throw gone.reason;
  await running.drain();
  const { outcome } = running;
  if (!outcome) throw new SshError("retryable", hostId, "channel", "lost while a command ran");
  running.checkStarted(hostId, execution.command, outcome);
  return { ...outcome, ...forced };
}

async function ending(
  running: Running,
  gone: AbortSignal,
  { timeoutMs, signal }: Execution,
  clock: Clock,
): Promise<"ended" | "timedOut" | "cancelled"> {
  const over = new AbortController();
  const either = AbortSignal.any([over.signal, gone, ...(signal ? [signal] : [])]);
  const limit = clock.sleep(timeoutMs, either).then(
    () => "timedOut" as const,
    () => (signal?.aborted ? ("cancelled" as const) : ("ended" as const)),
  );
  const reason = await Promise.race([running.exited.then(() => "ended" as const), limit]);
  over.abort();
  return reason;
}

interface Outcome {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

/** A channel with a command on it. */
class Running {
  /** Resolves when the command ended, or the channel did without telling how. */
  readonly exited: Promise<void>;
  /** Absent when the channel closed without an exit status: the connection was lost. */
  outcome: Outcome | undefined;
  readonly #channel: ClientChannel;
  readonly #clock: Clock;
  readonly #stdout: Preamble;
  readonly #stderr: Preamble;
  readonly #closed: Promise<void>;
  #received = 0;

  constructor(channel: ClientChannel, execution: Execution, clock: Clock) {
    this.#channel = channel;
    this.#clock = clock;
    this.#stdout = new Preamble(execution.onStdout, sshPreambleBytesMax);
    this.#stderr = new Preamble(execution.onStderr, sshPreambleBytesMax);
    channel.on("data", (bytes: Buffer) => this.#receive(this.#stdout, bytes));
    channel.stderr.on("data", (bytes: Buffer) => this.#receive(this.#stderr, bytes));
    // A channel whose connection breaks says so by closing.
    channel.on("error", (error: Error) => error);
    this.#closed = new Promise((accept) => channel.once("close", () => accept()));
    const told = new Promise<void>((accept) => {
      channel.once("exit", (code: number | null, signal?: string) => {
        this.outcome = outcomeOf(code, signal);
        accept();
      });
    });
    this.exited = Promise.race([told, this.#closed]);
  }

  send(...parts: readonly Uint8Array[]): void {
    for (const part of parts) if (part.length > 0) this.#channel.write(part);
  }

  /** The end of the input is what makes the host end the command. */
  end(): void {
    this.#channel.end();
  }

  /** Takes what still comes; a daemon that keeps the pipe open without a word is not waited for. */
  async drain(): Promise<void> {
    const all = this.#clock.deadline(sshDrainMs);
    for (;;) {
      const before = this.#received;
      const quiet = this.#clock.deadline(commandDrainMs, all);
      const open = await orAborted(this.#closed, quiet).then(
        () => false,
        () => true,
      );
      if (!open || all.aborted || this.#received === before) return;
    }
  }

  destroy(): void {
    this.#channel.close();
  }

  /** Throws unless the host got as far as starting the command. */
  checkStarted(hostId: string, command: Command, { exitCode }: Outcome): void {
    const said = this.#stdout.word;
    if (said === "ok") return;
    if (said === "cwd") {
      throw new AppError("terminal", `the working directory ${command.cwd} does not exist`);
    }
    if (said === "user") throw new AppError("terminal", `this host has no user "${command.user}"`);
    if (said === "root") {
      const program = command.argv[0];
      throw new AppError("terminal", `only root can run ${program} as user "${command.user}"`);
    }
    const text = this.#stderr.preamble() || this.#stdout.preamble() || "no reason given";
    const why = `the host did not start the command (exit status ${exitCode}): ${text}`;
    throw new SshError(said === undefined ? "terminal" : "retryable", hostId, "channel", why);
  }

  #receive(stream: Preamble, bytes: Buffer): void {
    this.#received += bytes.length;
    stream.push(bytes);
  }
}

function outcomeOf(code: number | null, signal: string | undefined): Outcome {
  if (code === null) return { exitCode: null, signal: signal ?? "SIGKILL" };
  const name = code > 128 ? signalName(code - 128) : undefined;
  return name === undefined ? { exitCode: code, signal: null } : { exitCode: null, signal: name };
}

/** Numbers of signals are those of Linux on every machine pgherd runs on (signal(7)). */
function signalName(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}

function inputOf({ stdin }: Command): Uint8Array {
  if (stdin === undefined) return new Uint8Array();
  return typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
}
