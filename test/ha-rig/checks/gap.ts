// How long nobody could write: the largest time between two acknowledged writes, whoever made them.
import type { Attempt } from "../attempt.ts";

/** Milliseconds of the largest gap that touches [fromMs, untilMs]; until the end when writing never came back. */
export function writeGap(attempts: readonly Attempt[], fromMs: number, untilMs: number): number {
  const ends = attempts
    .filter(({ outcome }) => outcome === "acked")
    .map(({ endedMs }) => endedMs)
    .sort((a, b) => a - b);
  const before = ends.filter((ms) => ms < fromMs).at(-1) ?? fromMs;
  const within = ends.filter((ms) => ms >= fromMs && ms <= untilMs);
  let lastMs = before;
  let largest = 0;
  for (const ms of [...within, untilMs]) {
    largest = Math.max(largest, ms - lastMs);
    lastMs = ms;
  }
  return largest;
}
