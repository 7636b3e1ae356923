// A stored task as users see it.
import { rfc3339 } from "../base/clock.ts";
import type { Task, TaskLogEntry } from "../spec/task.ts";
import type { LogEntry } from "../store/task-log.ts";
import type { TaskRecord } from "../store/tasks.ts";

export function presentTask(task: Omit<TaskRecord, "work">): Task {
  return {
    scope: task.scope,
    entity_id: task.entityId,
    ...present("database_id", task.databaseId),
    ...present("node_name", task.nodeName),
    ...present("instance_id", task.instanceId),
    ...present("host_id", task.hostId),
    task_id: task.id,
    ...present("parent_id", task.parentId),
    created_at: rfc3339(task.createdAtMs),
    ...present("completed_at", task.completedAtMs === null ? null : rfc3339(task.completedAtMs)),
    type: task.type,
    status: task.status,
    ...present("error", task.error),
  };
}

export function presentLogEntry(entry: LogEntry): TaskLogEntry {
  const fields = Object.keys(entry.fields).length > 0 ? { fields: { ...entry.fields } } : {};
  return { timestamp: rfc3339(entry.atMs), message: entry.message, ...fields };
}

/** The field, unless there is nothing to say. */
function present<K extends string>(key: K, value: string | null): { [P in K]?: string } {
  const field: { [P in K]?: string } = {};
  if (value !== null && value !== "") field[key] = value;
  return field;
}
