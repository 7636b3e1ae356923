// Everything that only reads.
import { messageOf } from "../base/errors.ts";
import type { Cluster } from "../spec/cluster.ts";
import type { Database } from "../spec/database.ts";
import type { Host } from "../spec/host.ts";
import { parseSelector } from "../spec/host-labels.ts";
import type { Task, TaskLog, TaskScope } from "../spec/task.ts";
import { loadDatabase } from "../store/databases.ts";
import { listHosts as listStoredHosts } from "../store/hosts.ts";
import { listShownInstances } from "../store/instances.ts";
import { StoreError } from "../store/store-error.ts";
import { lastEntryId, tailLog } from "../store/task-log.ts";
import { listTasks as listStoredTasks } from "../store/tasks.ts";
import { existingTask, type TaskKey } from "./cancel-task.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import type { LogPage, TaskPage } from "./operations.ts";
import { presentDatabase } from "./present-database.ts";
import { presentHost } from "./present-host.ts";
import { presentLogEntry, presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

/** Without a leader of the store: what this host knew last, and the state says so. */
export async function getCluster(deps: OperationsDeps): Promise<Cluster> {
  const { clusterId, store } = runtimeOf(deps);
  try {
    const hosts = await listHosts(deps);
    return { id: clusterId, status: { state: "available" }, hosts: [...hosts] };
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== "retryable") throw error;
    const nowMs = deps.clock.nowMs();
    const known = await listStoredHosts(store.local).catch(() => {
      throw error;
    });
    const hosts = known.map((host) => presentHost(host, nowMs));
    return { id: clusterId, status: { state: "error" }, hosts };
  }
}

/** By id; those that every selector chooses. */
export async function listHosts(
  deps: OperationsDeps,
  selectors: readonly string[] = [],
): Promise<readonly Host[]> {
  const { store } = runtimeOf(deps);
  const parsed = selectors.map((text, index) => {
    const selector = parseSelector(text);
    if (selector) return selector;
    const message = "is no selector: write `key`, `!key`, `key=value` or `key!=value`";
    throw invalidInput([{ path: `label[${index}]`, code: "malformed", message }]);
  });
  const nowMs = deps.clock.nowMs();
  return (await listStoredHosts(store.display))
    .filter(({ settings }) => parsed.every((selector) => selector(settings.labels)))
    .map((host) => presentHost(host, nowMs));
}

export async function getHost(deps: OperationsDeps, hostId: string): Promise<Host> {
  const { store } = runtimeOf(deps);
  const [host] = await listStoredHosts(store.display, [hostId]);
  if (host) return presentHost(host, deps.clock.nowMs());
  throw new OperationError("not_found", `host ${hostId} does not exist`);
}

export async function getDatabase(deps: OperationsDeps, databaseId: string): Promise<Database> {
  const { store, sealer } = runtimeOf(deps);
  const [record, instances] = await Promise.all([
    loadDatabase(store.display, sealer, databaseId),
    listShownInstances(store.display, databaseId),
  ]);
  if (record) return presentDatabase(record, { instances, nowMs: deps.clock.nowMs() });
  throw new OperationError("not_found", `database ${databaseId} does not exist`);
}

/** Tasks of an unknown entity are an empty list: those of a deleted database are still there. */
export async function listTasks(
  deps: OperationsDeps,
  of: { readonly scope: TaskScope | undefined; readonly entityId: string | undefined },
  page: TaskPage,
): Promise<readonly Task[]> {
  const { store } = runtimeOf(deps);
  const { scope, entityId } = of;
  const tasks = await listStoredTasks(store.display, {
    ...page,
    ...(scope === undefined ? {} : { scope }),
    ...(entityId === undefined ? {} : { entityId }),
  });
  return tasks.map(presentTask);
}

export async function getTask(deps: OperationsDeps, key: TaskKey): Promise<Task> {
  return presentTask(await existingTask(runtimeOf(deps), key));
}

/** The newest entries, oldest first. */
export async function taskLog(deps: OperationsDeps, key: TaskKey, page: LogPage): Promise<TaskLog> {
  const runtime = runtimeOf(deps);
  const { display } = runtime.store;
  const task = await existingTask(runtime, key);
  const entries = await tailLog(display, key.taskId, page);
  const last = entries.at(-1)?.entryId ?? (await lastEntryId(display, key.taskId));
  return {
    scope: task.scope,
    entity_id: task.entityId,
    ...(task.databaseId === null ? {} : { database_id: task.databaseId }),
    task_id: task.id,
    task_status: task.status,
    ...(last === undefined ? {} : { last_entry_id: last }),
    entries: entries.map(presentLogEntry),
  };
}

/** What is not ready; empty = ready. */
export async function readiness(deps: OperationsDeps): Promise<readonly string[]> {
  try {
    const runtime = deps.runtime();
    if (!runtime) return ["the cluster is not initialized"];
    await listStoredHosts(runtime.store.db, []);
    return [];
  } catch (error) {
    return [`the store does not answer: ${messageOf(error)}`];
  }
}
