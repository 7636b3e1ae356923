// Keeps a slot for every other member wherever this one runs, so that the log that a member needs next is there
// whoever is primary.
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { decodingGraceMs, slotCheckIntervalMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { PostgresView, PrimaryView, StandbyView } from "../../../src/ha/observed.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import type { MemberStatus } from "../../../src/ha/state.ts";
import { parseLsn } from "../../../src/postgres/lsn.ts";
import { memberSlotName } from "../../../src/postgres/replication.ts";
import type { SqlSession } from "../sql.ts";
import type { StandbyMechanics, WantedSlot } from "../standby/mechanics.ts";

export interface SlotsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly mechanics: StandbyMechanics;
  readonly members: () => readonly HaMember[];
  readonly self: string;
}

export class Slots {
  readonly #deps: SlotsDeps;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #wanted = "";
  #unprotected = "";
  /** The primary has logical slots that standbys are to have. */
  #protects = false;
  /**
   * No slot of a time as primary is in the way of copies. Of a standby that an earlier keeper started it is taken for
   * granted, so that nothing changes under it.
   */
  #clear = true;

  constructor(deps: SlotsDeps) {
    this.#deps = deps;
  }

  /** Makes the slots be as they should, when it is time. `others`: how far each member is. */
  async tend(
    session: SqlSession,
    postgres: StandbyView | PrimaryView,
    others: readonly MemberStatus[],
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, log, mechanics, members, self } = this.#deps;
    const nowMs = clock.monotonicMs();
    const role = postgres.kind;
    const mayClear = postgres.kind === "standby" && postgres.streaming && !this.#clear;
    const key = `${role} ${members()
      .map(({ instance_id }) => instance_id)
      .join()}`;
    const lookedLately = key === this.#wanted && nowMs - this.#lookedAtMs < slotCheckIntervalMs;
    if (lookedLately && !mayClear) return;
    this.#lookedAtMs = nowMs;
    const wanted = members()
      .filter(({ instance_id }) => instance_id !== self)
      .map((member) => wantedSlot(member, role, others));
    try {
      const changes = await mechanics.ensureSlots(session, wanted, signal);
      const { created, dropped, problems, unprotected } = changes;
      this.#protects = changes.protects;
      if (role === "standby" && changes.stranded.length === 0) this.#clear = true;
      this.#wanted = key;
      if (created.length + dropped.length > 0) log.info("slots changed", { created, dropped });
      if (unprotected.join() !== this.#unprotected && unprotected.length > 0) {
        log.warn("logical slots that no standby has: after a failover their consumers begin anew", {
          slots: unprotected,
        });
      }
      this.#unprotected = unprotected.join();
      if (problems.length > 0) log.warn("slots are not as they should be", { problems });
    } catch (error) {
      log.warn("slots could not be looked after", { error: messageOf(error) });
    }
  }

  /** Whether a member that follows may have copies of logical slots. */
  mayCopy(postgres: PostgresView): boolean {
    if (postgres.kind === "stopped" || postgres.kind === "primary") this.#clear = false;
    return this.#clear;
  }

  /**
   * The members that have to have a change before logical decoding shows it: those that stream, and for a moment those
   * that did. Otherwise a consumer could be ahead of the next primary; and one that is away must not stop it.
   */
  decodingWaitsFor(postgres: PostgresView, nowMs: number): readonly string[] {
    if (!this.#protects || postgres.kind !== "primary") return [];
    const streaming = postgres.standbys.filter((one) => one.streaming).map((one) => one.instance);
    const justGone = postgres.missing
      .filter(({ sinceMs }) => nowMs - sinceMs < decodingGraceMs)
      .map(({ instance }) => instance);
    return [...new Set([...streaming, ...justGone])].sort();
  }
}

/** On a standby nobody moves a slot by using it. */
function wantedSlot(
  { instance_id }: HaMember,
  role: "primary" | "standby",
  others: readonly MemberStatus[],
): WantedSlot {
  const name = memberSlotName(instance_id);
  const status = others.find((other) => other.instance_id === instance_id);
  const confirmed = status?.receive_lsn ? parseLsn(status.receive_lsn) : undefined;
  return role === "primary" || confirmed === undefined
    ? { name }
    : { name, confirmedLsn: confirmed };
}
