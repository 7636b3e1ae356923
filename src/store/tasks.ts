// Tasks, the progress of their steps, and the statements that move them. Which move is legal is apply/transitions.ts's business.
import {
  and,
  asc,
  count,
  desc,
  eq,
  getTableColumns,
  gt,
  inArray,
  lt,
  ne,
  type SQL,
  sql,
} from "drizzle-orm";
import type { Plan } from "../plan/resource.ts";
import type { PlannedHost } from "../spec/add-host.ts";
import type { TaskScope, TaskStatus, TaskType } from "../spec/task.ts";
import type { StoreDb } from "./db.ts";
import { taskSteps, tasks } from "./schema.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

/** What a task is to do, as stored beside it. */
export interface TaskWork {
  readonly plan: Plan;
  /** The task removes this host when its child tasks have ended. */
  readonly removeHost?: string;
  /** The host is forgotten also when nothing can be done on it any more. */
  readonly removeForce?: boolean;
  /** The machine that the task makes a host; taken away when the task ends, for the credentials in it. */
  readonly addHost?: PlannedHost;
  /** Wall clock, milliseconds; not started before. Absent = at once. */
  readonly notBeforeMs?: number;
}

export interface TaskRecord {
  readonly id: string;
  readonly scope: TaskScope;
  readonly entityId: string;
  readonly databaseId: string | null;
  readonly nodeName: string | null;
  readonly instanceId: string | null;
  readonly hostId: string | null;
  readonly parentId: string | null;
  readonly type: TaskType;
  readonly status: TaskStatus;
  readonly error: string | null;
  readonly work: TaskWork;
  readonly epoch: number;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly completedAtMs: number | null;
}

/** A task as the worker's look-around sees it: enough to choose, without its plan. */
export interface ActiveTask {
  readonly id: string;
  readonly scope: TaskScope;
  readonly databaseId: string | null;
  readonly status: TaskStatus;
  readonly notBeforeMs: number | null;
  /** The host that the task removes. */
  readonly removeHost: string | null;
  /** Id of the host that the task adds. */
  readonly addHost: string | null;
}

export interface StepRecord {
  readonly stepId: string;
  readonly state: "running" | "done" | "failed";
  readonly attempts: number;
  readonly error: string | null;
}

export interface TaskFilter {
  readonly scope?: TaskScope;
  readonly entityId?: string;
  readonly afterTaskId?: string;
  readonly limit?: number;
  readonly order: "asc" | "desc";
}

const { plan: _plan, ...SHOWN } = getTableColumns(tasks);

const ACTIVE: readonly TaskStatus[] = ["pending", "running", "canceling"];

type Row = typeof tasks.$inferSelect;

export async function loadTask(db: StoreDb, id: string): Promise<TaskRecord | undefined> {
  const [row] = await db.select().from(tasks).where(eq(tasks.id, id)).limit(1);
  return row && fromRow(row);
}

/** Tasks by id, which is the order of their making. */
export async function listTasks(
  db: StoreDb,
  filter: TaskFilter,
): Promise<readonly Omit<TaskRecord, "work">[]> {
  const conditions: SQL[] = [];
  if (filter.scope !== undefined) conditions.push(eq(tasks.scope, filter.scope));
  if (filter.entityId !== undefined) conditions.push(eq(tasks.entityId, filter.entityId));
  if (filter.afterTaskId !== undefined) {
    const after = filter.order === "asc" ? gt : lt;
    conditions.push(after(tasks.id, filter.afterTaskId));
  }
  return db
    .select(SHOWN)
    .from(tasks)
    .where(and(...conditions))
    .orderBy(filter.order === "asc" ? asc(tasks.id) : desc(tasks.id))
    .limit(filter.limit !== undefined && filter.limit > 0 ? filter.limit : -1);
}

/** Every task that is not final, oldest first. */
export async function listActiveTasks(db: StoreDb): Promise<readonly ActiveTask[]> {
  return db
    .select({
      id: tasks.id,
      scope: tasks.scope,
      databaseId: tasks.databaseId,
      status: tasks.status,
      notBeforeMs: sql<number | null>`json_extract(${tasks.plan}, '$.notBeforeMs')`,
      removeHost: sql<string | null>`json_extract(${tasks.plan}, '$.removeHost')`,
      addHost: sql<string | null>`json_extract(${tasks.plan}, '$.addHost.id')`,
    })
    .from(tasks)
    .where(inArray(tasks.status, [...ACTIVE]))
    .orderBy(asc(tasks.id));
}

/** What became of the tasks that belong to another. */
export async function listChildTasks(
  db: StoreDb,
  parentId: string,
): Promise<readonly Pick<TaskRecord, "id" | "databaseId" | "status" | "error">[]> {
  return db
    .select({
      id: tasks.id,
      databaseId: tasks.databaseId,
      status: tasks.status,
      error: tasks.error,
    })
    .from(tasks)
    .where(eq(tasks.parentId, parentId))
    .orderBy(asc(tasks.id));
}

export async function loadSteps(db: StoreDb, taskId: string): Promise<readonly StepRecord[]> {
  const rows = await db.select().from(taskSteps).where(eq(taskSteps.taskId, taskId));
  return rows.map(({ stepId, state, attempts, error }) => ({
    stepId,
    state,
    attempts,
    error,
  }));
}

export function insertTask(db: StoreDb, task: TaskRecord): Query {
  const { work, ...rest } = task;
  return db
    .insert(tasks)
    .values({ ...rest, plan: JSON.stringify(work) })
    .toSQL();
}

/** Moves a task, but only from one of the given statuses. */
export function moveTask(
  db: StoreDb,
  id: string,
  from: readonly TaskStatus[],
  change: Partial<Pick<Row, "epoch" | "startedAtMs" | "completedAtMs" | "error">> & {
    readonly status: TaskStatus;
  },
): Query {
  return db
    .update(tasks)
    .set(change)
    .where(and(eq(tasks.id, id), inArray(tasks.status, [...from])))
    .toSQL();
}

/** Keeps nothing of the machine that a task was to make a host. */
export function forgetAddition(db: StoreDb, id: string): Query {
  return db
    .update(tasks)
    .set({ plan: sql`json_remove(${tasks.plan}, '$.addHost')` })
    .where(eq(tasks.id, id))
    .toSQL();
}

/** Holds while no task adds a host of this id. */
export function noAdditionGuard(db: StoreDb, hostId: string): Guard {
  return {
    name: "host_addition",
    query: db
      .select({ idle: sql`count(*) = 0` })
      .from(tasks)
      .where(
        and(
          inArray(tasks.status, [...ACTIVE]),
          sql`json_extract(${tasks.plan}, '$.addHost.id') = ${hostId}`,
        ),
      )
      .toSQL(),
  };
}

/** Orders the end of every task of a database that is not final. */
export function cancelTasksOf(db: StoreDb, databaseId: string): Query {
  return db
    .update(tasks)
    .set({ status: "canceling" })
    .where(and(eq(tasks.databaseId, databaseId), inArray(tasks.status, ["pending", "running"])))
    .toSQL();
}

/** Holds while the task is in one of the statuses. */
export function taskStatusGuard(db: StoreDb, id: string, statuses: readonly TaskStatus[]): Guard {
  return {
    name: "task_status",
    query: db
      .select({ n: count() })
      .from(tasks)
      .where(and(eq(tasks.id, id), inArray(tasks.status, [...statuses])))
      .toSQL(),
  };
}

/** Holds while the task is claimed by the worker of `epoch` and in one of the statuses. */
export function claimGuard(
  db: StoreDb,
  id: string,
  epoch: number,
  statuses: readonly TaskStatus[],
): Guard {
  return {
    name: "task_claim",
    query: db
      .select({ n: count() })
      .from(tasks)
      .where(and(eq(tasks.id, id), eq(tasks.epoch, epoch), inArray(tasks.status, [...statuses])))
      .toSQL(),
  };
}

/** Holds while no task works on the database; one that waits for its time does not count. */
export function idleDatabaseGuard(db: StoreDb, databaseId: string): Guard {
  return {
    name: "database_idle",
    query: db
      .select({ idle: sql`count(*) = 0` })
      .from(tasks)
      .where(
        and(
          eq(tasks.databaseId, databaseId),
          inArray(tasks.status, [...ACTIVE]),
          sql`(${ne(tasks.status, "pending")} or json_extract(${tasks.plan}, '$.notBeforeMs') is null)`,
        ),
      )
      .toSQL(),
  };
}

/** Holds while no task of this type waits for its time to work on the node. */
export function noScheduledGuard(
  db: StoreDb,
  databaseId: string,
  nodeName: string,
  type: TaskType,
): Guard {
  return {
    name: "nothing_scheduled",
    query: db
      .select({ free: sql`count(*) = 0` })
      .from(tasks)
      .where(
        and(
          eq(tasks.databaseId, databaseId),
          eq(tasks.nodeName, nodeName),
          eq(tasks.type, type),
          inArray(tasks.status, [...ACTIVE]),
          sql`json_extract(${tasks.plan}, '$.notBeforeMs') is not null`,
        ),
      )
      .toSQL(),
  };
}

/** A step begins, or begins again. */
export function beginStep(db: StoreDb, taskId: string, stepId: string, atMs: number): Query {
  return db
    .insert(taskSteps)
    .values({ taskId, stepId, state: "running", attempts: 1, startedAtMs: atMs })
    .onConflictDoUpdate({
      target: [taskSteps.taskId, taskSteps.stepId],
      set: {
        state: "running",
        attempts: sql`${taskSteps.attempts} + 1`,
        error: null,
        startedAtMs: atMs,
        finishedAtMs: null,
      },
    })
    .toSQL();
}

/** A step ended; `error` = null when it succeeded. */
export function endStep(
  db: StoreDb,
  taskId: string,
  stepId: string,
  end: { readonly error: string | null; readonly atMs: number },
): Query {
  return db
    .update(taskSteps)
    .set({
      state: end.error === null ? "done" : "failed",
      error: end.error,
      finishedAtMs: end.atMs,
    })
    .where(and(eq(taskSteps.taskId, taskId), eq(taskSteps.stepId, stepId)))
    .toSQL();
}

/** Forgets the tasks of one entity with their steps; their logs go by deleteTaskLogsOf, before this. */
export function deleteTasksOf(db: StoreDb, scope: TaskScope, entityId: string): readonly Query[] {
  const mine = db
    .select({ id: tasks.id })
    .from(tasks)
    .where(and(eq(tasks.scope, scope), eq(tasks.entityId, entityId)));
  return [
    db.delete(taskSteps).where(inArray(taskSteps.taskId, mine)).toSQL(),
    db
      .delete(tasks)
      .where(and(eq(tasks.scope, scope), eq(tasks.entityId, entityId)))
      .toSQL(),
  ];
}

function fromRow(row: Row): TaskRecord {
  const { plan, ...rest } = row;
  const work: TaskWork = JSON.parse(plan);
  return { ...rest, work };
}
