// Builds the view of a running standby from one look to the next: what moved, and since when something has not.
import type { StandbyView } from "../../../src/ha/observed.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import type { GroupStatus } from "../../../src/postgres/sql/group.ts";
import type { Positions } from "../standby/mechanics.ts";
import { upstreamIn } from "./replication-role.ts";

export class StandbyTracker {
  #sinceMs: number | undefined;
  #replayed = -1n;
  #progressAtMs = 0;
  #silentSinceMs: number | null = null;
  #conninfo = "";
  promotingSinceMs: number | null = null;
  /** Why no member has what it needs next; found out by the one who tried to follow. */
  stranded: string | null = null;

  forget(): void {
    this.#sinceMs = undefined;
    this.#replayed = -1n;
    this.#silentSinceMs = null;
    this.promotingSinceMs = null;
    this.stranded = null;
  }

  view(
    status: GroupStatus,
    positions: Positions,
    members: readonly HaMember[],
    nowMs: number,
  ): StandbyView {
    this.#sinceMs ??= nowMs;
    const replayed = positions.replayLsn ?? 0n;
    if (replayed !== this.#replayed) {
      this.#replayed = replayed;
      this.#progressAtMs = nowMs;
    }
    const upstream = upstreamIn(status.conninfo, members);
    const streaming = status.receiverStatus === "streaming";
    if (streaming || upstream === null) this.#silentSinceMs = null;
    else if (status.conninfo !== this.#conninfo) this.#silentSinceMs = nowMs;
    else this.#silentSinceMs ??= nowMs;
    this.#conninfo = status.conninfo;
    if (streaming) this.stranded = null;
    return {
      kind: "standby",
      sinceMs: this.#sinceMs,
      timeline: positions.end.timeline,
      received: positions.end.lsn,
      replayed,
      progressAtMs: this.#progressAtMs,
      upstream,
      streaming,
      silentSinceMs: this.#silentSinceMs,
      stranded: this.stranded,
      replayPaused: status.replayPaused,
      promotingSinceMs: this.promotingSinceMs,
    };
  }
}
