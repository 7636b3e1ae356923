// What keeper and fencer say to each other: one JSON object per line over a unix socket.
// Requests are answered in any order, by id; events go to every connection.
import { AppError } from "../../src/base/errors.ts";

/** Longest line of either side, in bytes; a longer one ends the connection. */
export const fencerLineBytesMax = 256 * 1024;

/** The shutdown modes of PostgreSQL (manual, "Shutting Down the Server"). */
export const STOP_MODES = ["smart", "fast", "immediate"] as const;
export type StopMode = (typeof STOP_MODES)[number];

/** How to start the postmaster. `argv` must not daemonise: the process itself is the postmaster. */
export interface StartPostgres {
  readonly argv: readonly [string, ...string[]];
  /** The whole environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Receives stdout and stderr of the postmaster, appended. */
  readonly log_file: string;
  /**
   * Only while armed with this epoch and before its deadline: the one who asks may have been stopped for long after it
   * made sure of that.
   */
  readonly epoch?: number;
}

export type FencerRequest =
  | ({ readonly id: number; readonly op: "start" } & StartPostgres)
  | { readonly id: number; readonly op: "status" }
  | {
      readonly id: number;
      readonly op: "stop";
      readonly mode: StopMode;
      readonly timeout_ms: number;
    }
  | { readonly id: number; readonly op: "kill" }
  | {
      readonly id: number;
      readonly op: "arm";
      readonly epoch: number;
      /** CLOCK_BOOTTIME, milliseconds. */
      readonly deadline_boottime_ms: number;
    }
  | { readonly id: number; readonly op: "disarm" };

/** Why a request was not carried out. */
export const REFUSALS = [
  "already_running",
  "not_running",
  "leftover",
  "spawn_failed",
  "stale_epoch",
  "bad_request",
  "busy",
] as const;
export type Refusal = (typeof REFUSALS)[number];

export type FencerAnswer =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly refusal: Refusal;
      readonly message: string;
      /** The running postmaster, with already_running. */
      readonly pid?: number;
    };

/** What a kill leaves behind: `remaining` is counted after the last round, so 0 is the proof. */
export interface KillProof {
  /** Distinct processes that were sent SIGKILL. */
  readonly killed: number;
  /** Processes of the instance that are still there; 0, or they hang in the kernel. */
  readonly remaining: number;
}

/** How a stop ended. `forced`: the time limit passed and the rest was killed. */
export interface StopOutcome extends KillProof {
  readonly forced: boolean;
}

/** How the postmaster ended; code and signal are null when it was adopted and so cannot be asked. */
export interface PostgresExit {
  readonly pid: number;
  readonly code: number | null;
  readonly signal: string | null;
  readonly at_boottime_ms: number;
  /** Backends that outlived the postmaster and were killed. */
  readonly leftovers_killed: number;
  readonly remaining: number;
}

/** The deadline passed and every process was killed. */
export interface Fenced extends KillProof {
  readonly epoch: number;
  readonly at_boottime_ms: number;
}

export type FencerEvent =
  | ({ readonly event: "exited" } & PostgresExit)
  | ({ readonly event: "fenced" } & Fenced);

export interface FencerStatus {
  readonly fencer_pid: number;
  readonly boottime_ms: number;
  readonly postgres:
    | { readonly state: "stopped" }
    | {
        readonly state: "running" | "stopping";
        readonly pid: number;
        /** It was running when this fencer started. */
        readonly adopted: boolean;
      };
  readonly armed: { readonly epoch: number; readonly deadline_boottime_ms: number } | null;
  readonly last_exit: PostgresExit | null;
  readonly last_fenced: Fenced | null;
}

/** Cuts a byte stream into lines; throws when one grows beyond fencerLineBytesMax. */
export class LineReader {
  #pending = "";
  readonly #decoder = new TextDecoder();

  /** The complete lines that these bytes finish. */
  push(bytes: Uint8Array): readonly string[] {
    this.#pending += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#pending.split("\n");
    this.#pending = lines.pop() ?? "";
    if (this.#pending.length > fencerLineBytesMax) {
      throw new AppError("terminal", `a line is longer than ${fencerLineBytesMax} bytes`);
    }
    return lines.filter((line) => line !== "");
  }
}

/** A request line as a request, or why it is none. */
export function parseRequest(line: string): FencerRequest | { id: number; problem: string } {
  const value = parseObject(line);
  if (!value) return { id: 0, problem: "not a JSON object" };
  const id = typeof value.id === "number" ? value.id : 0;
  switch (value.op) {
    case "status":
    case "kill":
    case "disarm":
      return { id, op: value.op };
    case "stop": {
      const mode = STOP_MODES.find((known) => known === value.mode);
      const timeoutMs = positive(value.timeout_ms);
      return mode && timeoutMs !== undefined
        ? { id, op: "stop", mode, timeout_ms: timeoutMs }
        : { id, problem: "stop needs mode and timeout_ms" };
    }
    case "arm": {
      const epoch = positive(value.epoch);
      const deadline = positive(value.deadline_boottime_ms);
      return epoch !== undefined && deadline !== undefined
        ? { id, op: "arm", epoch, deadline_boottime_ms: deadline }
        : { id, problem: "arm needs epoch and deadline_boottime_ms" };
    }
    case "start":
      return parseStart(id, value);
    default:
      return { id, problem: "unknown op" };
  }
}

function parseStart(
  id: number,
  value: JsonRecord,
): FencerRequest | { id: number; problem: string } {
  const [program, ...rest] = texts(value.argv) ?? [];
  const env = isRecord(value.env) ? Object.entries(value.env) : undefined;
  if (!program || !env || typeof value.log_file !== "string") {
    return { id, problem: "start needs argv, env and log_file" };
  }
  const environment: Record<string, string> = {};
  for (const [name, text] of env) {
    if (typeof text !== "string") return { id, problem: `env ${name} is not a text` };
    environment[name] = text;
  }
  const epoch = positive(value.epoch);
  if (value.epoch !== undefined && epoch === undefined)
    return { id, problem: "epoch is no number" };
  const start = { argv: [program, ...rest], env: environment, log_file: value.log_file } as const;
  return { id, op: "start", ...start, ...(epoch === undefined ? {} : { epoch }) };
}

export type JsonRecord = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The JSON object in a text, or undefined when it holds none. */
export function parseObject(text: string): JsonRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function positive(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

function texts(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const all: string[] = [];
  for (const item of value) {
    if (typeof item !== "string") return undefined;
    all.push(item);
  }
  return all;
}
