import { describe, expect, test } from "bun:test";
import { checkStatements, isRead, type Query } from "./statement.ts";

function problem(...statements: readonly (Query | string)[]): string {
  try {
    checkStatements(
      statements.map((each) => (typeof each === "string" ? { sql: each, params: [] } : each)),
    );
    return "";
  } catch (thrown) {
    return String(thrown);
  }
}

describe("which statements only read", () => {
  test.each([
    "SELECT 1",
    "  select replace(a, 'b', 'c') from t",
    "/* delete */ SELECT 1",
    "VALUES (1)",
    "WITH a AS (SELECT 'insert') SELECT * FROM a",
    'with "update" as (select 1) select * from "update"',
  ])("reads: %s", (sql) => expect(isRead({ sql, params: [] })).toBe(true));

  test.each([
    "INSERT INTO t SELECT 1",
    "UPDATE t SET a = 1",
    "DELETE FROM t",
    "REPLACE INTO t VALUES (1)",
    "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
    "WITH a AS (SELECT 1) DELETE FROM t",
    "/* SELECT */ UPDATE t SET a = 1",
    "CREATE TABLE t (a)",
  ])("writes: %s", (sql) => expect(isRead({ sql, params: [] })).toBe(false));
});

describe("which requests are refused", () => {
  test("single statements with semicolons only where they separate nothing", () => {
    expect(problem("SELECT 'a;b';  -- ; end\n")).toBe("");
    expect(problem("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END")).toBe("");
    expect(problem("SELECT 1; SELECT 2")).toContain("more than one statement");
    expect(problem("SELECT ''';'; DELETE FROM t")).toContain("more than one statement");
    expect(problem(" ", "SELECT 1")).toContain("statement 1: empty");
  });

  test("values that JSON or SQLite would change", () => {
    const withValue = (value: unknown) => problem({ sql: "SELECT ?", params: ["a", value] });
    for (const value of ["", "text", 0, -1.5, 2 ** 53 - 1, null]) expect(withValue(value)).toBe("");
    for (const value of [undefined, true, Number.NaN, Infinity, 2 ** 53, 1n, {}, [1]]) {
      expect(withValue(value)).toContain("parameter 2 is no text, exact number or null");
    }
  });

  test("the message tells the place, never the value", () => {
    expect(problem("SELECT 1", { sql: "SELECT ?", params: [["s3cret"]] })).not.toContain("s3cret");
  });

  test("what cannot be undone together", () => {
    expect(problem("INSERT INTO t VALUES (1) RETURNING a")).toBe("");
    expect(problem("DELETE FROM t", "UPDATE t SET a = 'returning'")).toBe("");
    expect(problem("DELETE FROM t", "UPDATE t SET a = 1 RETURNING a")).toContain("RETURNING");
    expect(problem("SELECT 1", "DELETE FROM t")).toContain("cannot be sent together");
  });
});
