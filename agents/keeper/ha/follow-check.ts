// Lets a standby follow a member only when its log is known to be part of that member's, and finds out why one that
// receives nothing never will. The numbers of timelines come from the store and are unique, unless somebody promoted
// by hand: then two histories can have one number, and following would mix them. So data that ran as a primary is
// started with nobody to follow, and compared first.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import {
  followCheckIntervalMs,
  followDivergedMs,
  followSilentMs,
} from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { RunGoal } from "../../../src/ha/action.ts";
import type { LocalView, StandbyView } from "../../../src/ha/observed.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import { describeKinship } from "../../../src/postgres/timeline-history.ts";
import type { Judgement, Positions, StandbyMechanics } from "../standby/mechanics.ts";

export interface FollowCheckDeps {
  readonly boot: BootClock;
  readonly log: Logger;
  readonly mechanics: StandbyMechanics;
  readonly members: () => readonly HaMember[];
  /** Positions of the running server, as they were looked at last. */
  readonly positions: () => Positions | undefined;
  /** No member that it could follow has what it needs next. */
  readonly onStranded: (why: string) => void;
  readonly onChange: () => void;
}

export class FollowCheck {
  readonly #deps: FollowCheckDeps;
  /** Undefined until it was looked up. */
  #needed: boolean | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking = false;
  /** Since when the answer is that the data went its own way. */
  #divergedSinceMs: number | undefined;

  constructor(deps: FollowCheckDeps) {
    this.#deps = deps;
  }

  /** The data may have become another, or another part was prepared for it. */
  forget(): void {
    this.#needed = undefined;
    this.#askedAtMs = Number.NEGATIVE_INFINITY;
    this.#divergedSinceMs = undefined;
  }

  /** The goal, without the upstream as long as the data has not been compared with it. */
  async limit(goal: RunGoal): Promise<RunGoal> {
    if (goal.kind !== "standby" || goal.upstream === null) return goal;
    // Only a no is kept: data that needed it may have been rewound or copied since.
    if (this.#needed !== false) this.#needed = await this.#deps.mechanics.needsProof();
    return this.#needed ? { kind: "standby", upstream: null } : goal;
  }

  /** Compares when there is reason to; not waited for by the loop, and one at a time. */
  look(local: LocalView, goal: RunGoal, signal: AbortSignal): void {
    const { postgres } = local;
    if (this.#asking || postgres.kind !== "standby" || postgres.stranded !== null) return;
    if (goal.kind !== "standby" || goal.upstream === null) return;
    const nowMs = this.#deps.boot.bootMs();
    if (!this.#needed && !isSilent(postgres, goal.upstream, nowMs)) return;
    if (nowMs - this.#askedAtMs < followCheckIntervalMs) return;
    this.#askedAtMs = nowMs;
    this.#asking = true;
    void this.#ask(goal.upstream, signal)
      .catch((error) => this.#deps.log.info("not compared yet", { error: messageOf(error) }))
      .finally(() => {
        this.#asking = false;
      });
  }

  async #ask(upstream: string, signal: AbortSignal): Promise<void> {
    const { mechanics, members, positions, log, onChange } = this.#deps;
    const member = members().find(({ instance_id }) => instance_id === upstream);
    const own = positions();
    if (!member || !own?.inRecovery) return;
    const peer = { instanceId: upstream, addresses: member.addresses, port: member.port };
    const data = { ...own.end, history: own.history };
    const judgement = await mechanics.judge(peer, data, signal);
    const why = this.#strandedBy(judgement);
    if (judgement.kind === "follow") {
      if (this.#needed) log.info("the log is part of the upstream's", { upstream });
      this.#needed = undefined;
    } else if (why === undefined) {
      log.info("not to be followed yet", { upstream, judgement: judgement.kind });
      return;
    } else {
      log.warn("the upstream cannot be followed", { upstream, why });
      this.#deps.onStranded(why);
    }
    onChange();
  }

  /**
   * Why waiting will not help; undefined when it may. Data that went its own way is rewound as soon as the store
   * knows where the timelines parted; if it never does, only a copy is left.
   */
  #strandedBy(judgement: Judgement): string | undefined {
    const nowMs = this.#deps.boot.bootMs();
    if (judgement.kind !== "diverged") this.#divergedSinceMs = undefined;
    switch (judgement.kind) {
      case "forked":
      case "too_old":
      case "foreign":
        return judgement.why;
      case "diverged":
        this.#divergedSinceMs ??= nowMs;
        if (nowMs - this.#divergedSinceMs < followDivergedMs) return undefined;
        return describeKinship(judgement.kinship);
      case "follow":
      case "wait":
        return undefined;
    }
  }
}

/** It has an upstream and hears nothing from it, for longer than a new connection takes. */
function isSilent(postgres: StandbyView, upstream: string, nowMs: number): boolean {
  const { silentSinceMs } = postgres;
  if (postgres.upstream !== upstream || silentSinceMs === null) return false;
  return nowMs - silentSinceMs > followSilentMs;
}
