// What keepers wrote of high availability, for plans and for display, and what is forgotten with a node.
// Keepers themselves go through ha-lease.ts; nothing here changes a lease that is in use.
import { and, asc, eq, inArray, notInArray } from "drizzle-orm";
import type { EpochRow, LeaseRow } from "../ha/lease.ts";
import type { MemberStatus } from "../ha/state.ts";
import type { StoreDb } from "./db.ts";
import { haEpochs, haIntents, haLeases, haMembers, instances } from "./schema.ts";
import type { Query } from "./statement.ts";

/** Nodes of a database that have a lease: they have, or had, several instances. */
export async function leasedNodes(db: StoreDb, databaseId: string): Promise<ReadonlySet<string>> {
  const rows = await db
    .select({ nodeName: haLeases.nodeName })
    .from(haLeases)
    .where(eq(haLeases.databaseId, databaseId));
  return new Set(rows.map(({ nodeName }) => nodeName));
}

/** A node as its keepers left it in the store. */
export interface NodeRows {
  readonly lease: LeaseRow | undefined;
  /** What members said last, by instance id. */
  readonly members: ReadonlyMap<string, MemberStatus>;
}

/** Leases and members of a database, by node. */
export async function loadNodes(
  db: StoreDb,
  databaseId: string,
): Promise<ReadonlyMap<string, NodeRows>> {
  const [leases, members] = await db.batch([
    db.select().from(haLeases).where(eq(haLeases.databaseId, databaseId)),
    db
      .select()
      .from(haMembers)
      .where(eq(haMembers.databaseId, databaseId))
      .orderBy(asc(haMembers.instanceId)),
  ]);
  const names = new Set([...leases, ...members].map(({ nodeName }) => nodeName));
  return new Map(
    [...names].sort().map((name) => {
      const lease = leases.find(({ nodeName }) => nodeName === name);
      const own = members.filter(({ nodeName }) => nodeName === name);
      return [
        name,
        {
          lease: lease && leaseFrom(lease),
          members: new Map(own.map(({ instanceId, status }) => [instanceId, JSON.parse(status)])),
        },
      ];
    }),
  );
}

/** The lease of one node; undefined while it never had a primary. */
export async function loadLease(
  db: StoreDb,
  databaseId: string,
  nodeName: string,
): Promise<LeaseRow | undefined> {
  const [row] = await db
    .select()
    .from(haLeases)
    .where(and(eq(haLeases.databaseId, databaseId), eq(haLeases.nodeName, nodeName)));
  return row && leaseFrom(row);
}

/** Who was primary of a node, oldest first, and since when. */
export async function listEpochs(
  db: StoreDb,
  databaseId: string,
  nodeName: string,
): Promise<readonly (EpochRow & { readonly at_ms: number })[]> {
  const rows = await db
    .select()
    .from(haEpochs)
    .where(and(eq(haEpochs.databaseId, databaseId), eq(haEpochs.nodeName, nodeName)))
    .orderBy(asc(haEpochs.epoch));
  return rows.map((row) => ({
    epoch: row.epoch,
    instance_id: row.instanceId,
    incarnation: row.incarnation,
    timeline: row.timeline,
    from_timeline: row.fromTimeline,
    switch_lsn: row.switchLsn,
    reason: row.reason,
    lost: row.lost,
    at_ms: row.atMs,
  }));
}

function leaseFrom(row: typeof haLeases.$inferSelect): LeaseRow {
  return {
    epoch: row.epoch,
    seq: row.seq,
    nonce: row.nonce,
    holder: row.holder,
    incarnation: row.incarnation,
    ttl_ms: row.ttlMs,
    phase: row.phase,
    timeline: row.timeline,
    next_timeline: row.nextTimeline,
    system_identifier: row.systemIdentifier,
    members: JSON.parse(row.members),
    sync: JSON.parse(row.sync),
    optime: row.optime,
    checkpoint_done: row.checkpointDone === 1,
    ending: row.ending === null ? null : JSON.parse(row.ending),
  };
}

/** Forgets all nodes of a database. */
export function deleteHaOf(db: StoreDb, databaseId: string): readonly Query[] {
  return [haLeases, haMembers, haEpochs, haIntents].map((table) =>
    db.delete(table).where(eq(table.databaseId, databaseId)).toSQL(),
  );
}

/** Forgets the nodes and members of a database that have no instance any more. */
export function deleteHaOfTheGone(db: StoreDb, databaseId: string): readonly Query[] {
  const there = db
    .select({ nodeName: instances.nodeName })
    .from(instances)
    .where(eq(instances.databaseId, databaseId));
  const ids = db
    .select({ id: instances.id })
    .from(instances)
    .where(eq(instances.databaseId, databaseId));
  return [
    ...[haLeases, haEpochs, haIntents].map((table) =>
      db
        .delete(table)
        .where(and(eq(table.databaseId, databaseId), notInArray(table.nodeName, there)))
        .toSQL(),
    ),
    db
      .delete(haMembers)
      .where(and(eq(haMembers.databaseId, databaseId), notInArray(haMembers.instanceId, ids)))
      .toSQL(),
  ];
}

/** Forgets what members on one host reported. */
export function deleteMembersOn(db: StoreDb, databaseId: string, hostId: string): Query {
  const ids = db
    .select({ id: instances.id })
    .from(instances)
    .where(and(eq(instances.databaseId, databaseId), eq(instances.hostId, hostId)));
  return db.delete(haMembers).where(inArray(haMembers.instanceId, ids)).toSQL();
}
