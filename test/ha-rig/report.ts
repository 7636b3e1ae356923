// The report of a matrix: Markdown, a row per fault, with everything that is needed to repeat it.
import type { FaultResult } from "./runner.ts";
import type { Setup } from "./system.ts";

export interface ReportRow {
  readonly id: string;
  readonly setup: Setup;
  readonly result: FaultResult;
  /** What was not allowed. */
  readonly wrong: readonly string[];
}

export interface Report {
  readonly system: string;
  readonly version: string;
  readonly seed: number;
  readonly rows: readonly ReportRow[];
  /** What the comparison at the end of a run found, and runs that broke off. */
  readonly findings: readonly string[];
  readonly notDone: readonly string[];
}

export function renderReport(report: Report): string {
  const { system, version, seed, rows, findings, notDone } = report;
  const bad = rows.filter(({ wrong }) => wrong.length > 0);
  const sum = (number: (result: FaultResult) => number) =>
    rows.reduce((total, { result }) => total + number(result), 0);
  const synchronous = rows.filter(({ setup }) => setup.mode !== "async");
  const lost = synchronous.reduce((total, { result }) => total + result.lost, 0);
  return [
    `# Faults: ${system}`,
    "",
    `${version}. Seed ${seed}. ${rows.length} faults, ${bad.length} of them with a defect.`,
    `Acknowledged rows lost in synchronous modes: ${lost}. Time in which two nodes acknowledged: ${seconds(sum(({ overlapMs }) => overlapMs))} s.`,
    "",
    "| | fault | mode | timings | PostgreSQL | write gap s | two nodes s | lost rows | promotions | all streaming again s | |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
    ...rows.map(renderRow),
    "",
    ...section("Found by comparing the nodes at the end", findings),
    ...section("Not done here", notDone),
    "A fault is repeated alone by `bun scripts/faults.ts --only <its number> --modes <mode> --majors <version> --seed <seed>`.",
    "",
  ].join("\n");
}

function renderRow({ id, setup, result, wrong }: ReportRow): string {
  const cells = [
    id,
    result.fault,
    setup.mode,
    setup.timings,
    String(setup.major),
    seconds(result.gapMs),
    seconds(result.overlapMs),
    String(result.lost),
    String(result.promotions),
    result.redundancyMs === undefined ? "never" : seconds(result.redundancyMs),
    wrong.length === 0 ? "ok" : `**${wrong.join("; ")}**`,
  ];
  return `| ${cells.join(" | ")} |`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`## ${title}`, "", ...lines.map((line) => `- ${line}`), ""];
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(2);
