// Stopping and starting: a new generation of the database in which the instance's configuration says so.

import type { Result } from "../base/result.ts";
import type { InstancePlanInput } from "../plan/instance-plans.ts";
import type { Plan } from "../plan/resource.ts";
import type { InstanceState } from "../spec/instance.ts";
import type { Task } from "../spec/task.ts";
import { advanceDatabase, databaseUnchangedGuard } from "../store/databases.ts";
import { idleDatabaseGuard } from "../store/tasks.ts";
import { repeatedly } from "./accept.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import { acceptInstanceTask, checkState, existingInstance } from "./instance-task.ts";
import { runtimeOf } from "./runtime.ts";
import { checkModifiable } from "./update-database.ts";

export interface RunningRequest {
  readonly databaseId: string;
  readonly instanceId: string;
  /** Whatever the state of the database; a task that works on it is still waited for. */
  readonly force: boolean;
}

export interface RunningChange {
  readonly kind: "stop_instance" | "start_instance";
  /** States in which it may be asked for. */
  readonly from: readonly InstanceState[];
  readonly makePlan: (input: InstancePlanInput) => Result<Plan, "not_found">;
}

/** Checks in the order of the routes, then the task. */
export async function changeRunning(
  deps: OperationsDeps,
  { databaseId, instanceId, force }: RunningRequest,
  { kind, from, makePlan }: RunningChange,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  const { db } = runtime.store;
  return repeatedly(async () => {
    const record = await existingDatabase(runtime, databaseId);
    if (!force) checkModifiable(record);
    const instance = await existingInstance(runtime, databaseId, instanceId);
    checkState(instance, from, deps.clock.nowMs());
    return acceptInstanceTask(deps, runtime, {
      record,
      instance,
      kind,
      makePlan,
      acceptance: ({ generation }, atMs) => ({
        guards: [databaseUnchangedGuard(db, record), idleDatabaseGuard(db, databaseId)],
        statements: [
          advanceDatabase(db, {
            id: databaseId,
            generation,
            state: record.state,
            updatedAtMs: atMs,
          }),
        ],
      }),
    });
  });
}
