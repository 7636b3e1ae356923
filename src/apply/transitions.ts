// Legal changes of a task's status. Statuses only move along this table; final ones never change again.

/** Statuses a stored task can have, a part of the API's TaskStatus. */
export const STORED_TASK_STATUSES = [
  "pending",
  "running",
  "canceling",
  "completed",
  "failed",
  "canceled",
] as const;
export type StoredTaskStatus = (typeof STORED_TASK_STATUSES)[number];

/** From a status to those that may follow it directly. */
const FOLLOWING: Readonly<Record<StoredTaskStatus, readonly StoredTaskStatus[]>> = {
  pending: ["running", "canceling"],
  running: ["completed", "failed", "canceling"],
  canceling: ["canceled"],
  completed: [],
  failed: [],
  canceled: [],
};

/** Whether a task may go from one status directly to the other. */
export function mayBecome(from: StoredTaskStatus, to: StoredTaskStatus): boolean {
  return FOLLOWING[from].includes(to);
}

/** The statuses from which `to` may be reached directly: the guard of the write that sets it. */
export function statusesBefore(to: StoredTaskStatus): readonly StoredTaskStatus[] {
  return STORED_TASK_STATUSES.filter((from) => mayBecome(from, to));
}

/** Whether nothing follows this status. */
export function isFinal(status: StoredTaskStatus): boolean {
  return FOLLOWING[status].length === 0;
}
