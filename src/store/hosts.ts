// Host records and their last status, both written by the host's own server.
import { and, asc, count, eq, inArray, ne, sql } from "drizzle-orm";
import type { HostRecord, HostStatus } from "../spec/host.ts";
import type { StoreDb } from "./db.ts";
import { type HostSettings, settingsOf, withSettings } from "./host-settings.ts";
import { hostSettings, hostStatuses, hosts, ports } from "./schema.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

/** What a host said of itself last, and when (wall clock, milliseconds). */
export interface StoredHostStatus {
  readonly status: Pick<HostStatus, "components">;
  readonly updatedAtMs: number;
}

export interface StoredHost {
  /** As the host wrote it. */
  readonly record: HostRecord;
  /** What users said beside it. */
  readonly settings: HostSettings;
  /** Absent = never reported. */
  readonly status?: StoredHostStatus;
}

/** All hosts, or those of the given ids, by id. Unknown ids are left out. */
export async function listHosts(
  db: StoreDb,
  ids?: readonly string[],
): Promise<readonly StoredHost[]> {
  const rows = await db
    .select({
      record: hosts.record,
      status: hostStatuses.status,
      updatedAtMs: hostStatuses.updatedAtMs,
      settings: hostSettings,
    })
    .from(hosts)
    .leftJoin(hostStatuses, eq(hostStatuses.hostId, hosts.id))
    .leftJoin(hostSettings, eq(hostSettings.hostId, hosts.id))
    .where(ids ? inArray(hosts.id, [...ids]) : undefined)
    .orderBy(asc(hosts.id));
  return rows.map((row) => {
    const record: HostRecord = JSON.parse(row.record);
    const known = { record, settings: settingsOf(row.settings) };
    if (row.status === null || row.updatedAtMs === null) return known;
    return { ...known, status: { status: JSON.parse(row.status), updatedAtMs: row.updatedAtMs } };
  });
}

/** Every host as databases are placed on it: what users said of it counts more than what it says. */
export async function listPlaces(db: StoreDb): Promise<readonly HostRecord[]> {
  return (await listHosts(db)).map(({ record, settings }) => withSettings(record, settings));
}

/** Writes the record of a host that is new. */
export function insertHost(db: StoreDb, record: HostRecord, atMs: number): Query {
  const text = JSON.stringify(record);
  return db
    .insert(hosts)
    .values({ id: record.id, generation: 1, record: text, createdAtMs: atMs, updatedAtMs: atMs })
    .toSQL();
}

/** Writes a host's record at the start of its server. */
export function saveHost(db: StoreDb, record: HostRecord, atMs: number): Query {
  const text = JSON.stringify(record);
  return db
    .insert(hosts)
    .values({ id: record.id, generation: 1, record: text, createdAtMs: atMs, updatedAtMs: atMs })
    .onConflictDoUpdate({
      target: hosts.id,
      set: { record: text, generation: sql`${hosts.generation} + 1`, updatedAtMs: atMs },
    })
    .toSQL();
}

/** From now on no host but this one has a member of the store, and that one has this Raft address. */
export function forgetOtherMembers(
  db: StoreDb,
  own: { readonly hostId: string; readonly raft: string },
): readonly Query[] {
  const generation = sql`${hosts.generation} + 1`;
  const without = sql`json_remove(${hosts.record}, '$.store')`;
  const moved = sql`json_set(${hosts.record}, '$.store.raft', ${own.raft}, '$.store.voter', json('true'))`;
  return [
    db.update(hosts).set({ record: without, generation }).where(ne(hosts.id, own.hostId)).toSQL(),
    db.update(hosts).set({ record: moved, generation }).where(eq(hosts.id, own.hostId)).toSQL(),
  ];
}

/** Replaces the record of a host that is there, unless it is no longer the one that was read. */
export function renewHostRecord(
  db: StoreDb,
  before: HostRecord,
  after: HostRecord,
  atMs: number,
): Query {
  return db
    .update(hosts)
    .set({
      record: JSON.stringify(after),
      generation: sql`${hosts.generation} + 1`,
      updatedAtMs: atMs,
    })
    .where(and(eq(hosts.id, before.id), eq(hosts.record, JSON.stringify(before))))
    .toSQL();
}

/** Holds while there is no host of this id. */
export function hostFreeGuard(db: StoreDb, hostId: string): Guard {
  return {
    name: "host_free",
    query: db.select({ free: sql`count(*) = 0` }).from(hosts).where(eq(hosts.id, hostId)).toSQL(),
  };
}

/** Holds while the host is in the list. */
export function hostPresentGuard(db: StoreDb, hostId: string): Guard {
  return {
    name: "host_present",
    query: db.select({ n: count() }).from(hosts).where(eq(hosts.id, hostId)).toSQL(),
  };
}

/** Forgets a host and what was taken on it. */
export function deleteHost(db: StoreDb, hostId: string): readonly Query[] {
  return [
    db.delete(hostStatuses).where(eq(hostStatuses.hostId, hostId)).toSQL(),
    db.delete(hostSettings).where(eq(hostSettings.hostId, hostId)).toSQL(),
    db.delete(ports).where(eq(ports.hostId, hostId)).toSQL(),
    db.delete(hosts).where(eq(hosts.id, hostId)).toSQL(),
  ];
}

/** Writes a host's status. */
export function saveHostStatus(
  db: StoreDb,
  hostId: string,
  status: StoredHostStatus["status"],
  atMs: number,
): Query {
  const text = JSON.stringify(status);
  return db
    .insert(hostStatuses)
    .values({ hostId, status: text, updatedAtMs: atMs })
    .onConflictDoUpdate({
      target: hostStatuses.hostId,
      set: { status: text, updatedAtMs: atMs },
    })
    .toSQL();
}
