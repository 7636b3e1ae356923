// What restarting, stopping and starting an instance have in common: finding it, and accepting a plan of one step.

import type { Result } from "../base/result.ts";
import type { InstancePlanInput } from "../plan/instance-plans.ts";
import { nothingObserved } from "../plan/observed.ts";
import type { Plan, PlanKind } from "../plan/resource.ts";
import type { InstanceState } from "../spec/instance.ts";
import type { Task, TaskType } from "../spec/task.ts";
import type { DatabaseRecord } from "../store/databases.ts";
import { loadInstance, type ObservedInstance } from "../store/instances.ts";
import { listResources } from "../store/resources.ts";
import { insertTask } from "../store/tasks.ts";
import { type Acceptance, accept, newTask } from "./accept.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { sound } from "./prepare-change.ts";
import { instanceState } from "./present-instance.ts";
import { presentTask } from "./present-task.ts";

/** The instance of this database, or not_found. */
export async function existingInstance(
  runtime: ClusterRuntime,
  databaseId: string,
  instanceId: string,
): Promise<ObservedInstance> {
  const instance = await loadInstance(runtime.store.db, instanceId);
  if (instance?.databaseId === databaseId) return instance;
  throw new OperationError("not_found", `database ${databaseId} has no instance ${instanceId}`);
}

/** Throws invalid_input unless users see the instance in one of the states. */
export function checkState(
  instance: ObservedInstance,
  states: readonly InstanceState[],
  nowMs: number,
): void {
  const state = instanceState(instance.state, instance.report, nowMs);
  if (states.includes(state)) return;
  throw new OperationError(
    "invalid_input",
    `instance ${instance.id} is ${state}; it must be ${states.join(" or ")}`,
  );
}

export interface InstanceWork {
  readonly record: DatabaseRecord;
  readonly instance: ObservedInstance;
  readonly kind: Extract<TaskType & PlanKind, `${string}_instance`>;
  readonly makePlan: (input: InstancePlanInput) => Result<Plan, "not_found">;
  readonly notBeforeMs?: number;
  /** Beside the task itself. */
  readonly acceptance: (plan: Plan, atMs: number) => Acceptance;
}

/** Commits the task. */
export async function acceptInstanceTask(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  work: InstanceWork,
): Promise<Task | "again"> {
  const { db } = runtime.store;
  const { record, instance, notBeforeMs } = work;
  const stored = await listResources(db, record.id);
  const planned = work.makePlan({
    databaseId: record.id,
    instanceId: instance.id,
    parentGeneration: record.generation,
    stored,
    observed: nothingObserved,
  });
  if (!planned.ok) {
    throw new OperationError("invalid_input", `instance ${instance.id} was never created`);
  }
  const plan = sound(planned.value, stored);
  const task = newTask(deps, {
    scope: "database",
    databaseId: record.id,
    type: work.kind,
    plan,
    nodeName: instance.nodeName,
    instanceId: instance.id,
    hostId: instance.hostId,
    ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
  });
  const { guards, statements } = work.acceptance(plan, deps.clock.nowMs());
  const end = await accept(deps, runtime, record.id, {
    guards,
    statements: [...statements, insertTask(db, task)],
  });
  return end === "again" ? end : presentTask(task);
}
