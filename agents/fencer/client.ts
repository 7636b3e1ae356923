// The keeper's end of the fencer's socket. One connection, many requests, events as they come.
// Ends with the connection: the owner connects again when `closed` resolves.
import { connect, type Socket } from "node:net";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { fail, ok, type Result } from "../../src/base/result.ts";
import {
  type Fenced,
  type FencerRequest,
  type FencerStatus,
  isRecord,
  type JsonRecord,
  type KillProof,
  LineReader,
  type PostgresExit,
  parseObject,
  REFUSALS,
  type Refusal,
  type StartPostgres,
  type StopMode,
  type StopOutcome,
} from "./protocol.ts";

/** Time for an answer, beyond what the request itself may take. */
export const fencerAnswerTimeoutMs = 5_000;
/** Longest time the kill ladder may take before the fencer answers what remains. */
export const fencerKillTimeoutMs = 10_000;

/** A request that the fencer did not carry out. */
export interface FencerRefusal {
  readonly refusal: Refusal;
  readonly message: string;
  readonly pid?: number;
}

/** A connected fencer. Methods throw a retryable AppError when the connection ends or no answer comes. */
export interface FencerClient {
  /** Starts the postmaster and answers its pid at once; it is not yet ready for connections. */
  start(start: StartPostgres): Promise<Result<{ readonly pid: number }, FencerRefusal>>;
  status(): Promise<FencerStatus>;
  /** Stops the postmaster; after `timeoutMs` everything is killed. `not_running` is an outcome, not an error. */
  stop(mode: StopMode, timeoutMs: number): Promise<Result<StopOutcome, FencerRefusal>>;
  /** Kills every process of the instance; also those that no postmaster owns any more. */
  kill(): Promise<KillProof>;
  /** Everything is killed when CLOCK_BOOTTIME passes the deadline. Refused for an epoch older than the last. */
  arm(epoch: number, deadlineBoottimeMs: number): Promise<Result<null, FencerRefusal>>;
  disarm(): Promise<void>;
  /** Called for every end of the postmaster; returns what ends the subscription. */
  onExit(listener: (exit: PostgresExit) => void): () => void;
  onFenced(listener: (fenced: Fenced) => void): () => void;
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  close(): void;
}

/** Connects to a fencer's socket. The signal ends the connection too. Throws a retryable AppError when nobody listens. */
export async function connectFencer(
  path: string,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<FencerClient> {
  const socket = await open(path, clock.deadline(fencerAnswerTimeoutMs, signal));
  const client = new Connection(socket, clock);
  if (signal.aborted) client.close();
  signal.addEventListener("abort", () => client.close(), { once: true });
  return client;
}

function open(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const settle = (error?: unknown) => {
      signal.removeEventListener("abort", onAbort);
      if (error === undefined) {
        socket.removeListener("error", settle);
        resolve(socket);
        return;
      }
      socket.destroy();
      const cause = `fencer at ${path} cannot be reached: ${messageOf(error)}`;
      reject(new AppError("retryable", cause, { cause: error }));
    };
    const onAbort = () => settle(signal.reason ?? new Error("aborted"));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", settle);
    socket.once("connect", () => settle());
  });
}

interface Pending {
  readonly resolve: (answer: JsonRecord) => void;
  readonly reject: (error: AppError) => void;
}

type WithoutId<R> = R extends FencerRequest ? Omit<R, "id"> : never;
type RequestBody = WithoutId<FencerRequest>;

class Connection implements FencerClient {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #exitListeners = new Set<(exit: PostgresExit) => void>();
  readonly #fencedListeners = new Set<(fenced: Fenced) => void>();
  #lastId = 0;
  #ended = false;

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    const reader = new LineReader();
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#fail("the fencer closed the connection");
        resolve();
      });
    });
    socket.on("error", (error) => this.#fail(messageOf(error)));
    socket.on("data", (bytes: Uint8Array) => {
      try {
        for (const line of reader.push(bytes)) this.#receive(line);
      } catch (error) {
        this.#fail(messageOf(error));
        socket.destroy();
      }
    });
  }

  async start(start: StartPostgres) {
    const answer = await this.#request({ op: "start", ...start }, fencerAnswerTimeoutMs);
    return outcome(answer, (result) => ({ pid: numberOf(result, "pid") }));
  }

  async status(): Promise<FencerStatus> {
    const answer = await this.#request({ op: "status" }, fencerAnswerTimeoutMs);
    return parseStatus(accepted(answer));
  }

  async stop(mode: StopMode, timeoutMs: number) {
    const limitMs = timeoutMs + fencerKillTimeoutMs + fencerAnswerTimeoutMs;
    const answer = await this.#request({ op: "stop", mode, timeout_ms: timeoutMs }, limitMs);
    return outcome(answer, (result) => ({
      ...parseProof(result),
      forced: result.forced === true,
    }));
  }

  async kill(): Promise<KillProof> {
    const limitMs = fencerKillTimeoutMs + fencerAnswerTimeoutMs;
    return parseProof(accepted(await this.#request({ op: "kill" }, limitMs)));
  }

  async arm(epoch: number, deadlineBoottimeMs: number) {
    const answer = await this.#request(
      { op: "arm", epoch, deadline_boottime_ms: deadlineBoottimeMs },
      fencerAnswerTimeoutMs,
    );
    return outcome(answer, () => null);
  }

  async disarm(): Promise<void> {
    accepted(await this.#request({ op: "disarm" }, fencerAnswerTimeoutMs));
  }

  onExit(listener: (exit: PostgresExit) => void): () => void {
    this.#exitListeners.add(listener);
    return () => this.#exitListeners.delete(listener);
  }

  onFenced(listener: (fenced: Fenced) => void): () => void {
    this.#fencedListeners.add(listener);
    return () => this.#fencedListeners.delete(listener);
  }

  close(): void {
    this.#fail("the connection was closed");
    this.#socket.destroy();
  }

  #request(body: RequestBody, timeoutMs: number): Promise<JsonRecord> {
    if (this.#ended) {
      return Promise.reject(new AppError("retryable", "the connection to the fencer has ended"));
    }
    this.#lastId += 1;
    const id = this.#lastId;
    const timeout = new AbortController();
    return new Promise<JsonRecord>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ id, ...body })}\n`);
      this.#clock.sleep(timeoutMs, timeout.signal).then(
        () => {
          const text = `the fencer did not answer ${body.op} within ${timeoutMs} ms`;
          reject(new AppError("retryable", text));
        },
        () => undefined,
      );
    }).finally(() => {
      this.#pending.delete(id);
      timeout.abort();
    });
  }

  #receive(line: string): void {
    const message = parseObject(line);
    if (!message) throw new AppError("terminal", "the fencer sent something that is not JSON");
    if (message.event === "exited") {
      const exit = parseExit(message);
      for (const listener of this.#exitListeners) listener(exit);
    } else if (message.event === "fenced") {
      const fenced = parseFenced(message);
      for (const listener of this.#fencedListeners) listener(fenced);
    } else if (typeof message.id === "number") {
      this.#pending.get(message.id)?.resolve(message);
    }
  }

  #fail(why: string): void {
    this.#ended = true;
    for (const pending of this.#pending.values()) {
      pending.reject(new AppError("retryable", `fencer: ${why}`));
    }
    this.#pending.clear();
  }
}

function outcome<T>(
  answer: JsonRecord,
  parse: (result: JsonRecord) => T,
): Result<T, FencerRefusal> {
  if (answer.ok === true) return ok(parse(isRecord(answer.result) ? answer.result : {}));
  const refusal = REFUSALS.find((known) => known === answer.refusal) ?? "bad_request";
  const message = String(answer.message ?? refusal);
  return fail(
    typeof answer.pid === "number" ? { refusal, message, pid: answer.pid } : { refusal, message },
  );
}

function accepted(answer: JsonRecord): JsonRecord {
  const result = outcome(answer, (value) => value);
  if (result.ok) return result.value;
  throw new AppError("terminal", `the fencer refused: ${result.error.message}`);
}

function numberOf(record: JsonRecord, key: string): number {
  const value = record[key];
  if (typeof value === "number") return value;
  throw new AppError("terminal", `the fencer's answer has no number "${key}"`);
}

function parseProof(record: JsonRecord): KillProof {
  return { killed: numberOf(record, "killed"), remaining: numberOf(record, "remaining") };
}

function parseExit(record: JsonRecord): PostgresExit {
  return {
    pid: numberOf(record, "pid"),
    code: typeof record.code === "number" ? record.code : null,
    signal: typeof record.signal === "string" ? record.signal : null,
    at_boottime_ms: numberOf(record, "at_boottime_ms"),
    leftovers_killed: numberOf(record, "leftovers_killed"),
    remaining: numberOf(record, "remaining"),
  };
}

function parseFenced(record: JsonRecord): Fenced {
  return {
    ...parseProof(record),
    epoch: numberOf(record, "epoch"),
    at_boottime_ms: numberOf(record, "at_boottime_ms"),
  };
}

function parseStatus(record: JsonRecord): FencerStatus {
  const postgres = isRecord(record.postgres) ? record.postgres : {};
  const state =
    postgres.state === "running" || postgres.state === "stopping" ? postgres.state : null;
  return {
    fencer_pid: numberOf(record, "fencer_pid"),
    boottime_ms: numberOf(record, "boottime_ms"),
    postgres: state
      ? { state, pid: numberOf(postgres, "pid"), adopted: postgres.adopted === true }
      : { state: "stopped" },
    armed: isRecord(record.armed)
      ? {
          epoch: numberOf(record.armed, "epoch"),
          deadline_boottime_ms: numberOf(record.armed, "deadline_boottime_ms"),
        }
      : null,
    last_exit: isRecord(record.last_exit) ? parseExit(record.last_exit) : null,
    last_fenced: isRecord(record.last_fenced) ? parseFenced(record.last_fenced) : null,
  };
}
