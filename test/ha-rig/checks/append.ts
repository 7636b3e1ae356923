// Lists that many clients append to: an append acknowledged before another was sent stands before it, and none twice.
import { type Attempt, rowId } from "../attempt.ts";
import { type Finding, some } from "./finding.ts";

/** `lists` are the elements of each list, in order, as one node shows them. */
export function checkAppends(
  attempts: readonly Attempt[],
  lists: ReadonlyMap<number, readonly string[]>,
): Finding[] {
  const byRow = new Map(attempts.map((attempt) => [rowId(attempt), attempt]));
  const wrong: string[] = [];
  for (const [key, elements] of lists) {
    const twice = elements.filter((element, index) => elements.indexOf(element) !== index);
    for (const element of twice) wrong.push(`list ${key} has ${element} twice`);
    // Nothing behind an element may have ended before the element was sent.
    let earliestEndMs = Number.POSITIVE_INFINITY;
    let earliest = "";
    for (const element of elements.toReversed()) {
      const attempt = byRow.get(element);
      if (!attempt) {
        wrong.push(`list ${key} has ${element}, which nobody wrote`);
        continue;
      }
      if (attempt.sentMs > earliestEndMs) wrong.push(`list ${key}: ${element} before ${earliest}`);
      if (attempt.outcome === "acked" && attempt.endedMs < earliestEndMs) {
        earliestEndMs = attempt.endedMs;
        earliest = element;
      }
    }
  }
  if (wrong.length === 0) return [];
  return [{ check: "append-order", message: `${wrong.length}: ${some(wrong)}` }];
}
