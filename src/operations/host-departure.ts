// A database leaves a host that is not asked: because the host is removed, or because another takes its place.
import { nothingObserved } from "../plan/observed.ts";
import { makeDeletePlan } from "../plan/plan.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { HostRecord } from "../spec/host.ts";
import { resolveNodes } from "../spec/normalise.ts";
import {
  advanceDatabase,
  databaseUnchangedGuard,
  updateDatabase as updateRow,
} from "../store/databases.ts";
import { listInstances, type ObservedInstance } from "../store/instances.ts";
import type { Query } from "../store/statement.ts";
import type { Guard } from "../store/store.ts";
import { cancelTasksOf, insertTask, listActiveTasks, type TaskRecord } from "../store/tasks.ts";
import { newTask } from "./accept.ts";
import { type Before, existingDatabase, lookAt, withoutHosts } from "./before.ts";
import {
  deletingStatements,
  forgetStatements,
  instanceStatements,
  portChange,
} from "./change-statements.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import { prepareChange, sound } from "./prepare-change.ts";

export interface Leaving {
  readonly databaseId: string;
  readonly hostId: string;
  /** The hosts that stay. */
  readonly others: readonly HostRecord[];
  readonly parentId: string;
  /** What the database is to be from now on. */
  readonly specAfter: (spec: DatabaseSpec) => DatabaseSpec;
}

export interface Departure {
  readonly task: TaskRecord;
  /** Instances of the database on hosts that stay. */
  readonly before: readonly ObservedInstance[];
  readonly guards: readonly Guard[];
  readonly statements: readonly Query[];
}

type Change = Omit<Departure, "before">;

/** What makes one database leave the host, even while something else is being done to it. */
export async function departure(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  leaving: Leaving,
): Promise<Departure> {
  const { databaseId, hostId, others } = leaving;
  const { db } = runtime.store;
  const record = await existingDatabase(runtime, databaseId);
  const before = withoutHosts(await lookAt(deps, runtime, record, others), [hostId]);
  const spec = leaving.specAfter(record.spec);
  const change =
    spec.nodes.length === 0
      ? deletion(deps, runtime, leaving, before)
      : await shrinking(deps, runtime, leaving, { before, spec });
  return {
    task: change.task,
    before: before.instances,
    guards: [databaseUnchangedGuard(db, record), ...change.guards],
    statements: [
      ...(await forgetStatements(db, databaseId, [hostId])),
      ...change.statements,
      cancelTasksOf(db, databaseId),
      insertTask(db, change.task),
    ],
  };
}

/** A database that has nothing elsewhere goes with the host. */
function deletion(
  deps: OperationsDeps,
  { store }: ClusterRuntime,
  { databaseId, parentId }: Leaving,
  { record, stored, instances }: Before,
): Change {
  const atMs = deps.clock.nowMs();
  const made = makeDeletePlan({
    databaseId,
    parentGeneration: record.generation,
    stored,
    observed: nothingObserved,
  });
  const plan = sound(made, stored);
  const { generation } = plan;
  return {
    task: newTask(deps, { scope: "database", databaseId, type: "delete", plan, parentId }),
    guards: [],
    statements: [
      advanceDatabase(store.db, {
        id: databaseId,
        generation,
        state: "deleting",
        updatedAtMs: atMs,
      }),
      ...deletingStatements(store.db, instances, atMs),
    ],
  };
}

async function shrinking(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  { databaseId, others, parentId }: Leaving,
  { before, spec }: { readonly before: Before; readonly spec: DatabaseSpec },
): Promise<Change> {
  const { store, sealer } = runtime;
  const { record } = before;
  const atMs = deps.clock.nowMs();
  const prepared = await prepareChange(deps, runtime, {
    databaseId,
    tenantId: record.tenantId ?? undefined,
    spec,
    before,
    forceUpdate: false,
    hosts: others,
  });
  const { plan } = prepared;
  const nodes = resolveNodes(prepared.spec);
  const taken = portChange(store.db, prepared.ports);
  const changed = { databaseId, nodes, existing: before.instances, plan, atMs };
  return {
    task: newTask(deps, { scope: "database", databaseId, type: "update", plan, parentId }),
    guards: taken.guards,
    statements: [
      updateRow(store.db, sealer, {
        ...record,
        spec: prepared.spec,
        generation: plan.generation,
        state: "modifying",
        updatedAtMs: atMs,
      }),
      ...instanceStatements(store.db, changed),
      ...taken.statements,
    ],
  };
}

/** Instances of a host that may go. Throws the declared error of what does not allow it. */
export async function instancesOf(
  { hostId: own, store }: ClusterRuntime,
  hosts: readonly HostRecord[],
  hostId: string,
): Promise<readonly ObservedInstance[]> {
  if (hostId === own) {
    const message = "a host cannot remove itself: ask another member";
    throw invalidInput([{ path: "host_id", code: "own_host", message }]);
  }
  if (!hosts.some(({ id }) => id === hostId)) {
    throw new OperationError("not_found", `host ${hostId} does not exist`);
  }
  const active = await listActiveTasks(store.db);
  if (active.some(({ removeHost: leaving }) => leaving === hostId)) {
    const message = `host ${hostId} is being removed already`;
    throw new OperationError("operation_already_in_progress", message);
  }
  return (await listInstances(store.db)).filter((instance) => instance.hostId === hostId);
}

/** Databases of instances, each once. */
export function databasesOf(instances: readonly ObservedInstance[]): readonly string[] {
  return [...new Set(instances.map(({ databaseId }) => databaseId))];
}
