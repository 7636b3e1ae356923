// Answers already given to requests that carried an Idempotency-Key.
import { eq, lt } from "drizzle-orm";
import type { StoreDb } from "./db.ts";
import { idempotencyKeys } from "./schema.ts";
import type { Query } from "./statement.ts";

export interface StoredAnswer {
  /** Hash of the request that the key was first used with. */
  readonly requestHash: string;
  /** The answer as JSON. */
  readonly response: string;
}

export async function loadAnswer(db: StoreDb, key: string): Promise<StoredAnswer | undefined> {
  const [row] = await db.select().from(idempotencyKeys).where(eq(idempotencyKeys.key, key));
  return row && { requestHash: row.requestHash, response: row.response };
}

/** Keeps an answer in the commit that makes it true; a second use of the key breaks the primary key. */
export function saveAnswer(db: StoreDb, key: string, answer: StoredAnswer, atMs: number): Query {
  return db
    .insert(idempotencyKeys)
    .values({ key, ...answer, atMs })
    .toSQL();
}

export function pruneAnswers(db: StoreDb, beforeMs: number): Query {
  return db.delete(idempotencyKeys).where(lt(idempotencyKeys.atMs, beforeMs)).toSQL();
}
