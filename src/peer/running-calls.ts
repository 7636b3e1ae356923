// Calls of other hosts that take their time: bounded in number, told about line by line, cancelled by their id.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { peerCommandsMax } from "../base/limits.ts";
import type { RunEvent } from "../host/peer-messages.ts";
import { eventLines, type Say } from "./event-lines.ts";
import { type InternalCall, nothing, problem } from "./internal-call.ts";

export class RunningCalls {
  readonly #clock: Clock;
  readonly #running = new Map<string, AbortController>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Answers with the events of the work, whose signal aborts when it is cancelled or the caller is gone. */
  serve(
    call: InternalCall,
    id: string,
    work: (say: Say, signal: AbortSignal) => Promise<RunEvent>,
  ): Response {
    if (this.#running.size >= peerCommandsMax) {
      return problem(429, new AppError("retryable", "too much of other hosts runs here"));
    }
    const cancelled = new AbortController();
    this.#running.set(id, cancelled);
    return eventLines(this.#clock, call, async (say, gone) => {
      try {
        return await work(say, AbortSignal.any([gone, cancelled.signal]));
      } finally {
        this.#running.delete(id);
      }
    });
  }

  /** Ends the one whose id is the last part of the path, if it still runs. */
  cancel(call: InternalCall): Response {
    const id = call.url.pathname.split("/").at(-1) ?? "";
    this.#running.get(id)?.abort(new DOMException("cancelled by the caller", "AbortError"));
    return nothing();
  }
}
