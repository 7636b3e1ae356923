// Sizes of files and functions beside those of well-known peers, and who imports whom. Printed, never judged.
// Lines include comments and blanks; tests and generated files are left out.

import type { Node } from "typescript/unstable/ast";
import { LAYERS, layerOf } from "./layers.ts";
import { isProduct, type Project, type Source, walk } from "./project.ts";

type Spread = {
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
};

type Figures = {
  readonly files: number;
  readonly fileLines: Spread;
  readonly functions: number;
  readonly functionLines: Spread;
  /** Share of functions longer than 70 lines, in per cent. */
  readonly longPercent: number;
  readonly largestFile: string;
  readonly longestFunction: string;
};

const HEADER = [
  "code",
  "files",
  "lines: median / p90 / max",
  "functions: median / p99 / max",
  "> 70",
];

/** Measured the same way in other projects of the field. */
const PEERS: readonly (readonly string[])[] = [
  ["execa `lib`", "108", "54 / 136 / 243", "8 / 52 / 111", "0.2 %"],
  ["balena-supervisor `src`", "117", "134 / 476 / 1203", "11 / 127 / 361", "3.4 %"],
  ["Temporal TypeScript SDK", "152", "121 / 521 / 2534", "9 / 138 / 257", "3.1 %"],
  ["CloudNativePG `pkg`", "73", "113 / 468 / 1031", "14 / 119 / 272", "3.5 %"],
  ["pgEdge Control Plane", "362", "97 / 330 / 2059", "7 / 92 / 282", "1.9 %"],
  ["Patroni", "58", "317 / 1448 / 2610", "9 / 98 / 230", "2.1 %"],
];

export function measure(project: Project): Figures {
  const sources = project.sources.filter(({ path }) => isProduct(path));
  const files = sources.map((source) => ({ lines: countLines(source.text), name: source.path }));
  const functions = sources.flatMap(measureFunctions);
  const long = functions.filter(({ lines }) => lines > 70).length;
  return {
    files: files.length,
    fileLines: spread(files),
    functions: functions.length,
    functionLines: spread(functions),
    longPercent: functions.length === 0 ? 0 : (100 * long) / functions.length,
    largestFile: largest(files),
    longestFunction: largest(functions),
  };
}

/** The figures as a Markdown table, ours first, and what is largest. */
export function renderFigures(figures: Figures): string {
  const { fileLines: file, functionLines: fn } = figures;
  const ours = [
    "**pgherd**",
    `${figures.files}`,
    `${file.median} / ${file.p90} / ${file.max}`,
    `${fn.median} / ${fn.p99} / ${fn.max}`,
    `${figures.longPercent.toFixed(1)} %`,
  ];
  const extremes = `Largest file ${figures.largestFile}; longest function ${figures.longestFunction}.`;
  return `${table(HEADER, [ours, ...PEERS])}\n\n${extremes}`;
}

/** Import statements from each layer (row) to each other (column); a dot where there are none. */
export function renderMatrix(project: Project): string {
  const counts = new Map<string, number>();
  for (const { path, imports } of project.sources.filter((source) => isProduct(source.path))) {
    for (const { target } of imports) {
      const to = target && layerOf(target);
      const key = `${layerOf(path)} ${to}`;
      if (to) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const layers = [...Object.keys(LAYERS), "main"];
  const rows = layers.map((from) => [
    from,
    ...layers.map((to) => String(counts.get(`${from} ${to}`) ?? "·")),
  ]);
  return table(["imports", ...layers], rows);
}

function measureFunctions(source: Source): { lines: number; name: string }[] {
  const functions: { lines: number; name: string }[] = [];
  walk(source.tree, (node) => {
    if (!hasBlockBody(node)) return;
    const first = source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line;
    const last = source.tree.getLineAndCharacterOfPosition(node.getEnd()).line;
    functions.push({ lines: last - first + 1, name: `${source.path}:${first + 1}` });
  });
  return functions;
}

/** Functions, methods, accessors, constructors, and arrows with a block. */
function hasBlockBody(node: Node): boolean {
  return "body" in node && "parameters" in node && isBlock(node.body);
}

function isBlock(body: unknown): boolean {
  return typeof body === "object" && body !== null && "statements" in body;
}

const countLines = (text: string): number => text.replace(/\n$/, "").split("\n").length;

function spread(items: readonly { readonly lines: number }[]): Spread {
  const sorted = items.map(({ lines }) => lines).sort((a, b) => a - b);
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  return { median: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

function largest(items: readonly { readonly lines: number; readonly name: string }[]): string {
  const [first] = [...items].sort((a, b) => b.lines - a.lines);
  return first ? `${first.name} (${first.lines} lines)` : "none";
}

/** A Markdown table with aligned columns, readable on a terminal too. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0), 3),
  );
  const render = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  return [render(header), render(rule), ...rows.map(render)].join("\n");
}
