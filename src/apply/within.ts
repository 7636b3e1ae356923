// Bounds work by a signal even when the work itself does not listen to it.
import type { Clock } from "../base/clock.ts";

/** The outcome of the work, or, when it goes on for longer than `graceMs` after the signal aborted, the signal's reason. */
export async function within<T>(
  clock: Clock,
  work: Promise<T>,
  signal: AbortSignal,
  graceMs: number,
): Promise<T> {
  const ended = new AbortController();
  const cut = Promise.withResolvers<never>();
  const onAbort = () => {
    clock.sleep(graceMs, ended.signal).then(
      () => cut.reject(signal.reason),
      () => undefined,
    );
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, cut.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    ended.abort(new DOMException("the work ended", "AbortError"));
    work.catch(() => undefined);
  }
}
