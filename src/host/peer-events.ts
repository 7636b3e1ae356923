// The lines of something that goes on at another host, as they come. Silence means that the connection is lost:
// the host beats while there is nothing to say.
import type { Clock } from "../base/clock.ts";
import { AppError, isAbort, messageOf } from "../base/errors.ts";
import {
  commandKillGraceMs,
  commandOutputBytesMax,
  peerRequestTimeoutMs,
  peerSilenceMs,
} from "../base/limits.ts";
import { answeredError, type PeerLink } from "./peer-link.ts";
import { type RunEvent, receivedError } from "./peer-messages.ts";

export interface PeerStream {
  readonly link: PeerLink;
  readonly clock: Clock;
  readonly path: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Longest time over all. */
  readonly limitMs: number;
  readonly signal?: AbortSignal;
  readonly cancelPath: string;
}

/** Two outputs, escaped, and the rest of a result. */
const LINE_CHARS_MAX = 16 * commandOutputBytesMax;

/** Every event but beats, until the stream ends. Throws what the host said went wrong, or that it was lost. */
export async function* peerEvents(stream: PeerStream): AsyncGenerator<RunEvent> {
  const { link, clock } = stream;
  const connection = new AbortController();
  const watch = new Watch(clock, connection);
  try {
    const deadline = clock.deadline(stream.limitMs, connection.signal);
    const response = await watch.within(
      link.request({
        method: "POST",
        path: stream.path,
        headers: { ...stream.headers, "content-type": "application/json" },
        body: stream.body,
        signal: deadline,
      }),
    );
    if (!response.ok) {
      throw answeredError(link.hostId, response.status, await watch.within(response.text()));
    }
    const ended = new AbortController();
    const passedOn = passOn(stream, connection, ended.signal);
    try {
      yield* events(response, watch);
    } finally {
      ended.abort();
      await passedOn;
    }
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
    const why = isAbort(thrown) ? (watch.why ?? "it took too long") : messageOf(thrown);
    throw new AppError("retryable", `host ${link.hostId}: the connection was lost: ${why}`);
  } finally {
    watch.end();
    connection.abort();
  }
}

async function* events(response: Response, watch: Watch): AsyncGenerator<RunEvent> {
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let pending = "";
  while (reader) {
    const { done, value } = await watch.within(reader.read());
    if (done) return;
    pending += decoder.decode(value, { stream: true });
    const lines = pending.split("\n");
    pending = lines.pop() ?? "";
    if (pending.length > LINE_CHARS_MAX) throw new AppError("bug", "an event is too long");
    for (const line of lines) {
      const event: RunEvent = JSON.parse(line);
      if (event.event === "failed") throw receivedError(event.error) ?? new Error("no error told");
      if (event.event !== "beat") yield event;
    }
  }
}

/** Tells the host to end it; when even that fails, closing the connection ends it there. */
async function passOn(
  stream: PeerStream,
  connection: AbortController,
  ended: AbortSignal,
): Promise<void> {
  const { link, clock, cancelPath, signal: cancelled } = stream;
  if (!cancelled || !(await abortedFirst(cancelled, ended))) return;
  try {
    const signal = clock.deadline(peerRequestTimeoutMs, ended);
    const response = await link.request({ method: "DELETE", path: cancelPath, signal });
    await response.body?.cancel();
    await clock.sleep(commandKillGraceMs + peerSilenceMs, ended);
    connection.abort(new DOMException("it did not end", "AbortError"));
  } catch {
    // The host cannot be told, or the stream ended meanwhile: both end with the connection.
    if (!ended.aborted) connection.abort(new DOMException("cancelled", "AbortError"));
  }
}

/** Whether the first aborts before the second. */
function abortedFirst(first: AbortSignal, second: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (first.aborted || second.aborted) return resolve(!second.aborted);
    const ended = new AbortController();
    const settle = (is: boolean) => () => {
      ended.abort();
      resolve(is);
    };
    first.addEventListener("abort", settle(true), { signal: ended.signal });
    second.addEventListener("abort", settle(false), { signal: ended.signal });
  });
}

/** Ends the connection when it is silent for too long. */
class Watch {
  readonly #clock: Clock;
  readonly #connection: AbortController;
  #over = false;
  why: string | undefined;

  constructor(clock: Clock, connection: AbortController) {
    this.#clock = clock;
    this.#connection = connection;
  }

  /** The outcome, unless it takes longer than peerSilenceMs. */
  async within<T>(work: Promise<T>): Promise<T> {
    const heard = new AbortController();
    this.#clock.sleep(peerSilenceMs, heard.signal).then(
      () => {
        if (this.#over) return;
        this.why = `nothing came for ${peerSilenceMs} ms`;
        this.#connection.abort(new DOMException(this.why, "TimeoutError"));
      },
      () => undefined,
    );
    const cut = this.#connection.signal;
    const { promise, reject } = Promise.withResolvers<never>();
    const onCut = () => reject(cut.reason);
    cut.addEventListener("abort", onCut, { once: true });
    try {
      return await Promise.race([work, promise]);
    } finally {
      heard.abort();
      cut.removeEventListener("abort", onCut);
      work.catch(() => undefined);
    }
  }

  end(): void {
    this.#over = true;
  }
}
