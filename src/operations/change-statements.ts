// The rows that an accepted spec brings with it: states of instances, and ports.
import type { Plan } from "../plan/resource.ts";
import { instanceId } from "../spec/ids.ts";
import type { ResolvedNode } from "../spec/normalise.ts";
import type { StoreDb } from "../store/db.ts";
import { deleteHaOfTheGone, deleteMembersOn } from "../store/ha-nodes.ts";
import { deleteInstancesOn, type ObservedInstance, saveInstance } from "../store/instances.ts";
import { portFreeGuard, type TakenPort, takePort } from "../store/ports.ts";
import { deleteResource, listResources } from "../store/resources.ts";
import type { Query } from "../store/statement.ts";
import type { Guard } from "../store/store.ts";

export interface ChangedInstances {
  readonly databaseId: string;
  readonly nodes: readonly ResolvedNode[];
  readonly existing: readonly ObservedInstance[];
  readonly plan: Plan;
  readonly atMs: number;
}

/** New instances are creating, those with steps modifying, those that the spec does not name deleting. */
export function instanceStatements(db: StoreDb, change: ChangedInstances): readonly Query[] {
  const { databaseId, nodes, existing, plan, atMs } = change;
  const known = new Map(existing.map((instance) => [instance.id, instance]));
  const touched = new Set(plan.steps.map(({ resource }) => resource.instanceId));
  const wanted = nodes.flatMap((node) =>
    node.hostIds.map((hostId) => {
      const id: string = instanceId(databaseId, node.name, hostId);
      return { id, databaseId, nodeName: node.name, hostId };
    }),
  );
  const ids = new Set(wanted.map(({ id }) => id));
  return [
    ...wanted.flatMap((instance) => {
      const before = known.get(instance.id);
      if (before && !touched.has(instance.id)) return [];
      const state = before?.config ? ("modifying" as const) : ("creating" as const);
      return [saveInstance(db, { ...instance, state }, atMs)];
    }),
    ...existing
      .filter(({ id }) => !ids.has(id))
      .map((instance) => saveInstance(db, { ...identity(instance), state: "deleting" }, atMs)),
  ];
}

/** All instances of a database are about to go. */
export function deletingStatements(
  db: StoreDb,
  existing: readonly ObservedInstance[],
  atMs: number,
): readonly Query[] {
  return existing.map((instance) =>
    saveInstance(db, { ...identity(instance), state: "deleting" }, atMs),
  );
}

/** Gives up what a database has on hosts that are gone. */
export async function forgetStatements(
  db: StoreDb,
  databaseId: string,
  hostIds: readonly string[],
): Promise<readonly Query[]> {
  if (hostIds.length === 0) return [];
  const gone = (await listResources(db, databaseId)).filter(({ hostId }) =>
    hostIds.includes(hostId),
  );
  return [
    ...gone.map((resource) => deleteResource(db, databaseId, resource)),
    ...hostIds.flatMap((hostId) => [
      deleteMembersOn(db, databaseId, hostId),
      ...deleteInstancesOn(db, databaseId, hostId),
    ]),
    ...deleteHaOfTheGone(db, databaseId),
  ];
}

/** Takes ports and guards against another instance taking them first. */
export function portChange(
  db: StoreDb,
  ports: readonly TakenPort[],
): { readonly guards: readonly Guard[]; readonly statements: readonly Query[] } {
  return {
    guards: ports.map((port) => portFreeGuard(db, port)),
    statements: ports.map((port) => takePort(db, port)),
  };
}

function identity({ id, databaseId, nodeName, hostId }: ObservedInstance) {
  return { id, databaseId, nodeName, hostId };
}
