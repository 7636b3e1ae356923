// Acknowledged rows must be on every node, refused rows on none, and no row twice or from nowhere.
import { type Attempt, rowId } from "../attempt.ts";
import { type Finding, some } from "./finding.ts";

/** Acknowledged writes that the rows of a node do not show. */
export function lostRows(attempts: readonly Attempt[], present: ReadonlySet<string>): Attempt[] {
  return attempts.filter((attempt) => attempt.outcome === "acked" && !present.has(rowId(attempt)));
}

/** Rows that are there although the server refused them, or that nobody wrote. */
export function strangeRows(
  attempts: readonly Attempt[],
  present: ReadonlySet<string>,
): { readonly refused: string[]; readonly unasked: string[] } {
  const outcomes = new Map(attempts.map((attempt) => [rowId(attempt), attempt.outcome]));
  const refused: string[] = [];
  const unasked: string[] = [];
  for (const row of present) {
    const outcome = outcomes.get(row);
    if (outcome === "failed") refused.push(row);
    if (outcome === undefined) unasked.push(row);
  }
  return { refused, unasked };
}

/** Both rules for one node; `mayLose` says that losses are counted elsewhere (asynchronous mode). */
export function checkLedger(
  attempts: readonly Attempt[],
  present: ReadonlySet<string>,
  node: string,
  mayLose: boolean,
): Finding[] {
  const findings: Finding[] = [];
  const lost = mayLose ? [] : lostRows(attempts, present).map(rowId);
  const { refused, unasked } = strangeRows(attempts, present);
  const report = (check: string, rows: readonly string[], what: string) => {
    if (rows.length > 0) {
      findings.push({ check, message: `${node}: ${rows.length} ${what}: ${some(rows)}` });
    }
  };
  report("lost", lost, "acknowledged rows are missing");
  report("refused", refused, "refused rows are there");
  report("unasked", unasked, "rows nobody wrote are there");
  return findings;
}
