// What two hosts say to each other when one runs commands and moves files on the other: HTTP paths, headers and
// the lines of a running command, one JSON object each.
import { AppError, type ErrorKind, messageOf } from "../base/errors.ts";
import type { Command, CommandResult } from "./command.ts";
import type { PlanMark } from "./executor.ts";

/** Paths of the internal listener. */
export const peerPaths = {
  run: "/v1/internal/host/run",
  file: "/v1/internal/host/file",
  stat: "/v1/internal/host/stat",
  directory: "/v1/internal/host/directory",
  tree: "/v1/internal/host/tree",
  ping: "/v1/internal/host/ping",
  storeUsers: "/v1/internal/store/users",
} as const;

/** The plan that a request belongs to: `<database id>:<generation>`. */
export const PLAN_HEADER = "x-pgherd-plan";
/** `<epoch of the worker>:<when the database was created, in milliseconds>`: orders plans of one id over deletions. */
export const PLAN_TERM_HEADER = "x-pgherd-plan-term";
/** The host that a request is meant for. */
export const HOST_HEADER = "x-pgherd-host";

/** A command as it is sent; `stdin` in base64. */
export type SentCommand = Omit<Command, "stdin"> & { readonly stdin?: string };

export interface RunRequest {
  /** Chosen by the caller, to cancel it by. */
  readonly id: string;
  readonly command: SentCommand;
  /** Whether lines are wanted while it runs. */
  readonly lines: boolean;
}

/** One line of the answer to a run. */
export type RunEvent =
  | { readonly event: "started" }
  | { readonly event: "beat" }
  | { readonly event: "line"; readonly stream: "stdout" | "stderr"; readonly line: string }
  | { readonly event: "log"; readonly message: string; readonly fields?: Record<string, unknown> }
  | { readonly event: "result"; readonly result: CommandResult }
  | { readonly event: "done" }
  | { readonly event: "failed"; readonly error: SentError };

export interface SentError {
  readonly kind: ErrorKind;
  readonly message: string;
}

/** Anything thrown, as it is sent. */
export function sentError(thrown: unknown): SentError {
  return {
    kind: thrown instanceof AppError ? thrown.kind : "terminal",
    message: messageOf(thrown),
  };
}

/** An error as it was sent, to be thrown here. */
export function receivedError(body: unknown): AppError | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { kind, message } = { kind: "", message: "", ...body };
  if (typeof message !== "string" || message === "") return undefined;
  return new AppError(kind === "retryable" || kind === "bug" ? kind : "terminal", message);
}

/** The command as it is sent. */
export function sentCommand(command: Command): SentCommand {
  const { stdin, ...rest } = command;
  return stdin === undefined ? rest : { ...rest, stdin: Buffer.from(stdin).toString("base64") };
}

/** The command as it was meant. */
export function receivedCommand(sent: SentCommand): Command {
  const { stdin, ...rest } = sent;
  if (stdin === undefined) return rest;
  return { ...rest, stdin: new Uint8Array(Buffer.from(stdin, "base64")) };
}

/** Headers that name the plan. */
export function planHeaders(plan: PlanMark | undefined): Readonly<Record<string, string>> {
  if (!plan) return {};
  return {
    [PLAN_HEADER]: `${plan.databaseId}:${plan.generation}`,
    [PLAN_TERM_HEADER]: `${plan.epoch}:${plan.createdAtMs}`,
  };
}

/** The plan that a request names; undefined when it names none. Throws a terminal AppError for anything else. */
export function planOf(headers: Headers): PlanMark | undefined {
  const text = headers.get(PLAN_HEADER);
  if (text === null) return undefined;
  const plan = /^([A-Za-z0-9_-]{1,64}):(\d{1,15})$/.exec(text);
  const term = /^(\d{1,15}):(\d{1,15})$/.exec(headers.get(PLAN_TERM_HEADER) ?? "0:0");
  if (!plan?.[1] || !term) {
    throw new AppError("terminal", `${PLAN_HEADER}: not <database id>:<generation>`);
  }
  return {
    databaseId: plan[1],
    generation: Number(plan[2]),
    epoch: Number(term[1]),
    createdAtMs: Number(term[2]),
  };
}
