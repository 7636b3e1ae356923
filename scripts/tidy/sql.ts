// SQL that rqlite must not see. Transaction control poisons its connections; time and chance in SQL give
// every replica another value; a cascade deletes rows behind the back of the code that owns them.

import {
  isCallExpression,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isStringLiteral,
  type Node,
  SyntaxKind,
} from "typescript/unstable/ast";
import { isProduct, lineOf, type Project, type Source, type Violation, walk } from "./project.ts";

const CONTROL = "BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|VACUUM|ATTACH|DETACH|PRAGMA";
const ANYWHERE: readonly (readonly [RegExp, string])[] = [
  [/\bON\s+DELETE\s+CASCADE\b/i, "ON DELETE CASCADE"],
  [/\bCURRENT_(TIMESTAMP|DATE|TIME)\b/i, "the time made in SQL"],
  [/\b(datetime|julianday|unixepoch|strftime)\s*\(/i, "the time made in SQL"],
  [/\b(date|time)\s*\(\s*'/i, "the time made in SQL"],
  [/\b(random|randomblob)\s*\(/i, "chance made in SQL"],
];
const TEXT_KINDS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
]);

export function checkSql(project: Project): Violation[] {
  const product = project.sources.filter(({ path }) => isProduct(path));
  return [
    ...project.migrations.flatMap(({ path, text }) => checkMigration(path, text)),
    ...product.filter(({ path }) => path.startsWith("src/store/")).flatMap(checkStrings),
    ...product.flatMap(checkTransactionCalls),
  ];
}

function checkMigration(path: string, text: string): Violation[] {
  const control = new RegExp(`^\\s*(${CONTROL}|DROP\\s+TABLE)\\b`, "i");
  const violations: Violation[] = [];
  let inTrigger = false;
  for (const [index, line] of text.split("\n").entries()) {
    const code = line.replace(/--.*/, "");
    if (/^-->/.test(line)) inTrigger = false;
    if (/\bCREATE\s+TRIGGER\b/i.test(code)) inTrigger = true;
    const found = inTrigger ? undefined : control.exec(code)?.[1];
    for (const what of [...(found ? [found.toUpperCase()] : []), ...bannedAnywhere(code)]) {
      violations.push({ rule: "sql", path, line: index + 1, message: `${what} in a migration` });
    }
  }
  return violations;
}

/** Upper case, or more than the word: `commit` alone may well be a key or part of a sentence. */
function checkStrings(source: Source): Violation[] {
  const control = new RegExp(`^\\s*(${CONTROL})\\b`);
  const phrase = /^\s*(begin (transaction|immediate|exclusive|deferred)|savepoint \w|pragma \w)/i;
  const violations: Violation[] = [];
  walk(source.tree, (node) => {
    if (!TEXT_KINDS.has(node.kind)) return;
    const text = node.getText(source.tree).slice(1);
    const found = (control.exec(text) ?? phrase.exec(text))?.[1];
    for (const what of [...(found ? [found] : []), ...bannedAnywhere(text)]) {
      violations.push(at(source, node, `${what} must not reach rqlite`));
    }
  });
  return violations;
}

/** Drizzle's transaction() sends BEGIN and COMMIT on their own. */
function checkTransactionCalls(source: Source): Violation[] {
  const violations: Violation[] = [];
  walk(source.tree, (node) => {
    if (isCallExpression(node) && isPropertyAccessExpression(node.expression)) {
      if (node.expression.name.text === "transaction") {
        violations.push(at(source, node, "transaction() sends BEGIN and COMMIT: use commit()"));
      }
    }
    if (isPropertyAssignment(node) && node.name.getText(source.tree) === "onDelete") {
      const { initializer } = node;
      if (isStringLiteral(initializer) && initializer.text === "cascade") {
        violations.push(at(source, node, "ON DELETE CASCADE must not reach rqlite"));
      }
    }
  });
  return violations;
}

function bannedAnywhere(sql: string): string[] {
  return ANYWHERE.filter(([pattern]) => pattern.test(sql)).map(([, what]) => what);
}

function at(source: Source, node: Node, message: string): Violation {
  return { rule: "sql", path: source.path, line: lineOf(source, node), message };
}
