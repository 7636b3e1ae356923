// A task's log as it grows, until the task is final.
import { rfc3339 } from "../base/clock.ts";
import { taskLogFollowBatch, taskLogFollowPollMs } from "../base/limits.ts";
import { type LogEntry, readLog } from "../store/task-log.ts";
import { existingTask, type TaskKey } from "./cancel-task.ts";
import type { OperationsDeps } from "./deps.ts";
import type { LogEvent } from "./operations.ts";
import { presentLogEntry } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

/** Every entry after the given one, in order and once, then one "end". Throws not_found, and the signal's reason. */
export async function* followTaskLog(
  deps: OperationsDeps,
  key: TaskKey,
  afterEntryId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<LogEvent> {
  const runtime = runtimeOf(deps);
  const { store } = runtime;
  let last = afterEntryId;
  for (;;) {
    const version = await store.changeVersion(signal);
    // The task is read before its log: what a final task has to say is there by then.
    const task = await existingTask(runtime, key);
    for await (const entry of newer(deps, key.taskId, last)) {
      last = entry.entryId;
      yield { kind: "entry", entryId: entry.entryId, ...presentLogEntry(entry) };
    }
    if (task.completedAtMs !== null) {
      yield {
        kind: "end",
        entryId: last ?? "",
        timestamp: rfc3339(task.completedAtMs),
        message: `task ${task.status}`,
        status: task.status,
      };
      return;
    }
    await store.waitForChange(version, signal, taskLogFollowPollMs);
  }
}

async function* newer(
  deps: OperationsDeps,
  taskId: string,
  afterEntryId: string | undefined,
): AsyncGenerator<LogEntry> {
  const { db } = runtimeOf(deps).store;
  let last = afterEntryId;
  for (;;) {
    const entries = await readLog(db, taskId, {
      ...(last === undefined ? {} : { afterEntryId: last }),
      limit: taskLogFollowBatch,
    });
    yield* entries;
    if (entries.length < taskLogFollowBatch) return;
    last = entries.at(-1)?.entryId;
  }
}
