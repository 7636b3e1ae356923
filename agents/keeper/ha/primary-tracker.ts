// Builds the view of a running primary from one look to the next: who is attached, who was and is not any more, and
// from which position on commits certainly obey the setting of synchronous replication.
import type { Fork } from "../../../src/ha/lease.ts";
import type { AttachedStandby, PrimaryView, SyncView } from "../../../src/ha/observed.ts";
import { isAsynchronous, type SyncSetting, sameSetting } from "../../../src/ha/quorum.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import { formatLsn } from "../../../src/postgres/lsn.ts";
import { memberApplicationName } from "../../../src/postgres/replication.ts";
import type { AttachedReceiver, GroupStatus } from "../../../src/postgres/sql/group.ts";
import type { TimelineHistory } from "../../../src/postgres/timeline-history.ts";
import type { Positions } from "../standby/mechanics.ts";
import { parseSync } from "./replication-role.ts";

export interface PrimaryLook {
  readonly status: GroupStatus;
  readonly positions: Positions;
  readonly members: readonly HaMember[];
  readonly self: string;
  readonly systemIdentifier: string;
  readonly gate: "open" | "closed";
  readonly nowMs: number;
}

/** A receiver's last sign of life, by our clock. */
interface Reply {
  readonly text: string;
  readonly atMs: number;
}

interface Proof {
  readonly setting: SyncSetting;
  /** Replies that each receiver had given when the setting was seen first, and since. */
  readonly moved: Map<number, { last: string; count: number }>;
  readonly provenLsn: bigint | null;
}

export class PrimaryTracker {
  #sinceMs: number | undefined;
  #timeline = 0;
  #gateLsn = 0n;
  #replies = new Map<number, Reply>();
  #missing = new Map<string, number>();
  #attached = new Set<string>();
  #proof: Proof | undefined;
  /** Since the setting was asynchronous, every process is known to have read the present one; see SyncView. */
  #read = false;

  forget(): void {
    this.#sinceMs = undefined;
    this.#replies.clear();
    this.#missing.clear();
    this.#attached.clear();
    this.#proof = undefined;
    this.#read = false;
  }

  /** Whether somebody has to make sure that the setting is in effect everywhere. */
  get unproven(): SyncSetting | undefined {
    return this.#read ? undefined : this.#proof?.setting;
  }

  /**
   * Every process read this setting: a checkpoint that was asked for after it was loaded has come to its end, and the
   * checkpointer is the one that tells backends to wait for standbys.
   */
  proved(setting: SyncSetting): void {
    const now = this.#proof?.setting;
    if (now && sameSetting(now, setting)) this.#read = true;
  }

  /** It starts with a synchronous setting: no commit comes before it. */
  startedSynchronous(): void {
    this.#read = true;
  }

  view(look: PrimaryLook): PrimaryView {
    const { status, positions, nowMs } = look;
    const flushed = status.flushed ?? positions.end.lsn;
    const { timeline } = positions.end;
    if (this.#sinceMs === undefined || timeline !== this.#timeline) {
      this.#sinceMs = nowMs;
      this.#timeline = timeline;
      this.#gateLsn = flushed;
    }
    const standbys = this.#standbys(look);
    return {
      kind: "primary",
      sinceMs: this.#sinceMs,
      timeline,
      flushed,
      forks: forksOf(positions.history),
      gateLsn: this.#gateLsn,
      gate: look.gate,
      checkpointDone: status.checkpointTimeline === timeline,
      sync: this.#sync(look, flushed),
      standbys,
      missing: this.#missed(standbys, look),
    };
  }

  #standbys({ status, members, self, systemIdentifier, nowMs }: PrimaryLook) {
    const replies = new Map<number, Reply>();
    for (const { pid, reply } of status.receivers) {
      const before = this.#replies.get(pid);
      replies.set(pid, before?.text === reply ? before : { text: reply, atMs: nowMs });
    }
    this.#replies = replies;
    return members
      .filter(({ instance_id }) => instance_id !== self)
      .flatMap(({ instance_id }): readonly AttachedStandby[] => {
        const name = memberApplicationName(instance_id, systemIdentifier);
        const receiver = status.receivers.find((candidate) => candidate.name === name);
        if (!receiver) return [];
        const replyAgeMs = nowMs - (replies.get(receiver.pid)?.atMs ?? nowMs);
        const { streaming, flushed } = receiver;
        return [{ instance: instance_id, streaming, flushed, replyAgeMs }];
      });
  }

  #missed(standbys: readonly AttachedStandby[], { nowMs }: PrimaryLook) {
    const streaming = new Set(standbys.filter((s) => s.streaming).map(({ instance }) => instance));
    for (const instance of streaming) {
      this.#attached.add(instance);
      this.#missing.delete(instance);
    }
    const expected = new Set([...this.#attached, ...(this.#proof?.setting.standbys ?? [])]);
    for (const instance of expected) {
      if (!streaming.has(instance) && !this.#missing.has(instance)) {
        this.#missing.set(instance, nowMs);
      }
    }
    return [...this.#missing].map(([instance, sinceMs]) => ({ instance, sinceMs }));
  }

  #sync({ status, members, systemIdentifier }: PrimaryLook, flushed: bigint): SyncView {
    const ids = members.map(({ instance_id }) => instance_id);
    const setting = parseSync(status.syncNames, ids, systemIdentifier) ?? {
      standbys: [],
      count: 0,
      blocked: false,
    };
    if (isAsynchronous(setting)) {
      this.#read = false;
      this.#proof = undefined;
      return { setting, provenLsn: flushed };
    }
    const before = this.#proof;
    const same = before !== undefined && sameSetting(before.setting, setting);
    const moved = same ? before.moved : new Map<number, { last: string; count: number }>();
    for (const receiver of status.receivers) countReply(moved, receiver);
    const taken = status.receivers.every(({ pid }) => (moved.get(pid)?.count ?? 0) >= 2);
    const proven = same && taken && this.#read;
    const provenLsn = (same ? before.provenLsn : null) ?? (proven ? flushed : null);
    this.#proof = { setting, moved, provenLsn };
    return { setting, provenLsn };
  }
}

function countReply(
  moved: Map<number, { last: string; count: number }>,
  { pid, reply }: AttachedReceiver,
): void {
  const seen = moved.get(pid);
  if (!seen) moved.set(pid, { last: reply, count: 0 });
  else if (seen.last !== reply) moved.set(pid, { last: reply, count: seen.count + 1 });
}

/** Where every timeline of a history left the one before it. */
export function forksOf({ timeline, ancestors }: TimelineHistory): readonly Fork[] {
  return ancestors.map(({ timeline: from, switchLsn }, index) => ({
    timeline: ancestors[index + 1]?.timeline ?? timeline,
    from_timeline: from,
    switch_lsn: formatLsn(switchLsn),
  }));
}
