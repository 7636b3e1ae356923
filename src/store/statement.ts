// Which SQL may be sent to the store. rqlite shares its connections between requests, so transaction
// control and settings would leak from one request into others; and of a text with several statements
// it reports only the last. Both are refused before anything is sent.
import { StoreError } from "./store-error.ts";

export type Param = string | number | null;

/** One statement with its bound values. Drizzle's `.toSQL()` fits; values other than Param are refused. */
export interface Query {
  readonly sql: string;
  readonly params: readonly unknown[];
}

/** What the store answers to one statement. */
export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** Rows changed; 0 for statements that answer with rows (SELECT, RETURNING). */
  readonly changed: number;
}

const FORBIDDEN = /^(begin|commit|end|rollback|savepoint|release|attach|detach|vacuum|pragma)\b/i;
const READ = /^(select|values)\b/i;
const WITH = /^with\b/i;
const WRITE_WORD = /\b(insert|update|delete|replace)\b/i;
const RETURNING = /\breturning\b/i;
const TRIGGER = /^create\s+(temp\s+|temporary\s+)?trigger\b/i;

/**
 * Throws a `sql` StoreError unless every statement is single, allowed, and bound to exact values, and
 * together they can be all or nothing. rqlite (8, 9 and 10 up to 10.2) commits a transaction in spite
 * of a failed statement when that has RETURNING (rqlite issue 2530), or when it cannot be prepared and
 * was sent with reads on /db/request (rqlite pull request 2792). So reads and writes do not mix, and
 * RETURNING stands alone.
 */
export function checkStatements(statements: readonly Query[]): void {
  for (const [position, statement] of statements.entries()) {
    const problem = problemOf(statement);
    if (problem) {
      throw new StoreError("sql", `statement ${position + 1}: ${problem}`, { statement: position });
    }
  }
  if (statements.length < 2) return;
  const reads = statements.filter(isRead).length;
  if (reads > 0 && reads < statements.length) {
    throw new StoreError("sql", "reads and writes cannot be sent together");
  }
  if (statements.some((statement) => RETURNING.test(withoutTexts(statement.sql)))) {
    throw new StoreError("sql", "RETURNING is not allowed beside other statements");
  }
}

/** Whether the statement only reads. Never true of one that writes; may be false of one that reads. */
export function isRead(statement: Query): boolean {
  const bare = withoutTexts(statement.sql);
  return READ.test(bare) || (WITH.test(bare) && !WRITE_WORD.test(bare));
}

function problemOf(statement: Query): string | undefined {
  const bare = withoutTexts(statement.sql);
  if (bare === "") return "empty";
  const forbidden = FORBIDDEN.exec(bare)?.[1];
  if (forbidden) return `${forbidden.toUpperCase()} is not allowed`;
  if (!TRIGGER.test(bare) && /;\s*\S/.test(bare)) return "more than one statement in one text";
  for (const [index, param] of statement.params.entries()) {
    if (!isParam(param)) return `parameter ${index + 1} is no text, exact number or null`;
  }
  return undefined;
}

function isParam(value: unknown): value is Param {
  if (value === null || typeof value === "string") return true;
  return (
    typeof value === "number" &&
    Number.isFinite(value) &&
    (!Number.isInteger(value) || Number.isSafeInteger(value))
  );
}

/** The SQL with quoted texts, quoted names and comments blanked, so that words can be looked for. */
function withoutTexts(sql: string): string {
  return sql
    .replace(
      /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\//g,
      (text) => (text.startsWith("--") || text.startsWith("/*") ? " " : "''"),
    )
    .trim();
}
