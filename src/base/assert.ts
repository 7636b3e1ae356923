// Conditions that hold unless we have a bug.
import { AppError } from "./errors.ts";

/** Throws a `bug` when the condition does not hold. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AppError("bug", `assertion failed: ${message}`);
}

/** Ends an exhaustive switch: reaching it is a compile error, and a `bug` at run time. */
export function assertNever(value: never, what: string): never {
  throw new AppError("bug", `unexpected ${what}: ${JSON.stringify(value)}`);
}

/** The value, or a `bug` when it is missing. */
export function must<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AppError("bug", `missing ${what}`);
  return value;
}
