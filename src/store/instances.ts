// Instances, the configuration their keepers follow, and what their keepers report.
import { and, asc, count, eq, getTableColumns, inArray, lt, type SQL, sql } from "drizzle-orm";
import type { InstanceState } from "../spec/instance.ts";
import type { InstanceConfig, InstanceReport } from "../spec/instance-config.ts";
import type { StoreDb } from "./db.ts";
import { changes, databases, haIntents, instanceReports, instances } from "./schema.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

export interface InstanceRecord {
  readonly id: string;
  readonly databaseId: string;
  readonly nodeName: string;
  readonly hostId: string;
  readonly state: InstanceState;
  readonly error: string | null;
  /** Absent until a step wrote it. */
  readonly config?: InstanceConfig;
  readonly generation: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** An instance with its keeper's last report. */
export interface ObservedInstance extends InstanceRecord {
  readonly report?: InstanceReport;
}

/** What lists show of an instance: only two fields of its configuration, which is large, from columns of their own. */
export interface ShownInstance extends Omit<InstanceRecord, "config" | "generation"> {
  /** TCP port of PostgreSQL; null = none, or not known yet. */
  readonly port: number | null;
  readonly addresses: readonly string[];
  /** Until then nothing of its node happens by itself; null = it is not paused. */
  readonly pausedUntilMs: number | null;
  readonly report?: InstanceReport;
}

/** States that a change in progress leaves behind until its task ends. */
export const IN_PROGRESS_STATES: readonly InstanceState[] = ["creating", "modifying", "deleting"];

/** Instances of one database, or of all, sorted by database, node name and id. */
export async function listInstances(
  db: StoreDb,
  databaseId?: string,
): Promise<readonly ObservedInstance[]> {
  return select(db, databaseId === undefined ? undefined : eq(instances.databaseId, databaseId));
}

/** The same, as users see them. */
export async function listShownInstances(
  db: StoreDb,
  databaseId?: string,
): Promise<readonly ShownInstance[]> {
  const { config: _config, generation: _generation, ...shown } = getTableColumns(instances);
  const pauses = db
    .select({
      databaseId: haIntents.databaseId,
      nodeName: haIntents.nodeName,
      untilMs: sql<number>`max(${haIntents.expiresAtMs})`.as("until_ms"),
    })
    .from(haIntents)
    .where(and(eq(haIntents.kind, "pause"), inArray(haIntents.state, ["pending", "running"])))
    .groupBy(haIntents.databaseId, haIntents.nodeName)
    .as("pauses");
  const rows = await db
    .select({ ...shown, report: instanceReports.report, pausedUntilMs: pauses.untilMs })
    .from(instances)
    .leftJoin(instanceReports, eq(instanceReports.instanceId, instances.id))
    .leftJoin(
      pauses,
      and(eq(pauses.databaseId, instances.databaseId), eq(pauses.nodeName, instances.nodeName)),
    )
    .where(databaseId === undefined ? undefined : eq(instances.databaseId, databaseId))
    .orderBy(asc(instances.databaseId), asc(instances.nodeName), asc(instances.id));
  return rows.map(({ addresses, report, ...row }) => ({
    ...row,
    addresses: addresses === null ? [] : JSON.parse(addresses),
    ...(report === null ? {} : { report: JSON.parse(report) }),
  }));
}

/** The store's change version, and when each keeper looked last, of one moment. */
export async function changeVersionAndReportTimes(
  db: StoreDb,
): Promise<{ readonly version: number; readonly observedAtMs: ReadonlyMap<string, number> }> {
  const [versions, times] = await db.batch([
    db.select({ version: changes.version }).from(changes),
    db
      .select({ id: instanceReports.instanceId, atMs: instanceReports.updatedAtMs })
      .from(instanceReports),
  ]);
  return {
    version: versions[0]?.version ?? 0,
    observedAtMs: new Map(times.map(({ id, atMs }) => [id, atMs])),
  };
}

export async function loadInstance(db: StoreDb, id: string): Promise<ObservedInstance | undefined> {
  const [found] = await select(db, eq(instances.id, id));
  return found;
}

/** The keeper's last report alone. */
export async function loadReport(
  db: StoreDb,
  instanceId: string,
): Promise<InstanceReport | undefined> {
  const [row] = await db
    .select({ report: instanceReports.report })
    .from(instanceReports)
    .where(eq(instanceReports.instanceId, instanceId));
  if (!row) return undefined;
  const report: InstanceReport = JSON.parse(row.report);
  return report;
}

async function select(db: StoreDb, where: SQL | undefined): Promise<readonly ObservedInstance[]> {
  const rows = await db
    .select({ instance: instances, report: instanceReports.report })
    .from(instances)
    .leftJoin(instanceReports, eq(instanceReports.instanceId, instances.id))
    .where(where)
    .orderBy(asc(instances.databaseId), asc(instances.nodeName), asc(instances.id));
  return rows.map(({ instance, report }) => {
    const { config, port: _port, addresses: _addresses, ...rest } = instance;
    return {
      ...rest,
      ...(config === null ? {} : { config: JSON.parse(config) }),
      ...(report === null ? {} : { report: JSON.parse(report) }),
    };
  });
}

/** A new instance, or one that is to change: identity and state. Its configuration stays. */
export function saveInstance(
  db: StoreDb,
  instance: Pick<InstanceRecord, "id" | "databaseId" | "nodeName" | "hostId" | "state">,
  atMs: number,
): Query {
  return db
    .insert(instances)
    .values({ ...instance, generation: 0, createdAtMs: atMs, updatedAtMs: atMs })
    .onConflictDoUpdate({
      target: instances.id,
      set: { state: instance.state, error: null, updatedAtMs: atMs },
    })
    .toSQL();
}

/** What a plan calls its database: ids and the generation it leads to. */
interface AtGeneration {
  readonly databaseId: string;
  readonly generation: number;
}

interface StateChange {
  readonly state: InstanceState;
  readonly error: string | null;
  readonly atMs: number;
}

/** Sets the state of some instances, unless their database has a newer generation. */
export function setInstanceState(
  db: StoreDb,
  database: AtGeneration,
  ids: readonly string[],
  change: StateChange,
): Query {
  return changeState(db, database, inArray(instances.id, [...ids]), change);
}

/** Moves every instance of a database that is in one of the states, unless the database has a newer generation. */
export function moveInstances(
  db: StoreDb,
  database: AtGeneration,
  from: readonly InstanceState[],
  change: StateChange,
): Query {
  return changeState(db, database, inArray(instances.state, [...from]), change);
}

function changeState(
  db: StoreDb,
  { databaseId, generation }: AtGeneration,
  which: SQL,
  change: StateChange,
): Query {
  const current = db
    .select({ id: databases.id })
    .from(databases)
    .where(and(eq(databases.id, databaseId), eq(databases.generation, generation)));
  return db
    .update(instances)
    .set({ state: change.state, error: change.error, updatedAtMs: change.atMs })
    .where(and(inArray(instances.databaseId, current), which))
    .toSQL();
}

/** Gives the keeper a newer configuration; an equal or smaller generation changes nothing. */
export function saveConfig(db: StoreDb, config: InstanceConfig, atMs: number): Query {
  return db
    .update(instances)
    .set({
      config: JSON.stringify(config),
      port: config.port,
      addresses: JSON.stringify(config.connect_addresses),
      generation: config.generation,
      updatedAtMs: atMs,
    })
    .where(and(eq(instances.id, config.instance_id), lt(instances.generation, config.generation)))
    .toSQL();
}

/** Holds while the instance has a row, so that work for a vanished one is refused. */
export function instanceExistsGuard(db: StoreDb, id: string): Guard {
  return {
    name: "instance_exists",
    query: db.select({ n: count() }).from(instances).where(eq(instances.id, id)).toSQL(),
  };
}

/** Holds while no instance is on the host. */
export function hostEmptyGuard(db: StoreDb, hostId: string): Guard {
  return {
    name: "host_empty",
    query: db
      .select({ free: sql`${count()} = 0` })
      .from(instances)
      .where(eq(instances.hostId, hostId))
      .toSQL(),
  };
}

/** Forgets the instances of a database on one host, with their reports. */
export function deleteInstancesOn(
  db: StoreDb,
  databaseId: string,
  hostId: string,
): readonly Query[] {
  const which = and(eq(instances.databaseId, databaseId), eq(instances.hostId, hostId));
  const ids = db.select({ id: instances.id }).from(instances).where(which);
  return [
    db.delete(instanceReports).where(inArray(instanceReports.instanceId, ids)).toSQL(),
    db.delete(instances).where(which).toSQL(),
  ];
}

/** Removes the rows of a database's instances that are in `state`, or of all, with their reports. */
export function deleteInstances(
  db: StoreDb,
  databaseId: string,
  state?: InstanceState,
): readonly Query[] {
  const which = and(
    eq(instances.databaseId, databaseId),
    state === undefined ? undefined : eq(instances.state, state),
  );
  const ids = db.select({ id: instances.id }).from(instances).where(which);
  return [
    db.delete(instanceReports).where(inArray(instanceReports.instanceId, ids)).toSQL(),
    db.delete(instances).where(which).toSQL(),
  ];
}
