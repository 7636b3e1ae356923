// Routes of tasks and their logs.
import { Type } from "@sinclair/typebox";
import type { Clock } from "../base/clock.ts";
import { OperationError } from "../operations/errors.ts";
import {
  ListDatabaseTasksResponse,
  ListHostTasksResponse,
  ListTasksResponse,
  Task,
  TaskLog,
  type TaskScope,
} from "../spec/task.ts";
import { type Endpoint, type Exchange, endpoint, type Method } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import {
  AllTasksQuery,
  DatabasePath,
  DatabaseTaskPath,
  HostPath,
  HostTaskPath,
  LogQuery,
  TaskPaging,
  taskPage,
} from "./parameters.ts";
import { followLog } from "./task-stream.ts";

export function taskEndpoints(clock: Clock): readonly Endpoint[] {
  return [
    listTasks,
    listDatabaseTasks,
    getDatabaseTask,
    databaseTaskLog(clock),
    cancelTask("GET", "cancel-database-task"),
    cancelTask("POST", "cancel-database-task-post"),
    listHostTasks,
    getHostTask,
    hostTaskLog(clock),
  ];
}

const listTasks = endpoint({
  method: "GET",
  path: "/v1/tasks",
  operationId: "list-tasks",
  tag: "Cluster",
  summary: "Tasks of all databases and hosts",
  query: AllTasksQuery,
  answers: { 200: ListTasksResponse },
  errors: [400, 409],
  async handle({ operations, query }) {
    const { scope, entity_id: entityId } = query;
    if (entityId !== undefined && scope === undefined) {
      throw new OperationError("invalid_input", "entity_id: needs scope", [
        { path: "entity_id", code: "needs_scope", message: "needs scope" },
      ]);
    }
    const id = entityId === undefined ? undefined : identifier("entity_id", entityId);
    return { tasks: await operations.listTasks(scope, id, taskPage(query)) };
  },
});

const listDatabaseTasks = endpoint({
  method: "GET",
  path: "/v1/databases/{database_id}/tasks",
  operationId: "list-database-tasks",
  tag: "Database",
  summary: "Tasks of a database",
  params: DatabasePath,
  query: TaskPaging,
  answers: { 200: ListDatabaseTasksResponse },
  errors: [400, 404, 409],
  async handle({ operations, params, query }) {
    const id = identifier("database_id", params.database_id);
    return { tasks: await operations.listTasks("database", id, taskPage(query)) };
  },
});

const getDatabaseTask = endpoint({
  method: "GET",
  path: "/v1/databases/{database_id}/tasks/{task_id}",
  operationId: "get-database-task",
  tag: "Database",
  summary: "One task of a database",
  params: DatabaseTaskPath,
  answers: { 200: Task },
  errors: [400, 404, 409],
  handle: ({ operations, params }) =>
    operations.getTask("database", identifier("database_id", params.database_id), params.task_id),
});

function cancelTask(method: Method, operationId: string): Endpoint {
  return endpoint({
    method,
    path: "/v1/databases/{database_id}/tasks/{task_id}/cancel",
    operationId,
    tag: "Database",
    summary: "Cancel a task that has not ended",
    mutates: true,
    params: DatabaseTaskPath,
    answers: { 200: Task },
    errors: [400, 404, 409],
    handle: ({ operations, params }) =>
      operations.cancelTask(identifier("database_id", params.database_id), params.task_id),
  });
}

const listHostTasks = endpoint({
  method: "GET",
  path: "/v1/hosts/{host_id}/tasks",
  operationId: "list-host-tasks",
  tag: "Host",
  summary: "Tasks of a host",
  params: HostPath,
  query: TaskPaging,
  answers: { 200: ListHostTasksResponse },
  errors: [400, 404, 409],
  async handle({ operations, params, query }) {
    const id = identifier("host_id", params.host_id);
    return { tasks: await operations.listTasks("host", id, taskPage(query)) };
  },
});

const getHostTask = endpoint({
  method: "GET",
  path: "/v1/hosts/{host_id}/tasks/{task_id}",
  operationId: "get-host-task",
  tag: "Host",
  summary: "One task of a host",
  params: HostTaskPath,
  answers: { 200: Task },
  errors: [400, 404, 409],
  handle: ({ operations, params }) =>
    operations.getTask("host", identifier("host_id", params.host_id), params.task_id),
});

const LOG_DESCRIPTION =
  "Oldest entry first; with a limit, the newest ones. Followed, each entry is an event `entry`, and an " +
  "event `end` with the task's status closes the stream. `Last-Event-ID` resumes it.";

/** What both logs have in common; their paths end differently. */
const log = {
  method: "GET",
  query: LogQuery,
  headers: Type.Object({ "Last-Event-ID": Type.Optional(Type.String({ format: "uuid" })) }),
  description: LOG_DESCRIPTION,
  answers: { 200: TaskLog },
  streams: true,
  errors: [400, 404, 409],
} as const;

function databaseTaskLog(clock: Clock): Endpoint {
  return endpoint({
    ...log,
    path: "/v1/databases/{database_id}/tasks/{task_id}/log",
    operationId: "get-database-task-log",
    tag: "Database",
    summary: "Log of a task of a database",
    params: DatabaseTaskPath,
    handle: ({ params, query, ...exchange }) => {
      const id = identifier("database_id", params.database_id);
      return readLog(exchange, clock, { scope: "database", id, taskId: params.task_id }, query);
    },
  });
}

function hostTaskLog(clock: Clock): Endpoint {
  return endpoint({
    ...log,
    path: "/v1/hosts/{host_id}/tasks/{task_id}/logs",
    operationId: "get-host-task-log",
    tag: "Host",
    summary: "Log of a task of a host",
    params: HostTaskPath,
    handle: ({ params, query, ...exchange }) => {
      const id = identifier("host_id", params.host_id);
      return readLog(exchange, clock, { scope: "host", id, taskId: params.task_id }, query);
    },
  });
}

interface LogOf {
  readonly scope: TaskScope;
  readonly id: string;
  readonly taskId: string;
}

interface LogRange {
  readonly after_entry_id?: string;
  readonly limit?: number;
  readonly follow?: boolean;
}

async function readLog(
  exchange: Exchange,
  clock: Clock,
  of: LogOf,
  { after_entry_id: after, limit, follow }: LogRange,
): Promise<unknown> {
  if (follow) return followLog(exchange, clock, { ...of, ...(after ? { after } : {}) });
  return exchange.operations.taskLog(of.scope, of.id, of.taskId, {
    ...(after === undefined ? {} : { afterEntryId: after }),
    ...(limit === undefined ? {} : { limit }),
  });
}
