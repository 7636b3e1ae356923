import { beforeAll, expect, test } from "bun:test";
import { loadStatementParser, type StatementParser } from "./statement-parser.ts";

let parse: StatementParser = () => "not loaded";

beforeAll(async () => {
  parse = await loadStatementParser();
});

test.each([
  "SELECT 1",
  "SELECT 1;",
  "  -- why\n INSERT INTO t VALUES (1, ';', $$;$$) ; ",
  "CREATE TABLE t (id int PRIMARY KEY, note text DEFAULT E'a\\';b')",
  "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
  "DO $body$ BEGIN PERFORM 1; PERFORM 2; END $body$",
  "ANALYZE t",
  "CREATE INDEX i ON t (id)",
  "REINDEX TABLE t",
  "CLUSTER t USING i",
  "DROP INDEX i",
  "ALTER TABLE t DETACH PARTITION p",
  "ALTER DATABASE d SET work_mem = '4MB'",
  "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false)",
  "COPY t FROM '/file'",
  "CREATE EXTENSION IF NOT EXISTS hstore",
  "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE",
])("is one statement: %s", (sql) => {
  expect(parse(sql)).toBeNull();
});

test.each([
  ["", "no statement"],
  [" ; -- nothing", "no statement"],
  ["SELECT 1; SELECT 2", "2 statements"],
  ["SELECT 1; DROP TABLE t; SELECT 3;", "3 statements"],
  ["SELEC 1", 'syntax error at or near "SELEC"'],
  ["SELECT 'open", "unterminated quoted string"],
  ["SELECT (1", "syntax error at end of input"],
  ["BEGIN", "transaction"],
  ["COMMIT", "transaction"],
  ["ROLLBACK", "transaction"],
  ["PREPARE TRANSACTION 'x'", "transaction"],
  ["VACUUM", "VACUUM"],
  ["VACUUM FULL t", "VACUUM"],
  ["CREATE DATABASE d", "CREATE DATABASE"],
  ["DROP DATABASE d", "DROP DATABASE"],
  ["CREATE TABLESPACE s LOCATION '/s'", "CREATE TABLESPACE"],
  ["DROP TABLESPACE s", "DROP TABLESPACE"],
  ["ALTER SYSTEM SET work_mem = '1MB'", "postgresql_conf"],
  ["ALTER DATABASE d SET TABLESPACE s", "transaction"],
  ["CREATE INDEX CONCURRENTLY i ON t (id)", "CONCURRENTLY"],
  ["CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (id)", "CONCURRENTLY"],
  ["DROP INDEX CONCURRENTLY i", "CONCURRENTLY"],
  ["REINDEX TABLE CONCURRENTLY t", "CONCURRENTLY"],
  ["REINDEX (CONCURRENTLY) INDEX i", "CONCURRENTLY"],
  ["REINDEX DATABASE d", "more than one table"],
  ["REINDEX SCHEMA s", "more than one table"],
  ["ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "CONCURRENTLY"],
  ["CLUSTER", "CLUSTER"],
  ["CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", "slot"],
  ["DISCARD ALL", "DISCARD ALL"],
  ["COPY t FROM STDIN", "COPY"],
  ["COPY t TO STDOUT", "COPY"],
])("is not one statement for a transaction: %s", (sql, reason) => {
  expect(parse(sql)).toContain(reason);
});

test("keeps working after many errors and long texts", () => {
  for (let round = 0; round < 2_000; round += 1) parse(`SELECT ${"(".repeat(round % 1_000)}`);
  expect(parse(`SELECT ${"(".repeat(400)}1${")".repeat(400)}`)).toBeNull();
});
