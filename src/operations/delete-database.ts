// DELETE /v1/databases/{id}: everything of the database goes; its tasks and their logs stay readable.
import { nothingObserved } from "../plan/observed.ts";
import { makeDeletePlan } from "../plan/plan.ts";
import { type Plan, resourceKey, type StoredResource } from "../plan/resource.ts";
import { viewPlan } from "../plan/view.ts";
import type { DeleteDatabaseResponse } from "../spec/database.ts";
import type { PlanView } from "../spec/plan-view.ts";
import {
  advanceDatabase,
  type DatabaseRecord,
  databaseUnchangedGuard,
} from "../store/databases.ts";
import { listInstances } from "../store/instances.ts";
import { listResources } from "../store/resources.ts";
import {
  cancelTasksOf,
  idleDatabaseGuard,
  insertTask,
  listActiveTasks,
  loadTask,
} from "../store/tasks.ts";
import { accept, newTask, repeatedly } from "./accept.ts";
import { existingDatabase } from "./before.ts";
import { deletingStatements } from "./change-statements.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { sound } from "./prepare-change.ts";
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";
import { checkModifiable } from "./update-database.ts";

/** Accepts the deletion. `force` also while another change is in progress, which is then canceled first. */
export async function deleteDatabase(
  deps: OperationsDeps,
  databaseId: string,
  force: boolean,
): Promise<DeleteDatabaseResponse> {
  const runtime = runtimeOf(deps);
  return repeatedly(async () => {
    const { record, plan } = await prepare(runtime, databaseId, force);
    return commitDelete(deps, runtime, { record, plan, force });
  });
}

/** What deleteDatabase would do. Nothing is written. */
export async function planDelete(
  deps: OperationsDeps,
  databaseId: string,
  force: boolean,
): Promise<PlanView> {
  const { plan } = await prepare(runtimeOf(deps), databaseId, force);
  return viewPlan(plan);
}

async function prepare(
  runtime: ClusterRuntime,
  databaseId: string,
  force: boolean,
): Promise<{ readonly record: DatabaseRecord; readonly plan: Plan }> {
  const record = await existingDatabase(runtime, databaseId);
  if (!force) checkModifiable(record);
  const stored = await everything(runtime, databaseId);
  const plan = makeDeletePlan({
    databaseId,
    parentGeneration: record.generation,
    stored,
    observed: nothingObserved,
  });
  return { record, plan: sound(plan, stored) };
}

/** What is stored, and what running tasks may be making at this moment. */
async function everything(
  runtime: ClusterRuntime,
  databaseId: string,
): Promise<readonly StoredResource[]> {
  const { db } = runtime.store;
  const stored = await listResources(db, databaseId);
  const known = new Map(stored.map((resource) => [resourceKey(resource), resource]));
  for (const { id, databaseId: of } of await listActiveTasks(db)) {
    if (of !== databaseId) continue;
    const task = await loadTask(db, id);
    for (const { action, resource } of task?.work.plan.steps ?? []) {
      const key = resourceKey(resource);
      if (action === "create" && !known.has(key)) {
        known.set(key, { ...resource, state: "needs_recreate" });
      }
    }
  }
  return [...known.values()];
}

interface Deletion {
  readonly record: DatabaseRecord;
  readonly plan: Plan;
  readonly force: boolean;
}

async function commitDelete(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  { record, plan, force }: Deletion,
): Promise<DeleteDatabaseResponse | "again"> {
  const { db } = runtime.store;
  const atMs = deps.clock.nowMs();
  const task = newTask(deps, { scope: "database", databaseId: record.id, type: "delete", plan });
  const existing = await listInstances(db, record.id);
  const end = await accept(deps, runtime, record.id, {
    guards: [
      databaseUnchangedGuard(db, record),
      ...(force ? [] : [idleDatabaseGuard(db, record.id)]),
    ],
    statements: [
      advanceDatabase(db, {
        id: record.id,
        generation: plan.generation,
        state: "deleting",
        updatedAtMs: atMs,
      }),
      ...deletingStatements(db, existing, atMs),
      cancelTasksOf(db, record.id),
      insertTask(db, task),
    ],
  });
  return end === "again" ? end : { task: presentTask(task) };
}
