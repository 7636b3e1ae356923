// …/tasks/{id}/cancel: asks the worker to end a task. The worker does the rest.
import { isUuid } from "../base/ids.ts";
import type { Task, TaskStatus } from "../spec/task.ts";
import { loadTask, moveTask, type TaskRecord, taskStatusGuard } from "../store/tasks.ts";
import { repeatedly } from "./accept.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

const CANCELABLE: readonly TaskStatus[] = ["pending", "running"];

/** The task in state canceling. */
export async function cancelTask(
  deps: OperationsDeps,
  databaseId: string,
  taskId: string,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  if (!isUuid(taskId)) {
    throw invalidInput([{ path: "task_id", code: "invalid_uuid", message: "must be a UUID" }]);
  }
  return repeatedly(async () => {
    const task = await existingTask(runtime, { scope: "database", entityId: databaseId, taskId });
    if (!CANCELABLE.includes(task.status)) {
      throw new OperationError("invalid_input", `task ${taskId} is ${task.status} already`);
    }
    const { db } = runtime.store;
    const outcome = await runtime.store.commit({
      opId: deps.ids.uuid(),
      guards: [taskStatusGuard(db, taskId, CANCELABLE)],
      statements: [moveTask(db, taskId, CANCELABLE, { status: "canceling" })],
    });
    return outcome.ok ? presentTask({ ...task, status: "canceling" }) : "again";
  });
}

export interface TaskKey {
  readonly scope: "database" | "host";
  readonly entityId: string;
  readonly taskId: string;
}

/** The task of this entity, or not_found. */
export async function existingTask(
  runtime: ClusterRuntime,
  { scope, entityId, taskId }: TaskKey,
): Promise<TaskRecord> {
  const task = await loadTask(runtime.store.db, taskId);
  if (task?.scope === scope && task.entityId === entityId) return task;
  throw new OperationError("not_found", `${scope} ${entityId} has no task ${taskId}`);
}
