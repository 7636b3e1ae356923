// Row of the worker lease and the guarded writes that change it. When to change it is decided by apply/lease.ts.
import { and, count, eq, sql } from "drizzle-orm";
import type { StoreDb } from "./db.ts";
import { workerLease } from "./schema.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

/** Who may run tasks. An empty holder = nobody. */
export interface WorkerLeaseRow {
  readonly epoch: number;
  /** Grows with every renewal. */
  readonly seq: number;
  /** Host id. */
  readonly holder: string;
  readonly incarnation: string;
  /** How long others wait after the last renewal. 0 = the holder works on nothing, and nobody has to wait. */
  readonly ttlMs: number;
}

/** Part of a commit: what must hold and what is written. */
export interface Change {
  readonly guards: readonly Guard[];
  readonly statements: readonly Query[];
}

const SINGLETON = 1;

/** The row, or undefined before the first worker. */
export async function loadWorkerLease(db: StoreDb): Promise<WorkerLeaseRow | undefined> {
  const [row] = await db.select().from(workerLease).limit(1);
  if (!row) return undefined;
  const { epoch, seq, holder, incarnation, ttlMs } = row;
  return { epoch, seq, holder, incarnation, ttlMs };
}

/** Holds while no one else has taken the lease since `epoch`. */
export function epochGuard(db: StoreDb, epoch: number): Guard {
  return {
    name: "worker_lease",
    query: db.select({ n: count() }).from(workerLease).where(eq(workerLease.epoch, epoch)).toSQL(),
  };
}

/** First lease ever; refused when another made it meanwhile (primary key). */
export function insertWorkerLease(db: StoreDb, next: WorkerLeaseRow): Change {
  return {
    guards: [],
    statements: [
      db
        .insert(workerLease)
        .values({ singleton: SINGLETON, ...next })
        .toSQL(),
    ],
  };
}

/** Takes the lease from exactly the row that was seen. */
export function takeWorkerLease(db: StoreDb, seen: WorkerLeaseRow, next: WorkerLeaseRow): Change {
  const unchanged = and(eq(workerLease.epoch, seen.epoch), eq(workerLease.seq, seen.seq));
  return {
    guards: [
      {
        name: "worker_lease",
        query: db.select({ n: count() }).from(workerLease).where(unchanged).toSQL(),
      },
    ],
    statements: [db.update(workerLease).set(next).where(unchanged).toSQL()],
  };
}

/** Shows that the holder of `epoch` is alive, and how long others have to wait for it from now on. */
export function renewWorkerLease(db: StoreDb, epoch: number, ttlMs: number): Change {
  return {
    guards: [epochGuard(db, epoch)],
    statements: [
      db
        .update(workerLease)
        .set({ ttlMs, seq: sql`${workerLease.seq} + 1` })
        .where(eq(workerLease.epoch, epoch))
        .toSQL(),
    ],
  };
}

/** Leaves the lease to whoever comes first. */
export function releaseWorkerLease(db: StoreDb, epoch: number): Change {
  return {
    guards: [epochGuard(db, epoch)],
    statements: [
      db
        .update(workerLease)
        .set({ holder: "", seq: sql`${workerLease.seq} + 1` })
        .where(eq(workerLease.epoch, epoch))
        .toSQL(),
    ],
  };
}
