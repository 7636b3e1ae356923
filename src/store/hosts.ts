// Host records and their last status, both written by the host's own server.
import { asc, eq, inArray, ne, sql } from "drizzle-orm";
import type { HostRecord, HostStatus } from "../spec/host.ts";
import type { StoreDb } from "./db.ts";
import { hostStatuses, hosts, ports } from "./schema.ts";
import type { Query } from "./statement.ts";

/** What a host said of itself last, and when (wall clock, milliseconds). */
export interface StoredHostStatus {
  readonly status: Pick<HostStatus, "components">;
  readonly updatedAtMs: number;
}

export interface StoredHost {
  readonly record: HostRecord;
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
    })
    .from(hosts)
    .leftJoin(hostStatuses, eq(hostStatuses.hostId, hosts.id))
    .where(ids ? inArray(hosts.id, [...ids]) : undefined)
    .orderBy(asc(hosts.id));
  return rows.map((row) => {
    const record: HostRecord = JSON.parse(row.record);
    if (row.status === null || row.updatedAtMs === null) return { record };
    return { record, status: { status: JSON.parse(row.status), updatedAtMs: row.updatedAtMs } };
  });
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

/** From now on no host but this one has a member of the store. */
export function forgetOtherMembers(db: StoreDb, hostId: string): Query {
  return db
    .update(hosts)
    .set({
      record: sql`json_remove(${hosts.record}, '$.store')`,
      generation: sql`${hosts.generation} + 1`,
    })
    .where(ne(hosts.id, hostId))
    .toSQL();
}

/** Forgets a host and what was taken on it. */
export function deleteHost(db: StoreDb, hostId: string): readonly Query[] {
  return [
    db.delete(hostStatuses).where(eq(hostStatuses.hostId, hostId)).toSQL(),
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
