// An answer that is told line by line while something goes on: what it said, beats in between, how it ended.
import type { Clock } from "../base/clock.ts";
import { isAbort } from "../base/errors.ts";
import { peerBeatMs, peerLinesWaitingBytesMax } from "../base/limits.ts";
import { type RunEvent, sentError } from "../host/peer-messages.ts";
import type { InternalCall } from "./internal-call.ts";

/** Says something; what is too much for a slow listener is left out, unless it `must` be heard. */
export type Say = (event: RunEvent) => void;

/**
 * Answers with the events of the work. Its signal aborts when the caller closes the connection. The
 * last event is what the work resolves with, or its failure.
 */
export function eventLines(
  clock: Clock,
  { request, keepOpen }: InternalCall,
  work: (say: Say, signal: AbortSignal) => Promise<RunEvent>,
): Response {
  keepOpen();
  const gone = new AbortController();
  const signal = AbortSignal.any([gone.signal, request.signal]);
  const ended = new AbortController();
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const send = (event: RunEvent) => {
          if (signal.aborted || ended.signal.aborted) return;
          controller.enqueue(encoder.encode(`${JSON.stringify(event)}\n`));
        };
        const say: Say = (event) => {
          if ((controller.desiredSize ?? 0) > 0) send(event);
        };
        send({ event: "started" });
        void beat(clock, send, AbortSignal.any([signal, ended.signal]));
        void work(say, signal)
          .catch((thrown: unknown): RunEvent => ({ event: "failed", error: sentError(thrown) }))
          .then((last) => {
            send(last);
            ended.abort();
            if (!signal.aborted) controller.close();
          });
      },
      cancel() {
        gone.abort(new DOMException("the caller is gone", "AbortError"));
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: peerLinesWaitingBytesMax }),
  );
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
}

async function beat(clock: Clock, send: Say, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await clock.sleep(peerBeatMs, signal);
      send({ event: "beat" });
    }
  } catch (thrown) {
    if (!isAbort(thrown)) throw thrown;
  }
}
