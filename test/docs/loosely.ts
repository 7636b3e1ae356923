// Compares shown output with real output: everything that differs from run to run is the same here.

const SAME: readonly (readonly [RegExp, string])[] = [
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uuid>"],
  [/\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}(:?\d{2})?)?/g, "<time>"],
  [/\b[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} [\d:]{8} GMT/g, "<time>"],
  [/PGEDGE-\w{64}-\w{32}/g, "<token>"],
  [/(recovery_key: ).*/g, "$1<key>"],
  [/("(?:revision|version)": )".*"/g, "$1<build>"],
  [/PostgreSQL 1[4-8]\S* on .*/g, "PostgreSQL <version> on <machine>"],
  [/PostgreSQL 1[4-8](\.\d+)?/g, "PostgreSQL <version>"],
  // Part of the statement from PostgreSQL 16 on.
  [/ WITH INHERIT TRUE/g, ""],
  [/\b\d+(\.\d+)? ms\b/g, "<n> ms"],
  [/pgherd \d+\.\d+\.\d+ \(.*\), rqlited v[\d.]+/g, "pgherd <version>"],
  [/\b1[4-8]\.\d{1,2}(,1[4-8]\.\d{1,2})*\b/g, "<version>"],
  [/(127\.0\.0\.1 +)\d+( +\d)/g, "$1<cpus>$2"],
  [/SCRAM-SHA-256\$\S+|sha256:[0-9a-f]{8,}/g, "<digest>"],
  [/\b\d+(\.\d+)?( ?)([kMGT]i?B|kB)\b/g, "<size>"],
  [/(:|\bport"?:? ?)\d{4,5}\b/gi, "$1<port>"],
  [/\b(cpus"?: ?)\d+/g, "$1<n>"],
  [/-{3,}/g, "---"],
  [/[ \t]+/g, " "],
];

/** What a task log saw on the way: it looks now and then, and states pass quickly. */
const PASSING = /^<time> PostgreSQL is [a-z ]+$/;

/** The text with ids, times, versions, ports, sizes and widths taken out. */
export function normalised(text: string): string {
  const same = SAME.reduce((result, [pattern, name]) => result.replaceAll(pattern, name), text);
  return same
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => !PASSING.test(line))
    .join("\n")
    .trim();
}

/** The first line of `shown` that `actual` does not have in its place; undefined when they agree. `...` stands for any lines. */
export function difference(shown: string, actual: string): string | undefined {
  const real = normalised(actual).split("\n");
  let at = 0;
  let mayJump = false;
  for (const line of normalised(shown).split("\n")) {
    if (line === "...") {
      mayJump = true;
      continue;
    }
    const found = mayJump ? real.indexOf(line, at) : real[at] === line ? at : -1;
    if (found < 0) return `shown: ${line}\n real: ${real[at] ?? "(nothing more)"}`;
    at = found + 1;
    mayJump = false;
  }
  return mayJump || at >= real.length ? undefined : `not shown: ${real[at]}`;
}
