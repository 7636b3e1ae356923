// Databases as stored: the wanted spec with its secrets sealed, its generation and its state.
import { and, asc, count, eq, inArray, sql } from "drizzle-orm";
import type { DatabaseState } from "../spec/database.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { StoreDb } from "./db.ts";
import { databases } from "./schema.ts";
import type { Sealer } from "./sealing.ts";
import { openSpec, sealSpec } from "./spec-secrets.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

export interface DatabaseRecord {
  readonly id: string;
  readonly tenantId: string | null;
  readonly generation: number;
  readonly state: DatabaseState;
  /** It was available once; scripts run only before. */
  readonly wasAvailable: boolean;
  readonly spec: DatabaseSpec;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** States in which a change may be asked for. */
export const MODIFIABLE_STATES: readonly DatabaseState[] = ["available", "degraded", "failed"];
/** States that a change in progress leaves behind until its task ends. */
export const CHANGING_STATES: readonly DatabaseState[] = [
  "creating",
  "modifying",
  "restoring",
  "deleting",
];

/** One database with its secrets opened. */
export async function loadDatabase(
  db: StoreDb,
  sealer: Sealer,
  id: string,
): Promise<DatabaseRecord | undefined> {
  const [row] = await db.select().from(databases).where(eq(databases.id, id)).limit(1);
  if (!row) return undefined;
  const spec: DatabaseSpec = openSpec(JSON.parse(row.spec), sealer, id);
  return { ...row, spec, wasAvailable: row.wasAvailable === 1 };
}

/** All databases by id, without their specs. */
export async function listDatabases(db: StoreDb): Promise<readonly Omit<DatabaseRecord, "spec">[]> {
  const rows = await db
    .select({
      id: databases.id,
      tenantId: databases.tenantId,
      generation: databases.generation,
      state: databases.state,
      wasAvailable: databases.wasAvailable,
      createdAtMs: databases.createdAtMs,
      updatedAtMs: databases.updatedAtMs,
    })
    .from(databases)
    .orderBy(asc(databases.id));
  return rows.map((row) => ({ ...row, wasAvailable: row.wasAvailable === 1 }));
}

export function insertDatabase(db: StoreDb, sealer: Sealer, record: DatabaseRecord): Query {
  return db
    .insert(databases)
    .values({
      ...record,
      wasAvailable: record.wasAvailable ? 1 : 0,
      spec: JSON.stringify(sealSpec(record.spec, sealer, record.id)),
    })
    .toSQL();
}

/** A new wish for the database: spec, generation and state in one. */
export function updateDatabase(db: StoreDb, sealer: Sealer, record: DatabaseRecord): Query {
  return db
    .update(databases)
    .set({
      spec: JSON.stringify(sealSpec(record.spec, sealer, record.id)),
      generation: record.generation,
      state: record.state,
      updatedAtMs: record.updatedAtMs,
    })
    .where(eq(databases.id, record.id))
    .toSQL();
}

/** A new generation of the same spec, for changes that are not the spec's: delete, stop, start. */
export function advanceDatabase(
  db: StoreDb,
  record: Pick<DatabaseRecord, "id" | "generation" | "state" | "updatedAtMs">,
): Query {
  const { id, ...change } = record;
  return db.update(databases).set(change).where(eq(databases.id, id)).toSQL();
}

/** The end of a change, unless a newer one has begun. */
export function settleDatabase(
  db: StoreDb,
  id: string,
  generation: number,
  end: { readonly state: DatabaseState; readonly atMs: number },
): Query {
  return db
    .update(databases)
    .set({
      state: end.state,
      updatedAtMs: end.atMs,
      ...(end.state === "available" ? { wasAvailable: 1 } : {}),
    })
    .where(
      and(
        eq(databases.id, id),
        eq(databases.generation, generation),
        inArray(databases.state, [...CHANGING_STATES]),
      ),
    )
    .toSQL();
}

export function deleteDatabaseRow(db: StoreDb, id: string): Query {
  return db.delete(databases).where(eq(databases.id, id)).toSQL();
}

/** When it was created, in milliseconds: tells it from an earlier one of the same id. */
export async function databaseCreatedAt(db: StoreDb, id: string): Promise<number | undefined> {
  const [row] = await db
    .select({ createdAtMs: databases.createdAtMs })
    .from(databases)
    .where(eq(databases.id, id));
  return row?.createdAtMs;
}

export async function databaseExists(db: StoreDb, id: string): Promise<boolean> {
  const rows = await db.select({ id: databases.id }).from(databases).where(eq(databases.id, id));
  return rows.length > 0;
}

/** Holds while there is no database of this id. */
export function databaseFreeGuard(db: StoreDb, id: string): Guard {
  return {
    name: "database_free",
    query: db
      .select({ free: sql`${count()} = 0` })
      .from(databases)
      .where(eq(databases.id, id))
      .toSQL(),
  };
}

/** Holds while the database is exactly as it was read. */
export function databaseUnchangedGuard(
  db: StoreDb,
  record: Pick<DatabaseRecord, "id" | "generation" | "state">,
): Guard {
  return {
    name: "database_unchanged",
    query: db
      .select({ n: count() })
      .from(databases)
      .where(
        and(
          eq(databases.id, record.id),
          eq(databases.generation, record.generation),
          eq(databases.state, record.state),
        ),
      )
      .toSQL(),
  };
}

/** Holds while the database is at this generation, so that work for an older one has no effect. */
export function generationGuard(db: StoreDb, id: string, generation: number): Guard {
  return {
    name: "database_generation",
    query: db
      .select({ n: count() })
      .from(databases)
      .where(and(eq(databases.id, id), eq(databases.generation, generation)))
      .toSQL(),
  };
}
