// A task's log as server-sent events, from where the client left off until the task has ended.
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { isUuid } from "../base/ids.ts";
import type { LogEvent } from "../operations/operations.ts";
import type { TaskScope } from "../spec/task.ts";
import type { Exchange } from "./endpoint.ts";
import { eventStream, type ServerEvent } from "./event-stream.ts";

export interface FollowedLog {
  readonly scope: TaskScope;
  readonly id: string;
  readonly taskId: string;
  /** Id of the last entry that the client has. */
  readonly after?: string;
}

/** Throws what getTask throws; after that, problems end the stream and the client resumes it. */
export async function followLog(
  exchange: Exchange,
  clock: Clock,
  { scope, id, taskId, after }: FollowedLog,
): Promise<Response> {
  await exchange.operations.getTask(scope, id, taskId);
  exchange.keepOpen();
  const last = exchange.headers.get("last-event-id");
  const resumeAfter = last !== null && isUuid(last) ? last : after;
  const follow = (signal: AbortSignal) =>
    exchange.operations.followTaskLog(scope, id, taskId, resumeAfter, signal);
  return eventStream((signal) => serverEvents(follow(signal)), {
    clock,
    signal: exchange.gone(),
    onFailure: (thrown) =>
      exchange.log.warn("a followed log ended early", {
        requestId: exchange.requestId,
        taskId,
        error: messageOf(thrown),
      }),
  });
}

async function* serverEvents(events: AsyncIterable<LogEvent>): AsyncGenerator<ServerEvent> {
  for await (const { kind, entryId, timestamp, message, fields, status } of events) {
    if (kind === "end") {
      yield { event: "end", id: entryId, data: { status: status ?? "unknown" } };
      return;
    }
    const entry = fields ? { timestamp, message, fields } : { timestamp, message };
    yield { event: "entry", id: entryId, data: entry };
  }
}
