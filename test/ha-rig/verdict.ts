// Whether what a fault did was allowed.
import type { CatalogueEntry } from "./faults/catalogue.ts";
import { expectation } from "./faults/fault.ts";
import type { FaultResult } from "./runner.ts";
import type { Mode } from "./system.ts";

/** What was not allowed, in words; empty when all was well. */
export function judge(
  result: FaultResult,
  { noPromotion, gapMaxMs, kind }: Pick<CatalogueEntry, "noPromotion" | "gapMaxMs" | "kind">,
  mode: Mode,
): string[] {
  const { mayLose, mayOverlap } = expectation(mode, kind === "by-hand");
  const wrong: string[] = [];
  if (result.redundancyMs === undefined) wrong.push(`never redundant again: ${result.missing}`);
  if (!mayOverlap && result.overlapMs > 0) {
    wrong.push(`two nodes acknowledged for ${Math.round(result.overlapMs)} ms`);
  }
  if (!mayLose && result.lost > 0) wrong.push(`${result.lost} acknowledged rows lost`);
  if (result.gapMs > gapMaxMs) wrong.push(`no writes for ${(result.gapMs / 1_000).toFixed(1)} s`);
  if (noPromotion && result.promotions > 0) wrong.push("promoted without need");
  return wrong;
}
