// PostgreSQL's own parser, compiled to WebAssembly: tells whether a script's statement is one, before
// anything is created. The module is loaded from within the binary, so its usual entry, which looks
// for a file beside itself, is not used.
import load from "libpg-query/wasm/libpg-query.js";
import wasm from "libpg-query/wasm/libpg-query.wasm" with { type: "file" };
import { statementProblem } from "../postgres/statement.ts";

/** Why a text is not one SQL statement that can run in a transaction; null when it is. */
export type StatementParser = (sql: string) => string | null;

type PgQuery = Awaited<ReturnType<typeof load>>;

/** Offset of the error within a parse result, in bytes. */
const ERROR_OFFSET = 8;

/** Loads the parser, which takes some 30 ms and 20 MB; load it once. */
export async function loadStatementParser(): Promise<StatementParser> {
  const parser = await load({ locateFile: () => wasm });
  return (sql) => parse(parser, sql);
}

function parse(parser: PgQuery, sql: string): string | null {
  const bytes = parser.lengthBytesUTF8(sql) + 1;
  const query = parser._malloc(bytes);
  parser.stringToUTF8(sql, query, bytes);
  const result = parser._wasm_parse_query_raw(query);
  try {
    const error = parser.getValue(result + ERROR_OFFSET, "i32");
    if (error !== 0) return parser.UTF8ToString(parser.getValue(error, "i32"));
    const tree: unknown = JSON.parse(parser.UTF8ToString(parser.getValue(result, "i32")));
    return statementProblem(tree);
  } finally {
    parser._free(query);
    parser._wasm_free_parse_result(result);
  }
}
