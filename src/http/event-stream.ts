// Server-sent events (HTML standard, section 9.2) with heartbeats, over anything that yields events.
import type { Clock } from "../base/clock.ts";
import { isAbort } from "../base/errors.ts";
import { eventStreamHeartbeatMs } from "../base/limits.ts";

export interface ServerEvent {
  readonly event: string;
  /** The client sends the last one back when it reconnects; empty = none. */
  readonly id: string;
  readonly data: unknown;
}

export interface EventStreamOptions {
  readonly clock: Clock;
  /** Ends the stream. */
  readonly signal: AbortSignal;
  /** Told when the source fails; the stream then just ends, without a last event. */
  readonly onFailure: (thrown: unknown) => void;
  readonly heartbeatMs?: number;
}

/** Milliseconds that a client waits before it reconnects. */
const RECONNECT_MS = 1_000;

/**
 * A response that sends events as they come and a comment when none came for a while. Its end is the
 * source's end, the signal, or the client's going away; the source's signal aborts in each case.
 * One event is fetched at a time, when the client has read the last one.
 */
export function eventStream(
  open: (signal: AbortSignal) => AsyncIterable<ServerEvent>,
  { clock, signal, onFailure, heartbeatMs = eventStreamHeartbeatMs }: EventStreamOptions,
): Response {
  const gone = new AbortController();
  const ended = AbortSignal.any([signal, gone.signal]);
  const source = open(ended)[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<ServerEvent>> | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(utf8(`retry: ${RECONNECT_MS}\n\n`)),
    async pull(controller) {
      next ??= source.next();
      const result = await orHeartbeat(next, { clock, signal: ended, onFailure, heartbeatMs });
      if (result === "heartbeat") {
        controller.enqueue(utf8(": still here\n\n"));
        return;
      }
      next = undefined;
      if (result === "ended" || result.done) controller.close();
      else controller.enqueue(utf8(render(result.value)));
    },
    cancel: () => gone.abort(),
  });
  return new Response(stream, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    },
  });
}

async function orHeartbeat<T>(
  next: Promise<T>,
  { clock, signal, onFailure, heartbeatMs }: Required<EventStreamOptions>,
): Promise<T | "heartbeat" | "ended"> {
  const won = new AbortController();
  const sleeping = clock
    .sleep(heartbeatMs, AbortSignal.any([signal, won.signal]))
    .then(() => "heartbeat" as const);
  try {
    return await Promise.race([next, sleeping]);
  } catch (thrown) {
    // The client of a stream that ended too early reconnects, and is then told what is wrong.
    if (!signal.aborted && !isAbort(thrown)) onFailure(thrown);
    // What was asked for last may still fail, and nobody waits for it any more.
    next.catch(() => undefined);
    return "ended";
  } finally {
    // Cancelling the sleep rejects it.
    sleeping.catch(() => undefined);
    won.abort();
  }
}

function render({ event, id, data }: ServerEvent): string {
  const idLine = id === "" ? "" : `id: ${id}\n`;
  return `event: ${event}\n${idLine}data: ${JSON.stringify(data)}\n\n`;
}

const encoder = new TextEncoder();

function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}
