// The table of the benchmark: medians of both systems and their ratio.
import type { FaultResult } from "../../test/ha-rig/runner.ts";
import type { Timings } from "../../test/ha-rig/system.ts";
import { median } from "../figures.ts";

export interface Measurement extends FaultResult {
  readonly system: string;
  readonly timings: Timings;
  /** Short name of the fault. */
  readonly key: string;
}

/** Markdown: a row per fault, seconds as median (smallest to largest). */
export function renderTable(measurements: readonly Measurement[], timings: Timings): string {
  const of = measurements.filter((each) => each.timings === timings);
  const keys = [...new Set(of.map(({ key }) => key))];
  const lines = [
    `timings: ${timings}`,
    "",
    "| fault | | n | write gap s | two nodes s | lost rows | all streaming again s |",
    "|---|---|---|---|---|---|---|",
  ];
  for (const key of keys) {
    const ours = of.filter((each) => each.key === key && each.system === "pgherd");
    const theirs = of.filter((each) => each.key === key && each.system === "patroni");
    if (ours.length > 0) lines.push(row(key, "pgherd", ours));
    if (theirs.length > 0) lines.push(row(key, "patroni", theirs));
    if (ours.length > 0 && theirs.length > 0) lines.push(ratios(key, ours, theirs));
  }
  return lines.join("\n");
}

const gaps = (results: readonly Measurement[]) => results.map(({ gapMs }) => gapMs);
const overlaps = (results: readonly Measurement[]) => results.map(({ overlapMs }) => overlapMs);
const returns = (results: readonly Measurement[]) =>
  results.map(({ redundancyMs }) => redundancyMs ?? Number.POSITIVE_INFINITY);

function row(key: string, system: string, results: readonly Measurement[]): string {
  const lost = results.map((result) => result.lost);
  const cells = [
    key,
    system,
    String(results.length),
    spread(gaps(results)),
    spread(overlaps(results)),
    `${median(lost)} (${Math.min(...lost)} to ${Math.max(...lost)})`,
    spread(returns(results)),
  ];
  return `| ${cells.join(" | ")} |`;
}

function ratios(key: string, ours: readonly Measurement[], theirs: readonly Measurement[]): string {
  const ratio = (values: (results: readonly Measurement[]) => number[]) => {
    const quotient = median(values(ours)) / median(values(theirs));
    return Number.isFinite(quotient) ? `× ${quotient.toFixed(2)}` : "";
  };
  return `| ${key} | ratio | | ${ratio(gaps)} | | | ${ratio(returns)} |`;
}

function spread(milliseconds: readonly number[]): string {
  const seconds = (ms: number) => (Number.isFinite(ms) ? (ms / 1_000).toFixed(2) : "never");
  return `${seconds(median(milliseconds))} (${seconds(Math.min(...milliseconds))} to ${seconds(Math.max(...milliseconds))})`;
}
