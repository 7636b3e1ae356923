// The work that goes on while the server runs: each piece is started again when it fails.
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";

/** Runs until the signal aborts. */
export type Work = (signal: AbortSignal) => Promise<void>;

export interface Background {
  /** Ends everything and waits until it has ended. */
  stop(): Promise<void>;
}

const BACKOFF = { firstMs: 100, maxMs: 10_000 };

/** Starts all pieces at once. */
export function startBackground(
  deps: { readonly clock: Clock; readonly rng: Rng; readonly log: Logger },
  pieces: Readonly<Record<string, Work>>,
): Background {
  const ending = new AbortController();
  const { signal } = ending;
  const running = Object.entries(pieces).map(async ([name, work]) => {
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await work(signal);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        deps.log.error("a part of the server failed", { part: name, error: messageOf(thrown) });
      }
      // An abort ends the pause early, and then the loop.
      await deps.clock.sleep(backoffMs(BACKOFF, failures, deps.rng), signal).catch(() => undefined);
    }
  });
  return {
    async stop() {
      ending.abort();
      await Promise.all(running);
    },
  };
}
