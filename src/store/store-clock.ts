// The wall clock of the store's leader: the one that hosts compare theirs with.
import { sql } from "drizzle-orm";
import type { StoreDb } from "./db.ts";
import { cluster } from "./schema.ts";

/** Wall clock of the node that answers, in milliseconds; undefined while there is no cluster. */
export async function storeNowMs(db: StoreDb): Promise<number | undefined> {
  // julianday() counts days from noon; this is the Unix epoch in it.
  const nowMs = sql<number>`CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`;
  const [row] = await db.select({ nowMs }).from(cluster).limit(1);
  return row?.nowMs;
}
