// Ports taken on hosts. The primary key (host, port) is what keeps two instances from getting the same one.
import { and, asc, count, eq, inArray, not, sql } from "drizzle-orm";
import type { StoreDb } from "./db.ts";
import { instances, ports } from "./schema.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

export type PortPurpose = "postgres" | "rest";

export interface TakenPort {
  readonly hostId: string;
  readonly port: number;
  readonly databaseId: string;
  readonly instanceId: string;
  readonly purpose: PortPurpose;
  /** Was allocated for a requested 0. */
  readonly random: boolean;
}

/** Ports taken on the given hosts, by host and port. */
export async function listPorts(
  db: StoreDb,
  hostIds: readonly string[],
): Promise<readonly TakenPort[]> {
  const rows = await db
    .select()
    .from(ports)
    .where(inArray(ports.hostId, [...hostIds]))
    .orderBy(asc(ports.hostId), asc(ports.port));
  return rows.map((row) => ({ ...row, random: row.random === 1 }));
}

/** Takes a port; one that its own instance has taken already only changes its purpose. */
export function takePort(db: StoreDb, taken: TakenPort): Query {
  const row = { ...taken, random: taken.random ? 1 : 0 };
  return db
    .insert(ports)
    .values(row)
    .onConflictDoUpdate({
      target: [ports.hostId, ports.port],
      set: { purpose: row.purpose, random: row.random },
    })
    .toSQL();
}

/** Holds while no other instance has the port. */
export function portFreeGuard(db: StoreDb, taken: TakenPort): Guard {
  return {
    name: `port ${taken.port} on ${taken.hostId}`,
    query: db
      .select({ free: sql`${count()} = 0` })
      .from(ports)
      .where(
        and(
          eq(ports.hostId, taken.hostId),
          eq(ports.port, taken.port),
          not(eq(ports.instanceId, taken.instanceId)),
        ),
      )
      .toSQL(),
  };
}

/** Gives back the ports of a database that no instance's configuration uses any more. */
export function releaseUnusedPorts(db: StoreDb, databaseId: string): Query {
  const used = sql`exists (select 1 from ${instances} where ${instances.id} = ${ports.instanceId}
    and ${ports.port} in (json_extract(${instances.config}, '$.port'),
                          json_extract(${instances.config}, '$.rest_port')))`;
  return db
    .delete(ports)
    .where(and(eq(ports.databaseId, databaseId), not(used)))
    .toSQL();
}

export function releasePortsOf(db: StoreDb, databaseId: string): Query {
  return db.delete(ports).where(eq(ports.databaseId, databaseId)).toSQL();
}
