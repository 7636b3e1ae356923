// Waiting for the world to change: look, pause, look again, until the signal says that it was long enough.
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { stepPollFirstMs, stepPollMs } from "../base/limits.ts";

export interface Waiting<T> {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The result, or undefined to look again later. An error that may pass counts as "later". */
  readonly look: () => Promise<T | undefined>;
  /** What is missing, for the error when the signal ends the waiting. */
  readonly missing: () => string;
}

/** The first result of `look`. Throws a terminal error that says what was missing when the signal aborts. */
export async function waitUntil<T>({ clock, signal, look, missing }: Waiting<T>): Promise<T> {
  let trouble: string | undefined;
  const startedMs = clock.monotonicMs();
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined) return found;
      trouble = undefined;
    } catch (error) {
      if (!(error instanceof AppError) || error.kind !== "retryable") throw error;
      trouble = messageOf(error);
    }
    try {
      await clock.sleep(pauseMs(clock.monotonicMs() - startedMs), signal);
    } catch (cause) {
      const why = trouble === undefined ? missing() : `${missing()} (${trouble})`;
      throw new AppError("terminal", why, { cause });
    }
  }
}

/** Short answers are seen soon; what takes long is not looked at more often than needed. */
function pauseMs(waitedMs: number): number {
  return Math.min(stepPollMs, stepPollFirstMs + Math.floor(waitedMs / 10));
}
