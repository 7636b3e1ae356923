// Sums up what scripts/test.sh ran: reads <run>.rc, <run>.log and, for test runs, <run>.xml (JUnit) from a
// directory, lists what failed and what was skipped, and ends in the one line that machines read.
//   bun scripts/test-report.ts DIRECTORY

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One command that was run. `junit` is undefined when it was no test run, or died before it reported. */
export type Run = {
  readonly name: string;
  readonly exitCode: number;
  readonly log: string;
  readonly junit: string | undefined;
};

/** `why`: what the test runner said of it, nothing where it said nothing. */
export type Failure = { readonly name: string; readonly why: string };

export type Outcome = {
  readonly passed: number;
  readonly failed: readonly Failure[];
  readonly skipped: readonly string[];
};

/** Counts one run. A run that ended badly always has at least one failure, whatever it reported. */
export function judgeRun({ name, exitCode, log, junit }: Run): Outcome {
  const cases = junit === undefined ? [] : parseCases(junit);
  const found = (state: TestCase["state"]) =>
    cases
      .filter((test) => test.state === state)
      .map((test) => ({ name: `${name}: ${test.name}`, why: test.why }));
  const failed = found("failed");
  // A test file that cannot be loaded is missing from JUnit, but not from the summary on the terminal.
  const unreported = Number(/^ *(\d+) fail$/m.exec(log)?.[1] ?? 0) - failed.length;
  for (let count = 0; count < unreported; count++)
    failed.push({ name: `${name}: error outside of a test`, why: "" });
  if (exitCode !== 0 && failed.length === 0)
    failed.push({ name: `${name}: exit code ${exitCode}`, why: "" });
  const skipped = found("skipped").map((test) => test.name);
  return { passed: found("passed").length, failed, skipped };
}

/** Of why a test failed, as much is repeated in the report. */
const WHY_LINES_MAX = 12;
const WHY_COLUMNS_MAX = 300;

/** The report on all runs; its last line is `N passed, N failed, N skipped`. */
export function renderReport(outcomes: readonly Outcome[]): string {
  const failed = outcomes.flatMap((outcome) => outcome.failed);
  const skipped = outcomes.flatMap((outcome) => outcome.skipped);
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const lines = [
    ...skipped.map((name) => `skipped  ${name}`),
    ...failed.flatMap(({ name, why }) => [`FAILED   ${name}`, ...shortened(why)]),
    `${passed} passed, ${failed.length} failed, ${skipped.length} skipped`,
  ];
  return lines.join("\n");
}

/** Lines for below the name; the log has all of it. */
function shortened(why: string): string[] {
  const lines = why.split("\n").filter((line) => line.trim() !== "");
  return lines
    .slice(0, WHY_LINES_MAX)
    .map((line) => `         ${line.trim().slice(0, WHY_COLUMNS_MAX)}`);
}

type TestCase = {
  readonly name: string;
  readonly state: "passed" | "failed" | "skipped";
  readonly why: string;
};

const CASE = /<testcase name="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function parseCases(junit: string): TestCase[] {
  return [...junit.matchAll(CASE)].map(([, name = "", group = "", body = ""]) => {
    const state = /<(failure|error)\b/.test(body) ? "failed" : "passed";
    return {
      // The group is written innermost first.
      name: decodeEntities([...group.split(" &gt; ").reverse(), name].filter(Boolean).join(" > ")),
      state: body.includes("<skipped") ? "skipped" : state,
      why: decodeEntities(/<(?:failure|error)\b[^>]*? message="([^"]*)"/.exec(body)?.[1] ?? ""),
    };
  });
}

function decodeEntities(text: string): string {
  const named = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
    .replace(/&(lt|gt|quot|apos|amp);/g, (all, name: keyof typeof named) => named[name] ?? all);
}

function readRuns(directory: string): Run[] {
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  const names = readdirSync(directory).filter((name) => name.endsWith(".rc"));
  return names.sort().map((file) => {
    const name = file.slice(0, -".rc".length);
    return {
      name,
      exitCode: Number(read(file)),
      log: read(`${name}.log`),
      junit: existsSync(join(directory, `${name}.xml`)) ? read(`${name}.xml`) : undefined,
    };
  });
}

if (import.meta.main) {
  const outcomes = readRuns(process.argv[2] ?? ".").map(judgeRun);
  console.log(renderReport(outcomes));
  process.exit(outcomes.some(({ failed }) => failed.length > 0) ? 1 : 0);
}
