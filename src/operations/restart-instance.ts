// POST …/instances/{id}/restart, now or at a time to come.
import { planRestart } from "../plan/instance-plans.ts";
import type { Task } from "../spec/task.ts";
import { instanceExistsGuard } from "../store/instances.ts";
import { idleDatabaseGuard } from "../store/tasks.ts";
import { repeatedly } from "./accept.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import { acceptInstanceTask, checkState, existingInstance } from "./instance-task.ts";
import { runtimeOf } from "./runtime.ts";
import { futureTime } from "./scheduled.ts";

export interface RestartRequest {
  readonly databaseId: string;
  readonly instanceId: string;
  /** RFC 3339, in the future. Until then the task is pending and can be canceled. */
  readonly scheduledAt: string | undefined;
}

/** Accepts the restart. One that is scheduled waits also for whatever works on the database at its time. */
export async function restartInstance(
  deps: OperationsDeps,
  { databaseId, instanceId, scheduledAt }: RestartRequest,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  const { db } = runtime.store;
  return repeatedly(async () => {
    const instance = await existingInstance(runtime, databaseId, instanceId);
    checkState(instance, ["available"], deps.clock.nowMs());
    const notBeforeMs =
      scheduledAt === undefined ? undefined : futureTime(deps, "scheduled_at", scheduledAt);
    return acceptInstanceTask(deps, runtime, {
      record: await existingDatabase(runtime, databaseId),
      instance,
      kind: "restart_instance",
      makePlan: planRestart,
      ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
      acceptance: () => ({
        guards: [
          instanceExistsGuard(db, instanceId),
          ...(notBeforeMs === undefined ? [idleDatabaseGuard(db, databaseId)] : []),
        ],
        statements: [],
      }),
    });
  });
}
