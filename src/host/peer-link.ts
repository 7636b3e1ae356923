// A way to ask another host of the cluster something, and what its refusals mean.
import { AppError } from "../base/errors.ts";
import { receivedError } from "./peer-messages.ts";

export interface PeerRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly signal: AbortSignal;
}

/** A way to one host that proved to be it. */
export interface PeerLink {
  readonly hostId: string;
  /** Resolves with whatever it answered. Throws a retryable AppError when there was no answer, the signal's reason when it aborted. */
  request(request: PeerRequest): Promise<Response>;
}

/** What an answer that is no success means. */
export function answeredError(hostId: string, status: number, text: string): AppError {
  try {
    const told = receivedError(JSON.parse(text));
    if (told) return told;
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw thrown;
  }
  const kind = status >= 500 || status === 429 ? "retryable" : "terminal";
  return new AppError(kind, `host ${hostId} answered ${status}: ${text.trim().slice(0, 200)}`);
}
