// How modules are named and put together: no cycles, no barrels, named exports, explicit extensions.

import {
  isClassDeclaration,
  isExportAssignment,
  isExportDeclaration,
  isFunctionDeclaration,
  SyntaxKind,
} from "typescript/unstable/ast";
import {
  isDeclaration,
  isGenerated,
  lineOf,
  type Project,
  type Source,
  type Violation,
} from "./project.ts";

const BANNED_NAMES = new Set([
  "utils",
  "util",
  "helpers",
  "helper",
  "common",
  "manager",
  "service",
  "services",
  "types",
  "misc",
]);
const FILE_NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.gen|\.d)?\.ts$/;

export function checkModules(project: Project): Violation[] {
  const violations = project.sources.flatMap((source) => [
    ...checkName(source),
    ...checkExtensions(source),
    ...checkDefaultExport(source),
    ...checkBarrel(source),
  ]);
  return [...violations, ...checkCycles(project)];
}

function checkName({ path }: Source): Violation[] {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const report = (message: string) => [{ rule: "names", path, line: 0, message }];
  if (!FILE_NAME.test(name)) return report("file names are kebab-case");
  const last = name.split(".")[0]?.split("-").at(-1) ?? "";
  // A service is an object of its own for an orchestrator.
  if (path.startsWith("src/orchestrator/") && last === "service") return [];
  return BANNED_NAMES.has(last) ? report(`"${last}" says nothing: name the job`) : [];
}

function checkExtensions({ path, imports }: Source): Violation[] {
  return imports
    .filter(({ target, asset }) => target !== undefined && !target.endsWith(".ts") && !asset)
    .map(({ specifier, line }) => ({
      rule: "extensions",
      path,
      line,
      message: `relative import without .ts: ${specifier}`,
    }));
}

function checkDefaultExport(source: Source): Violation[] {
  if (isDeclaration(source.path)) return [];
  const isDefault = source.tree.statements.filter((statement) => {
    if (isExportAssignment(statement)) return true;
    if (!isFunctionDeclaration(statement) && !isClassDeclaration(statement)) return false;
    return statement.modifiers?.some(({ kind }) => kind === SyntaxKind.DefaultKeyword) ?? false;
  });
  return isDefault.map((statement) => ({
    rule: "default-export",
    path: source.path,
    line: lineOf(source, statement),
    message: "exports are named",
  }));
}

/** A file of nothing but re-exports, or an index.ts other than a driver's. */
function checkBarrel({ path, tree }: Source): Violation[] {
  const report = (message: string) => [{ rule: "barrel", path, line: 0, message }];
  const isIndex = path.endsWith("/index.ts");
  if (/^src\/orchestrator\/[^/]+\/index\.ts$/.test(path)) return [];
  if (isIndex) return report("only a driver folder has an index.ts");
  const { statements } = tree;
  const reexports = statements.filter((node) => isExportDeclaration(node) && node.moduleSpecifier);
  const onlyReexports = statements.length > 0 && reexports.length === statements.length;
  return onlyReexports && !isGenerated(path) ? report("nothing but re-exports") : [];
}

/** Groups of files that import each other, type-only imports included. */
function checkCycles(project: Project): Violation[] {
  const graph = new Map<string, readonly string[]>();
  for (const { path, imports } of project.sources) {
    graph.set(path, [...new Set(imports.flatMap(({ target }) => target ?? []))]);
  }
  return findCycles(graph).map((cycle) => ({
    rule: "cycles",
    path: cycle[0] ?? "",
    line: 0,
    message: `import each other: ${cycle.join(" -> ")}`,
  }));
}

/** One path through each strongly connected group found by a depth-first search. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const start = trail.indexOf(path);
    if (start >= 0) cycles.push([...trail.slice(start), path]);
    if (start >= 0 || done.has(path)) return;
    trail.push(path);
    for (const next of graph.get(path) ?? []) visit(next);
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return cycles;
}
