// Exponential backoff with jitter, bounded.
import type { Rng } from "./rng.ts";

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** The wait before try number `attempt` (0-based): doubling, capped, jittered to 50-100 %. */
export function backoffMs(backoff: Backoff, attempt: number, rng: Rng): number {
  const fullMs = Math.min(backoff.firstMs * 2 ** Math.min(attempt, 20), backoff.maxMs);
  return Math.round(fullMs * (0.5 + rng.next() / 2));
}
