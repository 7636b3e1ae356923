// Tasks and their logs as users see them.
import { type Static, Type } from "@sinclair/typebox";
import { anyMap, closed, oneOf } from "./closed.ts";
import { Timestamp } from "./fields.ts";

export const TaskScope = oneOf(["database", "host"]);
export type TaskScope = Static<typeof TaskScope>;

export const TaskStatus = oneOf([
  "pending",
  "running",
  "completed",
  "canceled",
  "canceling",
  "failed",
  "unknown",
]);
export type TaskStatus = Static<typeof TaskStatus>;

export const TaskType = oneOf([
  "create",
  "update",
  "delete",
  "upgrade",
  "node_backup",
  "restore",
  "node_restore",
  "restart_instance",
  "stop_instance",
  "start_instance",
  "reload_instance",
  "checkpoint_instance",
  "reinitialize_instance",
  "rewind_instance",
  "switchover",
  "failover",
  "remove_host",
  "add_host",
]);
export type TaskType = Static<typeof TaskType>;

export const Task = closed({
  scope: TaskScope,
  entity_id: Type.String(),
  database_id: Type.Optional(Type.String()),
  node_name: Type.Optional(Type.String()),
  instance_id: Type.Optional(Type.String()),
  host_id: Type.Optional(Type.String()),
  task_id: Type.String({ format: "uuid" }),
  parent_id: Type.Optional(Type.String({ format: "uuid" })),
  created_at: Timestamp,
  completed_at: Type.Optional(Timestamp),
  type: TaskType,
  status: TaskStatus,
  error: Type.Optional(Type.String()),
});
export type Task = Static<typeof Task>;

export const TaskLogEntry = closed({
  timestamp: Timestamp,
  message: Type.String(),
  fields: Type.Optional(anyMap()),
});
export type TaskLogEntry = Static<typeof TaskLogEntry>;

export const TaskLog = closed({
  scope: TaskScope,
  entity_id: Type.String(),
  database_id: Type.Optional(Type.String()),
  task_id: Type.String(),
  task_status: TaskStatus,
  /** Where to continue; absent while there is no entry. */
  last_entry_id: Type.Optional(Type.String()),
  entries: Type.Array(TaskLogEntry),
});
export type TaskLog = Static<typeof TaskLog>;

export const ListTasksResponse = closed({ tasks: Type.Array(Task) });
export type ListTasksResponse = Static<typeof ListTasksResponse>;

export const ListDatabaseTasksResponse = closed({ tasks: Type.Array(Task) });
export type ListDatabaseTasksResponse = Static<typeof ListDatabaseTasksResponse>;

export const ListHostTasksResponse = closed({ tasks: Type.Array(Task) });
export type ListHostTasksResponse = Static<typeof ListHostTasksResponse>;
