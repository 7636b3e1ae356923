// The pure layers decide and never touch the world; and only base knows the clock and chance.

import { isIdentifier, type Node, SyntaxKind } from "typescript/unstable/ast";
import { isProduct, lineOf, type Project, type Source, type Violation, walk } from "./project.ts";

const PURE = ["src/spec/", "src/plan/", "src/ha/", "src/postgres/"];
/** Packages that compute and nothing else. */
const PURE_PACKAGES = new Set([
  "@sinclair/typebox",
  "@sinclair/typebox/errors",
  "@sinclair/typebox/value",
  "croner",
  "node:buffer",
  "node:crypto",
  "node:path",
  "node:path/posix",
  "node:util",
  "yaml",
]);
const WORLD = new Set(["Bun", "console", "fetch", "process", "require"]);

const CLOCK = new Set(["setTimeout", "setInterval", "setImmediate"]);
/** Members that read the clock or draw chance, by the global they belong to. */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  Bun: ["nanoseconds", "randomUUIDv5", "randomUUIDv7", "sleep", "sleepSync"],
  Date: ["now"],
  Math: ["random"],
  crypto: ["getRandomValues", "randomUUID"],
  performance: ["now", "timeOrigin"],
  process: ["hrtime", "uptime"],
};
const CHANCE = new Set(["randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID"]);

export function checkPurity(project: Project): Violation[] {
  const product = project.sources.filter(({ path }) => isProduct(path));
  const pure = product.filter(({ path }) => PURE.some((folder) => path.startsWith(folder)));
  const timed = product.filter(({ path }) => !path.startsWith("src/base/"));
  return [
    ...pure.flatMap(checkPackages),
    ...pure.flatMap((source) => collect(source, "purity", impurity)),
    ...timed.flatMap(checkTimerImports),
    ...timed.flatMap((source) => collect(source, "clock", clockUse)),
  ];
}

function checkPackages({ path, imports }: Source): Violation[] {
  return imports
    .filter(({ target, specifier, names }) => {
      if (target !== undefined || PURE_PACKAGES.has(specifier)) return false;
      // isIP and its kind only look at a string.
      return !(specifier === "node:net" && names.length > 0 && names.every(isAddressTest));
    })
    .map(({ specifier, line }) => ({
      rule: "purity",
      path,
      line,
      message: `a pure layer may not import ${specifier}`,
    }));
}

const isAddressTest = (name: string): boolean => /^isIP(v[46])?$/.test(name);

function checkTimerImports({ path, imports }: Source): Violation[] {
  const report = (line: number, what: string) => ({
    rule: "clock",
    path,
    line,
    message: `${what}: take a Clock, Rng or Ids from src/base instead`,
  });
  return imports.flatMap(({ specifier, names, line }) => {
    if (/^(node:)?timers(\/promises)?$/.test(specifier)) return [report(line, specifier)];
    return names.filter((name) => CHANCE.has(name)).map((name) => report(line, name));
  });
}

/** Reports every node for which `judge` has something to say. */
function collect(
  source: Source,
  rule: string,
  judge: (node: Node, source: Source) => string | undefined,
): Violation[] {
  const violations: Violation[] = [];
  walk(source.tree, (node) => {
    const message = judge(node, source);
    if (message) violations.push({ rule, path: source.path, line: lineOf(source, node), message });
  });
  return violations;
}

function impurity(node: Node): string | undefined {
  if (node.kind === SyntaxKind.AwaitExpression || node.kind === SyntaxKind.AsyncKeyword) {
    return "a pure layer does not wait";
  }
  if (!isIdentifier(node) || !WORLD.has(node.text) || !isReference(node)) return undefined;
  return `a pure layer does not use ${node.text}`;
}

function clockUse(node: Node, source: Source): string | undefined {
  const use = clockUseOf(node, source);
  return use && `${use}: take a Clock, Rng or Ids from src/base instead`;
}

function clockUseOf(node: Node, source: Source): string | undefined {
  if (!isIdentifier(node) || !isReference(node)) return undefined;
  const { text, parent } = node;
  if (CLOCK.has(text)) return text;
  if (text === "Date") return dateUse(parent.getText(source.tree));
  const member = /^\w+\??\.(\w+)$/.exec(parent.getText(source.tree))?.[1];
  return member && MEMBERS[text]?.includes(member) ? `${text}.${member}` : undefined;
}

/** `new Date(value)` and `Date.parse` compute; without an argument they read the clock. */
function dateUse(use: string): string | undefined {
  const reads = /^Date\.now$|^(new )?Date(\(\))?$/.test(use) && use !== "Date";
  return reads ? use : undefined;
}

/** Whether an identifier is used as a value of that name, rather than naming a member or a type. */
function isReference(node: Node): boolean {
  const { parent } = node;
  const names =
    "name" in parent &&
    parent.name === node &&
    parent.kind !== SyntaxKind.ShorthandPropertyAssignment;
  if (names && parent.kind === SyntaxKind.PropertyAccessExpression) {
    return "expression" in parent && isGlobalThis(parent.expression);
  }
  return !names && parent.kind !== SyntaxKind.TypeReference && parent.kind !== SyntaxKind.TypeQuery;
}

function isGlobalThis(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && "text" in value && value.text === "globalThis"
  );
}
