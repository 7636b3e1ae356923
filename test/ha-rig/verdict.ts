// Whether what a fault did was allowed.
import type { CatalogueEntry } from "./faults/catalogue.ts";
import { expectation } from "./faults/fault.ts";
import type { FaultResult } from "./runner.ts";
import type { Mode } from "./system.ts";

/** What was not allowed, in words; empty when all was well. */
export function judge(
  result: FaultResult,
  { noPromotion }: Pick<CatalogueEntry, "noPromotion">,
  mode: Mode,
): string[] {
  const { mayLose, overlapMaxMs } = expectation(mode);
  const wrong: string[] = [];
  if (result.redundancyMs === undefined) wrong.push(`never redundant again: ${result.missing}`);
  if (result.overlapMs > overlapMaxMs) {
    wrong.push(`two nodes acknowledged for ${Math.round(result.overlapMs)} ms`);
  }
  if (!mayLose && result.lost > 0) wrong.push(`${result.lost} acknowledged rows lost`);
  if (noPromotion && result.promotions > 0) wrong.push("promoted without need");
  return wrong;
}
