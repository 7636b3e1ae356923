// Work that steps ask of keepers. A request is found again by its id, so asking twice is asking once.
import { and, eq, inArray, isNotNull, lt } from "drizzle-orm";
import type { KeeperAnswer, KeeperRequest } from "../spec/instance-config.ts";
import type { StoreDb } from "./db.ts";
import { instances, keeperRequests } from "./schema.ts";
import type { Query } from "./statement.ts";

export interface NewKeeperRequest {
  /** `<task id>:<step id>`, or another text that repeats when the wish is the same. */
  readonly id: string;
  readonly instanceId: string;
  /** Generation of the configuration that must have been applied before. */
  readonly generation: number;
  readonly payload: KeeperRequest;
}

export interface StoredKeeperRequest {
  readonly state: string;
  /** Absent while the keeper has not answered. */
  readonly answer?: KeeperAnswer;
}

export async function loadKeeperRequest(
  db: StoreDb,
  id: string,
): Promise<StoredKeeperRequest | undefined> {
  const [row] = await db
    .select({ state: keeperRequests.state, answer: keeperRequests.answer })
    .from(keeperRequests)
    .where(eq(keeperRequests.id, id));
  if (!row) return undefined;
  if (row.answer === null) return { state: row.state };
  const answer: KeeperAnswer = JSON.parse(row.answer);
  return { state: row.state, answer };
}

/** Asks; a request of the same id that is there already stays as it is. */
export function askKeeper(db: StoreDb, request: NewKeeperRequest, atMs: number): Query {
  return db
    .insert(keeperRequests)
    .values({
      id: request.id,
      instanceId: request.instanceId,
      generation: request.generation,
      payload: JSON.stringify(request.payload),
      state: "pending",
      createdAtMs: atMs,
    })
    .onConflictDoNothing()
    .toSQL();
}

/** Takes back what the keeper has not begun. */
export function withdrawKeeperRequest(db: StoreDb, id: string): Query {
  return db
    .delete(keeperRequests)
    .where(and(eq(keeperRequests.id, id), eq(keeperRequests.state, "pending")))
    .toSQL();
}

export function deleteKeeperRequestsOf(db: StoreDb, databaseId: string): Query {
  const mine = db
    .select({ id: instances.id })
    .from(instances)
    .where(eq(instances.databaseId, databaseId));
  return db.delete(keeperRequests).where(inArray(keeperRequests.instanceId, mine)).toSQL();
}

/** Forgets answered requests. */
export function pruneKeeperRequests(db: StoreDb, beforeMs: number): Query {
  return db
    .delete(keeperRequests)
    .where(and(isNotNull(keeperRequests.finishedAtMs), lt(keeperRequests.createdAtMs, beforeMs)))
    .toSQL();
}
