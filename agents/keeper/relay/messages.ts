// What keepers of a host say to the one that relays: one JSON object per line over a unix socket. The bound of a
// line and its reader are the fencer's.
import { AppError, messageOf } from "../../../src/base/errors.ts";
import type { Query, QueryResult } from "../../../src/store/statement.ts";
import { isRecord, parseObject } from "../../fencer/protocol.ts";

export interface RelayRequest {
  readonly id: number;
  readonly statements: readonly Query[];
}

export type RelayAnswer =
  | { readonly id: number; readonly ok: true; readonly results: readonly QueryResult[] }
  | { readonly id: number; readonly ok: false; readonly message: string };

/** Throws a terminal AppError for a line that is no request. */
export function parseRelayRequest(line: string): RelayRequest {
  const value = parseObject(line);
  const statements = Array.isArray(value?.statements) ? value.statements.map(parseQuery) : [];
  if (typeof value?.id !== "number" || statements.length === 0) throw malformed("request");
  return { id: value.id, statements };
}

/** Throws a terminal AppError for a line that is no answer. */
export function parseRelayAnswer(line: string): RelayAnswer {
  const value = parseObject(line);
  if (typeof value?.id !== "number") throw malformed("answer");
  const { id } = value;
  if (value.ok !== true) return { id, ok: false, message: String(value.message) };
  if (!Array.isArray(value.results)) throw malformed("answer");
  return { id, ok: true, results: value.results.map(parseResult) };
}

export function relayFailure(id: number, error: unknown): RelayAnswer {
  return { id, ok: false, message: messageOf(error) };
}

function parseQuery(value: unknown): Query {
  if (!isRecord(value) || typeof value.sql !== "string" || !Array.isArray(value.params)) {
    throw malformed("statement");
  }
  return { sql: value.sql, params: value.params };
}

function parseResult(value: unknown): QueryResult {
  if (!isRecord(value) || typeof value.changed !== "number") throw malformed("result");
  const columns = Array.isArray(value.columns) ? value.columns.map(String) : [];
  const rows = Array.isArray(value.rows) ? value.rows.filter(Array.isArray) : [];
  return { columns, rows, changed: value.changed };
}

function malformed(what: string): AppError {
  return new AppError("terminal", `the relay's ${what} is malformed`);
}
