// What keepers wrote of high availability, for plans and for display, and what is forgotten with a node.
// Keepers themselves go through ha-lease.ts; nothing here changes a lease that is in use.
import { and, eq, inArray, notInArray } from "drizzle-orm";
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

/** Whose turn it is to be primary. */
export interface Turn {
  readonly holder: string;
  readonly epoch: number;
  readonly phase: string;
}

/** The instance that holds the lease of a node; undefined while nobody does, or where there is none. */
export async function loadTurn(
  db: StoreDb,
  databaseId: string,
  nodeName: string,
): Promise<Turn | undefined> {
  const [row] = await db
    .select({ holder: haLeases.holder, epoch: haLeases.epoch, phase: haLeases.phase })
    .from(haLeases)
    .where(and(eq(haLeases.databaseId, databaseId), eq(haLeases.nodeName, nodeName)));
  return row?.holder ? { ...row, holder: row.holder } : undefined;
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
