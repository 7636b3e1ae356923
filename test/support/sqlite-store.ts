// The store in memory: bun:sqlite behind the same interface and with the same answers as rqlite.
// For unit tests; it passes the store's contract suite.
import { Database, SQLiteError } from "bun:sqlite";
import type { Clock } from "../../src/base/clock.ts";
import { seededRng } from "../../src/base/rng.ts";
import { migrate } from "../../src/store/migrate.ts";
import { migrations } from "../../src/store/migrations.gen.ts";
import type { RequestOptions, Rqlite } from "../../src/store/rqlite.ts";
import { statementReason } from "../../src/store/rqlite-answer.ts";
import { checkStatements, type Query, type QueryResult } from "../../src/store/statement.ts";
import { createStore, type Store } from "../../src/store/store.ts";
import { StoreError } from "../../src/store/store-error.ts";

/** An empty SQLite database that answers like rqlite. */
export function createSqlite(): Rqlite {
  const database = new Database(":memory:", { safeIntegers: true });
  return {
    async request(statements, options = {}) {
      options.signal?.throwIfAborted();
      checkStatements(statements);
      const results = runAll(database, statements, options);
      await Promise.resolve();
      return results;
    },
  };
}

/** A migrated store in memory. */
export async function memoryStore(clock: Clock): Promise<Store> {
  return (await memoryStoreParts(clock)).store;
}

/** A migrated store in memory with the client under it, to look at tables or to wrap it. */
export async function memoryStoreParts(clock: Clock): Promise<{ rqlite: Rqlite; store: Store }> {
  const rqlite = createSqlite();
  await migrate({ rqlite, clock }, migrations);
  return { rqlite, store: createStore({ rqlite, clock, rng: seededRng(1) }) };
}

function runAll(
  database: Database,
  statements: readonly Query[],
  options: RequestOptions,
): readonly QueryResult[] {
  const transaction = options.transaction ?? statements.length > 1;
  if (transaction) database.run("BEGIN IMMEDIATE");
  try {
    const results = statements.map((statement, position) => run(database, statement, position));
    if (transaction) database.run("COMMIT");
    return results;
  } catch (thrown) {
    if (transaction) database.run("ROLLBACK");
    throw thrown;
  }
}

function run(database: Database, query: Query, position: number): QueryResult {
  try {
    const statement = database.prepare(query.sql);
    const params = query.params.map(toBinding);
    const columns = statement.columnNames;
    const result =
      columns.length > 0
        ? { columns, rows: statement.values(...params).map(exactRow), changed: 0 }
        : { columns, rows: [], changed: statement.run(...params).changes };
    statement.finalize();
    return result;
  } catch (thrown) {
    if (!(thrown instanceof SQLiteError)) throw thrown;
    throw new StoreError(statementReason(thrown.message), thrown.message, { statement: position });
  }
}

function toBinding(value: unknown): string | number | bigint | null {
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  return typeof value === "string" || typeof value === "number" ? value : null;
}

/** Integers as numbers, as JSON has them; one that a number cannot hold is refused. */
function exactRow(row: readonly unknown[]): readonly unknown[] {
  return row.map((value) => {
    if (typeof value !== "bigint") return value;
    const number = Number(value);
    if (!Number.isSafeInteger(number)) {
      throw new StoreError("sql", "the store holds an integer beyond 2^53");
    }
    return number;
  });
}
