// The statements that a task's worker commits before a step, after it, and at the end of the task. No decisions.
import { storedAfter, storedAfterFailure, storedBefore } from "../plan/outcome.ts";
import {
  type Plan,
  type PlanKind,
  type Resource,
  resourceKey,
  type Step,
  type StoredResource,
} from "../plan/resource.ts";
import { deleteDatabaseRow, settleDatabase } from "../store/databases.ts";
import type { StoreDb } from "../store/db.ts";
import { deleteHaOf, deleteHaOfTheGone } from "../store/ha-nodes.ts";
import {
  deleteInstances,
  IN_PROGRESS_STATES,
  moveInstances,
  setInstanceState,
} from "../store/instances.ts";
import { deleteKeeperRequestsOf } from "../store/keeper-requests.ts";
import { releasePortsOf, releaseUnusedPorts } from "../store/ports.ts";
import { deleteResource, deleteResourcesOf, saveResource } from "../store/resources.ts";
import type { Query } from "../store/statement.ts";
import { beginStep, endStep, moveTask } from "../store/tasks.ts";
import { statusesBefore } from "./transitions.ts";

/** Which task, under which plan, and when. */
export interface RecordContext {
  readonly db: StoreDb;
  readonly taskId: string;
  readonly plan: Plan;
  readonly atMs: number;
}

/** Kinds of plans whose end decides the state of the database. */
const DATABASE_KINDS: readonly PlanKind[] = ["create", "update", "delete"];

/** Before a step. A creation leaves a trace first, so that a later deletion knows of it whatever happens. */
export function beginStatements(context: RecordContext, step: Step): readonly Query[] {
  const { db, taskId, atMs } = context;
  const trace = storedBefore(step);
  return [
    beginStep(db, taskId, step.id, atMs),
    ...(trace ? [saveResource(db, context.plan.databaseId, trace, atMs)] : []),
  ];
}

/** After a step that succeeded. `last` = no other step of its instance is left. */
export function doneStatements(
  context: RecordContext,
  step: Step,
  last: boolean,
): readonly Query[] {
  const { db, taskId, plan, atMs } = context;
  const { instanceId } = step.resource;
  const ready = last && instanceId !== undefined && step.action !== "delete";
  return [
    endStep(db, taskId, step.id, { error: null, atMs }),
    ...(!leavesSomething(step) ? [] : [remember(context, step.resource, storedAfter(step))]),
    ...(ready && decidesDatabase(plan)
      ? [setInstanceState(db, plan, [instanceId], { state: "available", error: null, atMs })]
      : []),
  ];
}

/** After a step that failed or was cut short. `previous` = what was stored of its resource before. */
export function failedStatements(
  context: RecordContext,
  step: Step,
  previous: StoredResource | undefined,
  error: string,
): readonly Query[] {
  const { db, taskId, plan, atMs } = context;
  const { instanceId } = step.resource;
  const text = `${resourceKey(step.resource)}: ${error}`;
  const stored = storedAfterFailure(step, previous, error);
  return [
    endStep(db, taskId, step.id, { error, atMs }),
    ...(changesExistence(step) && stored ? [remember(context, step.resource, stored)] : []),
    ...(instanceId !== undefined && decidesDatabase(plan)
      ? [setInstanceState(db, plan, [instanceId], { state: "failed", error: text, atMs })]
      : []),
  ];
}

/** The end of a task whose every step succeeded. */
export function completeStatements(context: RecordContext): readonly Query[] {
  const { db, taskId, plan, atMs } = context;
  const task = moveTask(db, taskId, statusesBefore("completed"), {
    status: "completed",
    completedAtMs: atMs,
    error: null,
  });
  if (plan.kind === "delete") return [...forgetDatabase(db, plan.databaseId), task];
  if (!decidesDatabase(plan)) return [task];
  return [
    ...deleteInstances(db, plan.databaseId, "deleting"),
    ...deleteHaOfTheGone(db, plan.databaseId),
    moveInstances(db, plan, ["creating", "modifying", "failed"], {
      state: "available",
      error: null,
      atMs,
    }),
    releaseUnusedPorts(db, plan.databaseId),
    settleDatabase(db, plan.databaseId, plan.generation, { state: "available", atMs }),
    task,
  ];
}

/** The end of a task that did not reach its goal. */
export function abortStatements(
  context: RecordContext,
  end: { readonly status: "failed" | "canceled"; readonly error: string },
): readonly Query[] {
  const { db, taskId, plan, atMs } = context;
  const task = moveTask(db, taskId, statusesBefore(end.status), {
    status: end.status,
    completedAtMs: atMs,
    error: end.status === "failed" ? end.error : null,
  });
  if (!decidesDatabase(plan)) return [task];
  return [
    moveInstances(db, plan, IN_PROGRESS_STATES, { state: "failed", error: end.error, atMs }),
    settleDatabase(db, plan.databaseId, plan.generation, { state: "failed", atMs }),
    task,
  ];
}

/** What changes nothing of a resource leaves nothing to remember. */
function leavesSomething(step: Step): boolean {
  const passing = ["restart", "reload", "checkpoint", "reinitialize", "rewind"].includes(
    step.action,
  );
  return step.action === "delete" || (!passing && storedAfter(step) !== undefined);
}

/** An instance that could not be restarted, stopped or started is as it was. */
function changesExistence(step: Step): boolean {
  return step.action === "create" || step.action === "update" || step.action === "delete";
}

function remember(
  { db, plan, atMs }: RecordContext,
  resource: Resource,
  stored: StoredResource | undefined,
): Query {
  return stored
    ? saveResource(db, plan.databaseId, stored, atMs)
    : deleteResource(db, plan.databaseId, resource);
}

function decidesDatabase(plan: Plan): boolean {
  return DATABASE_KINDS.includes(plan.kind);
}

function forgetDatabase(db: StoreDb, databaseId: string): readonly Query[] {
  return [
    deleteKeeperRequestsOf(db, databaseId),
    ...deleteHaOf(db, databaseId),
    ...deleteInstances(db, databaseId),
    deleteResourcesOf(db, databaseId),
    releasePortsOf(db, databaseId),
    deleteDatabaseRow(db, databaseId),
  ];
}
