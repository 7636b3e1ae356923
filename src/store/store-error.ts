// What can go wrong between us and the store, as one error with a reason that callers branch on.
import { AppError, type ErrorKind } from "../base/errors.ts";

/**
 * constraint: a row broke a rule of its table. conflict: a guard did not hold. no_leader, unavailable,
 * timeout: not applied, try again later. full: not applied, for want of space on a disk. unknown: a write that may or may not have been applied.
 * auth: refused credentials. sql: a statement the store does not accept, our own mistake.
 */
export type StoreReason =
  | "constraint"
  | "conflict"
  | "no_leader"
  | "unavailable"
  | "unknown"
  | "auth"
  | "timeout"
  | "full"
  | "sql";

/** An error of the store. The message holds neither parameters nor credentials. */
export class StoreError extends AppError {
  readonly reason: StoreReason;
  /** Position of the statement that failed, when one did. */
  readonly statement: number | undefined;
  /** URL of the node that was named instead, when one was. */
  readonly elsewhere: string | undefined;

  constructor(
    reason: StoreReason,
    message: string,
    options?: { statement?: number; elsewhere?: string | undefined; cause?: unknown },
  ) {
    super(kindOf(reason), message, options);
    this.name = "StoreError";
    this.reason = reason;
    this.statement = options?.statement;
    this.elsewhere = options?.elsewhere;
  }
}

function kindOf(reason: StoreReason): ErrorKind {
  switch (reason) {
    case "no_leader":
    case "unavailable":
    case "timeout":
    case "full":
    case "auth":
    case "unknown":
      return "retryable";
    case "sql":
      return "bug";
    case "constraint":
    case "conflict":
      return "terminal";
  }
}
