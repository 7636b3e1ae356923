// Drizzle over our client: it builds statements and runs reads. Writes are refused here, because a
// change is a commit (store.ts), and so are interactive transactions, which rqlite does not have.
import {
  type AsyncBatchRemoteCallback,
  type AsyncRemoteCallback,
  drizzle,
  type SqliteRemoteDatabase,
} from "drizzle-orm/sqlite-proxy";
import { AppError } from "../base/errors.ts";
import type { ReadLevel, Rqlite } from "./rqlite.ts";
import * as schema from "./schema.ts";
import { isRead, type QueryResult } from "./statement.ts";

type FullDb = SqliteRemoteDatabase<typeof schema>;

/**
 * Typed queries over the tables of schema.ts. SELECTs can be awaited and throw StoreError; `insert`,
 * `update` and `delete` are for `.toSQL()`. Several reads of one moment: `batch([...])`.
 */
export type StoreDb = Omit<FullDb, "transaction">;

/** A database whose reads have the given level. */
export function createStoreDb(rqlite: Rqlite, level: ReadLevel): StoreDb {
  const one: AsyncRemoteCallback = async (sql, params, method) => {
    refuseWrite({ sql, params });
    const [result] = await rqlite.request([{ sql, params }], { level });
    return rowsFor(result, method);
  };
  const many: AsyncBatchRemoteCallback = async (batch) => {
    for (const query of batch) refuseWrite(query);
    const results = await rqlite.request(batch, { level, transaction: true });
    return results.map((result, index) => rowsFor(result, batch[index]?.method));
  };
  const db = drizzle(one, many, { schema });
  throwPlainErrors(db);
  return Object.assign(db, { transaction: refuseTransaction });
}

function refuseWrite(query: { sql: string; params: unknown[] }): void {
  if (!isRead(query))
    throw new AppError("bug", "writes go through commit, not through the database");
}

function refuseTransaction(): never {
  throw new AppError("bug", "rqlite has no interactive transactions: use commit or batch");
}

function rowsFor(result: QueryResult | undefined, method: string | undefined): { rows: unknown[] } {
  const rows = result?.rows ?? [];
  if (method !== "get") return { rows: [...rows] };
  // Drizzle takes one row's values here and knows "no row" only as undefined, which its type forbids.
  return { rows: rows[0] as unknown[] };
}

/**
 * Drizzle wraps errors into one whose message holds the bound parameters. This unwraps it at the
 * source: the prepared query runs the callback directly.
 */
function throwPlainErrors(db: FullDb): void {
  const session: unknown = Reflect.get(db, "session");
  const prepare: unknown =
    typeof session === "object" && session ? Reflect.get(session, "prepareQuery") : undefined;
  if (typeof session !== "object" || !session || typeof prepare !== "function") {
    throw new AppError("bug", "Drizzle's session is not as expected");
  }
  const plain = (_sql: string, _params: unknown, run: () => Promise<unknown>) => run();
  Object.assign(session, {
    prepareQuery(...args: unknown[]) {
      const prepared: unknown = Reflect.apply(prepare, session, args);
      return Object.assign(Object(prepared), { queryWithCache: plain });
    },
  });
}
