// Reads the body of an rqlite answer. rqlite answers 200 to statements that failed and to requests it
// could not pass on to the leader; what really happened is in the text.
import type { QueryResult } from "./statement.ts";
import { StoreError, type StoreReason } from "./store-error.ts";

/** The results, or the error that the answer tells. `count` is the number of statements sent. */
export function parseAnswer(text: string, count: number): readonly QueryResult[] | StoreError {
  const answer = parseJson(text);
  if (!isObject(answer)) return new StoreError("unknown", "the store's answer is no JSON object");
  if (typeof answer.error === "string") return requestError(answer.error);
  const raw = Array.isArray(answer.results) ? answer.results : [];
  const results: QueryResult[] = [];
  for (const [statement, entry] of raw.entries()) {
    if (!isObject(entry)) return new StoreError("unknown", "the store's answer holds no results");
    const error = entry.error;
    if (typeof error === "string") {
      return new StoreError(statementReason(error), error, { statement });
    }
    results.push(resultOf(entry));
  }
  if (results.length !== count) {
    return new StoreError("unknown", `the store answered ${results.length} of ${count} statements`);
  }
  return results;
}

/** What a failed statement means: it was refused, and its transaction with it. */
export function statementReason(message: string): StoreReason {
  if (message === "assert_failed") return "conflict";
  if (/constraint failed/i.test(message)) return "constraint";
  if (NO_SPACE.test(message)) return "full";
  if (/disk I\/O error|readonly database|database is locked/i.test(message)) return "unavailable";
  return "sql";
}

/**
 * Texts that prove that nothing was appended to the log. Everything else may have been: `leadership
 * lost while committing log`, `broken pipe` or `i/o timeout` on the way to the leader, and the like.
 */
const NO_LEADER = /not leader|leader not found|no leader|leadership transfer in progress/i;
const NOT_APPLIED =
  /dial tcp|connection refused|timed out enqueuing|not open|not ready|stale read/i;

/** Of SQLite, and of the log of Raft, which appended nothing then. */
const NO_SPACE = /disk is full|no space left on device/i;

function requestError(message: string): StoreError {
  const text = message.slice(0, 300);
  if (NO_SPACE.test(message)) return new StoreError("full", text);
  if (NO_LEADER.test(message)) return new StoreError("no_leader", text);
  if (NOT_APPLIED.test(message)) return new StoreError("unavailable", text);
  if (/pragma|unsupported|attempt to change database/i.test(message)) {
    return new StoreError("sql", text);
  }
  return new StoreError("unknown", text);
}

function resultOf(entry: Readonly<Record<string, unknown>>): QueryResult {
  const { columns, values, rows_affected: affected } = entry;
  return {
    columns: Array.isArray(columns) ? columns.map(String) : [],
    rows: Array.isArray(values) ? values.filter(Array.isArray) : [],
    changed: Array.isArray(columns) || typeof affected !== "number" ? 0 : affected,
  };
}

/** JSON in which integers that JavaScript cannot hold exactly are an error instead of another number. */
function parseJson(text: string): unknown {
  try {
    if (!/[[,:]\s*-?\d{16}/.test(text)) return JSON.parse(text);
    return JSON.parse(text, refuseInexact);
  } catch (thrown) {
    if (thrown instanceof StoreError) throw thrown;
    return undefined;
  }
}

function refuseInexact(_key: string, value: unknown): unknown {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new StoreError("sql", "the store holds an integer beyond 2^53");
  }
  return value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
