// The only place that reads time. Everything else receives a Clock, so tests move time by hand.

/** Wall and monotonic time, and waits that can be cancelled. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. For humans and records, never for leases. */
  nowMs(): number;
  /** Monotonic milliseconds; only differences mean anything. */
  monotonicMs(): number;
  /** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A signal that aborts with a TimeoutError after `ms`, or when `parent` aborts. */
  deadline(ms: number, parent?: AbortSignal): AbortSignal;
}

/** RFC 3339 in UTC with second precision, as API timestamps are written. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 in UTC with milliseconds, as logs are written. */
export function rfc3339Millis(ms: number): string {
  return new Date(ms).toISOString();
}

/** As in HTTP headers (RFC 9110 section 5.6.7). */
export function httpDate(ms: number): string {
  return new Date(ms).toUTCString();
}

/** The time as a Date, for libraries that want one. */
export function dateOf(ms: number): Date {
  return new Date(ms);
}

/** Parses an RFC 3339 timestamp to milliseconds, or undefined when it is none. */
export function parseTimestamp(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
  deadline(ms, parent) {
    const timeout = AbortSignal.timeout(ms);
    return parent ? AbortSignal.any([parent, timeout]) : timeout;
  },
};
