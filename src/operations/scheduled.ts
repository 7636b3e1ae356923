// Times that a user names for something to happen.
import { parseTimestamp } from "../base/clock.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput } from "./errors.ts";

/** Milliseconds of wall clock, or invalid_input for what is no time or has passed. */
export function futureTime(deps: OperationsDeps, path: string, text: string): number {
  const atMs = parseTimestamp(text);
  const message =
    atMs === undefined
      ? "must be a time as in RFC 3339"
      : atMs <= deps.clock.nowMs()
        ? "must be in the future"
        : undefined;
  if (atMs !== undefined && message === undefined) return atMs;
  throw invalidInput([{ path, code: "invalid_time", message: message ?? "" }]);
}
