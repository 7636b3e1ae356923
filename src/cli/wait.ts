// Follows a task to its end, showing its log as it comes.
import { isAbort } from "../base/errors.ts";
import { type ApiClient, isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";

const finalStatuses = ["completed", "failed", "canceled"];
const reconnectMs = 500;

export interface TaskReference {
  readonly taskId: string;
  /** API path of the task, e.g. /v1/databases/shop/tasks/<id>. */
  readonly path: string;
  /** API path of its log. */
  readonly logPath: string;
}

/** Where a task of an API answer lives. */
export function referenceOf(task: unknown): TaskReference {
  if (!isObject(task)) throw new CliError(exitCodes.failure, "the server's answer names no task");
  const taskId = String(task.task_id);
  const isHost = task.scope === "host";
  const path = `/v1/${isHost ? "hosts" : "databases"}/${String(task.entity_id)}/tasks/${taskId}`;
  return { taskId, path, logPath: `${path}/${isHost ? "logs" : "log"}` };
}

/** One printed line of a log entry. */
export function formatEntry(entry: Record<string, unknown>): string {
  const fields = isObject(entry.fields) ? entry.fields : {};
  const duration = fields.duration_ms === undefined ? "" : ` (${String(fields.duration_ms)} ms)`;
  const message = String(entry.message);
  // Messages about a failure mostly end in it already.
  const isNew = fields.error !== undefined && !message.includes(String(fields.error));
  const error = isNew ? `: ${String(fields.error)}` : "";
  return `${String(entry.timestamp)}  ${message}${duration}${error}`;
}

/** Prints a task's log from its start until it is final, going on after a lost connection. */
export async function followLog(
  client: ApiClient,
  task: TaskReference,
  print: (line: string) => void,
  terminal: Terminal,
  limit: AbortSignal,
): Promise<string> {
  let after: string | undefined;
  for (;;) {
    try {
      for await (const event of client.stream(task.logPath, {
        follow: "true",
        after_entry_id: after,
      })) {
        if (limit.aborted) throw waitTimeout(task);
        if (event.id) after = event.id;
        const data: unknown = event.data ? JSON.parse(event.data) : {};
        if (!isObject(data)) continue;
        if (event.event === "end") return String(data.status ?? data.task_status);
        if (data.message !== undefined) print(formatEntry(data));
      }
    } catch (thrown) {
      if (thrown instanceof CliError && thrown.exitCode !== exitCodes.cannotConnect) throw thrown;
      if (limit.aborted || isAbort(thrown)) throw waitTimeout(task);
    }
    // The stream broke off, for instance because its server restarts; the task goes on.
    const status = await statusOf(client, task);
    if (status && finalStatuses.includes(status)) return status;
    await terminal.clock.sleep(reconnectMs, limit);
  }
}

/** Waits for a task and shows its log on the error stream; throws unless it completed. */
export async function waitForTask(
  client: ApiClient,
  task: TaskReference,
  terminal: Terminal,
  options: { readonly timeoutMs: number; readonly quiet: boolean },
): Promise<void> {
  const limit = terminal.clock.deadline(options.timeoutMs, terminal.signal);
  const print = (line: string) => {
    if (!options.quiet) terminal.err(`${line}\n`);
  };
  const status = await followLog(client, task, print, terminal, limit);
  if (status === "completed") return;
  const body = await client.get(task.path);
  const error = isObject(body) && body.error ? `: ${String(body.error)}` : "";
  throw new CliError(exitCodes.taskFailed, `task ${task.taskId} ${status}${error}`);
}

async function statusOf(client: ApiClient, task: TaskReference): Promise<string | undefined> {
  try {
    const body = await client.get(task.path);
    return isObject(body) ? String(body.status) : undefined;
  } catch (thrown) {
    if (thrown instanceof CliError && thrown.exitCode === exitCodes.cannotConnect) return undefined;
    throw thrown;
  }
}

function waitTimeout(task: TaskReference): CliError {
  return new CliError(
    exitCodes.waitTimeout,
    `stopped waiting; the task goes on: pgherd task wait ${task.taskId}`,
  );
}
