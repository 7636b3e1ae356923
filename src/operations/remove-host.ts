// DELETE /v1/hosts/{id}: the host leaves the cluster, and with `force` every database leaves the host first.
import { nothingObserved } from "../plan/observed.ts";
import { makeDeletePlan } from "../plan/plan.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { HostRecord } from "../spec/host.ts";
import { resolveNodes } from "../spec/normalise.ts";
import type { RemoveHostResponse } from "../spec/requests.ts";
import {
  advanceDatabase,
  databaseUnchangedGuard,
  updateDatabase as updateRow,
} from "../store/databases.ts";
import { listHosts } from "../store/hosts.ts";
import { hostEmptyGuard, listInstances } from "../store/instances.ts";
import type { Query } from "../store/statement.ts";
import type { Guard } from "../store/store.ts";
import { cancelTasksOf, insertTask, listActiveTasks, type TaskRecord } from "../store/tasks.ts";
import { newHostRemoval, newTask, repeatedly } from "./accept.ts";
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
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

/**
 * Accepts the removal: of the host and from all its databases, or of nothing. What a database has there is
 * given up; one that has nothing elsewhere is deleted.
 */
export async function removeHost(
  deps: OperationsDeps,
  hostId: string,
  force: boolean,
): Promise<RemoveHostResponse> {
  const runtime = runtimeOf(deps);
  return repeatedly(async () => {
    const { store } = runtime;
    const hosts = (await listHosts(store.db)).map(({ record }) => record);
    const databaseIds = await checkRemoval(runtime, hosts, hostId, force);
    const task = newHostRemoval(deps, hostId);
    const others = hosts.filter(({ id }) => id !== hostId);
    const departures = await Promise.all(
      databaseIds.map((id) =>
        departure(deps, runtime, { databaseId: id, hostId, others, parentId: task.id }),
      ),
    );
    const outcome = await store.commit({
      opId: deps.ids.uuid(),
      guards: [
        ...departures.flatMap(({ guards }) => guards),
        ...(force ? [] : [hostEmptyGuard(store.db, hostId)]),
      ],
      statements: [
        ...departures.flatMap(({ statements }) => statements),
        insertTask(store.db, task),
      ],
    });
    if (!outcome.ok) return "again";
    return {
      task: presentTask(task),
      update_database_tasks: departures.map((each) => presentTask(each.task)),
    };
  });
}

/** The databases that have to leave first. Throws the declared error of what does not allow the removal. */
async function checkRemoval(
  { hostId: own, store }: ClusterRuntime,
  hosts: readonly HostRecord[],
  hostId: string,
  force: boolean,
): Promise<readonly string[]> {
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
  const there = (await listInstances(store.db)).filter((instance) => instance.hostId === hostId);
  const databaseIds = [...new Set(there.map(({ databaseId }) => databaseId))];
  if (!force && databaseIds.length > 0) {
    const message = `host ${hostId} has instances of ${databaseIds.join(", ")}`;
    const hint = "move or delete them first, or give them up with force";
    throw invalidInput([{ path: "host_id", code: "in_use", message, hint }]);
  }
  return databaseIds;
}

interface Leaving {
  readonly databaseId: string;
  readonly hostId: string;
  /** The hosts that stay. */
  readonly others: readonly HostRecord[];
  readonly parentId: string;
}

interface Departure {
  readonly task: TaskRecord;
  readonly guards: readonly Guard[];
  readonly statements: readonly Query[];
}

/** What makes one database leave the host, even while something else is being done to it. */
async function departure(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  leaving: Leaving,
): Promise<Departure> {
  const { databaseId, hostId, others } = leaving;
  const { db } = runtime.store;
  const record = await existingDatabase(runtime, databaseId);
  const before = withoutHosts(await lookAt(deps, runtime, record, others), [hostId]);
  const spec = specWithout(record.spec, hostId);
  const change =
    spec.nodes.length === 0
      ? deletion(deps, runtime, leaving, before)
      : await shrinking(deps, runtime, leaving, { before, spec });
  return {
    task: change.task,
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
): Departure {
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
): Promise<Departure> {
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

/** Nodes and services that are left without a host go too. */
function specWithout(spec: DatabaseSpec, hostId: string): DatabaseSpec {
  const leave = <T extends { host_ids: string[] }>(each: T): readonly T[] => {
    const host_ids = each.host_ids.filter((id) => id !== hostId);
    return host_ids.length === 0 ? [] : [{ ...each, host_ids }];
  };
  return {
    ...spec,
    nodes: spec.nodes.flatMap(leave),
    ...(spec.services ? { services: spec.services.flatMap(leave) } : {}),
  };
}
