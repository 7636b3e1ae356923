// Accepting a change: one commit that makes it durable, and the error for each reason why it was refused.
import { operationTriesMax } from "../base/limits.ts";
import type { Plan } from "../plan/resource.ts";
import type { TaskScope, TaskType } from "../spec/task.ts";
import type { Query } from "../store/statement.ts";
import type { Guard } from "../store/store.ts";
import type { TaskRecord, TaskWork } from "../store/tasks.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";

export interface Acceptance {
  readonly guards: readonly Guard[];
  readonly statements: readonly Query[];
}

/** Commits, or throws the declared error of the guard that did not hold; `again` for what another try may resolve. */
export async function accept(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  databaseId: string,
  acceptance: Acceptance,
): Promise<"accepted" | "again"> {
  const outcome = await runtime.store.commit({ opId: deps.ids.uuid(), ...acceptance });
  if (outcome.ok) return "accepted";
  switch (outcome.conflict) {
    case "database_free":
      throw new OperationError(
        "database_already_exists",
        `a database with the id ${databaseId} exists already`,
      );
    case "database_idle":
      throw new OperationError(
        "operation_already_in_progress",
        `another task works on database ${databaseId}: wait for it or cancel it`,
      );
    case "no_handover":
      throw new OperationError(
        "operation_already_in_progress",
        `the primary of this node of ${databaseId} is changing already`,
      );
    case "nothing_scheduled":
      throw new OperationError(
        "operation_already_in_progress",
        `a switchover of this node of ${databaseId} is scheduled: cancel its task first`,
      );
    default:
      return "again";
  }
}

/** Repeats an attempt that lost against a concurrent change; each attempt reads everything anew. */
export async function repeatedly<T>(attempt: () => Promise<T | "again">): Promise<T> {
  for (let tries = 0; tries < operationTriesMax; tries++) {
    const result = await attempt();
    if (result !== "again") return result;
  }
  throw new OperationError(
    "operation_already_in_progress",
    "other changes kept coming in between: try again",
  );
}

export interface NewTask {
  readonly scope: TaskScope;
  readonly databaseId: string;
  readonly type: TaskType;
  readonly plan: Plan;
  readonly nodeName?: string;
  readonly instanceId?: string;
  readonly hostId?: string;
  readonly notBeforeMs?: number;
  readonly parentId?: string;
}

/** A pending task that removes a host once its child tasks have ended. */
export function newHostRemoval(
  deps: OperationsDeps,
  hostId: string,
  removeForce: boolean,
): TaskRecord {
  return newHostTask(deps, hostId, "remove_host", { removeHost: hostId, removeForce });
}

/** A pending task about a host itself. */
export function newHostTask(
  deps: OperationsDeps,
  hostId: string,
  type: TaskType,
  work: Omit<TaskWork, "plan">,
): TaskRecord {
  const nothing = { databaseId: "", generation: 0, parentGeneration: 0 };
  const plan: Plan = {
    ...nothing,
    kind: "update",
    steps: [],
    restarts: [],
    switchovers: [],
    writeGapMs: {},
  };
  const task = newTask(deps, { scope: "host", databaseId: hostId, type, plan });
  return { ...task, databaseId: null, hostId, work: { plan, ...work } };
}

/** A pending task for a plan of a database. */
export function newTask(deps: OperationsDeps, task: NewTask): TaskRecord {
  const { plan, notBeforeMs } = task;
  return {
    id: deps.ids.uuid(),
    scope: task.scope,
    entityId: task.databaseId,
    databaseId: task.databaseId,
    nodeName: task.nodeName ?? null,
    instanceId: task.instanceId ?? null,
    hostId: task.hostId ?? null,
    parentId: task.parentId ?? null,
    type: task.type,
    status: "pending",
    error: null,
    work: { plan, ...(notBeforeMs === undefined ? {} : { notBeforeMs }) },
    epoch: 0,
    createdAtMs: deps.clock.nowMs(),
    startedAtMs: null,
    completedAtMs: null,
  };
}
