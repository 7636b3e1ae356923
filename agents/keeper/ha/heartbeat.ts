// What a member says of itself: in its row of the store again and again, and to the others at once when it is what they
// wait for.
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { memberBeatMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { MemberStatus } from "../../../src/ha/state.ts";
import type { LeaseStore } from "../../../src/store/ha-lease.ts";
import { Wake } from "../wake.ts";
import { memberStatusOf, type StatusInput } from "./member-status.ts";

export interface HeartbeatDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: LeaseStore;
  /** How often the row is written. */
  readonly loopMs: () => number;
  /** What there is to say now. */
  readonly facts: () => Omit<StatusInput, "beat">;
  /** The others should look now. */
  readonly wakeOthers: (signal: AbortSignal) => Promise<void>;
}

const timeoutMs = 2_000;

export class Heartbeat {
  readonly #deps: HeartbeatDeps;
  readonly #alarm: Wake;
  #beat = 0;
  #news = "";

  constructor(deps: HeartbeatDeps) {
    this.#deps = deps;
    this.#alarm = new Wake(deps.clock);
  }

  /** Every one that is given out counts as a newer one. */
  status(): MemberStatus {
    this.#beat += 1;
    return memberStatusOf({ ...this.#deps.facts(), beat: this.#beat });
  }

  /** `news` stands for what others wait for: they hear at once when it is another than before. */
  tell(news: string): void {
    if (news === this.#news) return;
    this.#news = news;
    this.#alarm.wake();
  }

  /** The row is written without waiting for the next round. */
  beatNow(): void {
    this.#alarm.wake();
  }

  /** Beats until the signal aborts. A row that was not written is written in the next round. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, log, clock, loopMs, wakeOthers } = this.#deps;
    let told = "";
    while (!signal.aborted) {
      try {
        const news = this.#news !== told;
        const status = this.status();
        if (news) {
          told = this.#news;
          void wakeOthers(signal);
        }
        await store.saveMember(status, news, clock.nowMs(), { signal, timeoutMs });
      } catch (error) {
        if (signal.aborted) return;
        log.debug("the member's row was not written", { error: messageOf(error) });
      }
      await this.#alarm.wait(Math.max(memberBeatMs, loopMs()), signal);
    }
  }
}
