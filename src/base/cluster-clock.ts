// Wall clocks of hosts differ, and what one host writes down another compares with its own time: with a clock ten
// minutes off, living hosts looked dead and dead ones alive. So records carry the time of the cluster, which is that
// of the host that leads; every host knows how far its own clock is from it.
import type { Clock } from "./clock.ts";

/** In the data directory of a host's server: by how many milliseconds the host is ahead, as a JSON number. */
export const clockFileName = "clock-ahead.json";

/** A host's clock, put to the time of the cluster. Monotonic time and waits are the host's own. */
export class ClusterClock implements Clock {
  /** The wall clock of this host itself. */
  readonly own: Clock;
  readonly #aheadMs: () => number;

  /** `aheadMs`: by how much the host's wall clock is ahead of the cluster's time. */
  constructor(own: Clock, aheadMs: () => number) {
    this.own = own;
    this.#aheadMs = aheadMs;
  }

  nowMs(): number {
    return this.own.nowMs() - this.#aheadMs();
  }

  monotonicMs(): number {
    return this.own.monotonicMs();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.own.sleep(ms, signal);
  }

  deadline(ms: number, parent?: AbortSignal): AbortSignal {
    return this.own.deadline(ms, parent);
  }
}
