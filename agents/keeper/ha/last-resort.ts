// The keeper's own look at the deadline, for a fencer that is stopped or gone: what the fencer should have killed, the
// keeper kills. Where the fencer did its work there is nothing left to kill.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { deadlineLookMs, deadlineLookMsMax } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { OwnLease } from "../../../src/ha/state.ts";

export interface LastResortDeps {
  readonly clock: Clock;
  readonly boot: BootClock;
  readonly log: Logger;
  readonly own: () => OwnLease | null;
  /** Kills every process of PostgreSQL; answers how many are left. */
  readonly kill: () => Promise<number>;
  /** PostgreSQL was ended. */
  readonly onKilled: () => void;
}

/** Looks until the signal aborts. */
export async function watchDeadline(deps: LastResortDeps, signal: AbortSignal): Promise<void> {
  const { clock, boot, log, own, kill, onKilled } = deps;
  let done: number | undefined;
  while (!signal.aborted) {
    const lease = own();
    const over = lease !== null && boot.bootMs() >= lease.deadlineMs;
    if (over && lease.deadlineMs !== done) {
      log.warn("the lease ended: PostgreSQL is ended", { epoch: lease.row.epoch });
      try {
        if ((await kill()) === 0) done = lease.deadlineMs;
        onKilled();
      } catch (error) {
        log.error("PostgreSQL was not ended", { error: messageOf(error) });
      }
    }
    await clock.sleep(pauseMs(own(), boot.bootMs()), signal).catch(() => undefined);
  }
}

/** A deadline that is far may still be brought forward, by a shorter ttl. */
function pauseMs(lease: OwnLease | null, nowMs: number): number {
  const leftMs = lease === null ? deadlineLookMsMax : lease.deadlineMs - nowMs;
  return Math.min(Math.max(deadlineLookMs, leftMs), deadlineLookMsMax);
}
