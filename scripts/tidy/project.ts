// The parsed sources that the rules look at. Parsing is done by the TypeScript compiler that package.json
// pins, through its API, so that type-only imports and odd syntax are seen as they are.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isNamedImports,
  isStringLiteral,
  type Node,
  type SourceFile,
  SyntaxKind,
} from "typescript/unstable/ast";
import { API } from "typescript/unstable/async";

export type Violation = {
  readonly rule: string;
  /** Relative to the root of the project. */
  readonly path: string;
  /** From 1; 0 when the file as a whole is meant. */
  readonly line: number;
  readonly message: string;
};

export type Import = {
  readonly specifier: string;
  /** The imported file relative to the root; undefined for a package. */
  readonly target: string | undefined;
  /** Imported names, empty for namespace, default, dynamic and re-exporting imports. */
  readonly names: readonly string[];
  /** Has `with { type: ... }`: an asset. */
  readonly asset: boolean;
  readonly line: number;
};

export type Source = {
  /** Relative to the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly tree: SourceFile;
  readonly imports: readonly Import[];
};

export type Project = {
  readonly sources: readonly Source[];
  readonly migrations: readonly { readonly path: string; readonly text: string }[];
};

/** Parses what the tsconfig.json in `root` includes, and reads the migrations. */
export async function loadProject(root: string): Promise<Project> {
  const config = join(root, "tsconfig.json");
  const api = new API({ cwd: root });
  try {
    const snapshot = await api.updateSnapshot({ openProjects: [config] });
    const program = snapshot.getProject(config)?.program;
    if (!program) throw new Error(`${config} cannot be loaded`);
    const sources: Source[] = [];
    for (const name of await program.getSourceFileNames()) {
      const path = relative(root, name);
      if (path.startsWith("..") || path.includes("node_modules/") || !path.endsWith(".ts"))
        continue;
      const tree = await program.getSourceFile(name);
      if (tree) sources.push({ path, text: tree.text, tree, imports: findImports(tree, path) });
    }
    sources.sort((a, b) => (a.path < b.path ? -1 : 1));
    return { sources, migrations: readMigrations(root) };
  } finally {
    await api.close();
  }
}

/** Calls `visit` for the node and everything below it, parents first. */
export function walk(node: Node, visit: (node: Node) => void): void {
  visit(node);
  node.forEachChild((child) => {
    walk(child, visit);
  });
}

/** Line of a node, from 1. */
export function lineOf(source: { readonly tree: SourceFile }, node: Node): number {
  return source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line + 1;
}

export const isTest = (path: string): boolean => path.endsWith(".test.ts");
export const isGenerated = (path: string): boolean => path.endsWith(".gen.ts");
export const isDeclaration = (path: string): boolean => path.endsWith(".d.ts");

/** Code of the product itself: under src/ or agents/, neither test nor generated nor declarations. */
export function isProduct(path: string): boolean {
  if (!path.startsWith("src/") && !path.startsWith("agents/")) return false;
  return !isTest(path) && !isGenerated(path) && !isDeclaration(path);
}

function readMigrations(root: string): { path: string; text: string }[] {
  const directory = join(root, "migrations");
  const names = readdirSync(directory).filter((name) => name.endsWith(".sql"));
  return names.sort().map((name) => ({
    path: `migrations/${name}`,
    text: readFileSync(join(directory, name), "utf8"),
  }));
}

function findImports(tree: SourceFile, path: string): Import[] {
  const imports: Import[] = [];
  walk(tree, (node) => {
    const literal = specifierOf(node);
    if (!literal) return;
    const specifier = literal.text;
    imports.push({
      specifier,
      target: specifier.startsWith(".") ? join(dirname(path), specifier) : undefined,
      names: importedNames(node),
      asset: isImportDeclaration(node) && node.attributes !== undefined,
      line: lineOf({ tree }, node),
    });
  });
  return imports;
}

/** The module that an import, a re-export, `import()` or `import("...").Type` names. */
function specifierOf(node: Node): { readonly text: string } | undefined {
  if (isImportDeclaration(node) || isExportDeclaration(node)) {
    const module = node.moduleSpecifier;
    return module && isStringLiteral(module) ? module : undefined;
  }
  if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) {
    const module = node.arguments[0];
    return module && isStringLiteral(module) ? module : undefined;
  }
  if (isImportTypeNode(node) && isLiteralTypeNode(node.argument)) {
    const module = node.argument.literal;
    return isStringLiteral(module) ? module : undefined;
  }
  return undefined;
}

function importedNames(node: Node): string[] {
  if (!isImportDeclaration(node)) return [];
  const bindings = node.importClause?.namedBindings;
  if (!bindings || !isNamedImports(bindings)) return [];
  return bindings.elements.map((element) => (element.propertyName ?? element.name).text);
}
