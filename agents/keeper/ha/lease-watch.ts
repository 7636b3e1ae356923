// Reads the node's rows again and again, and remembers since when the lease has been as it is. Time counts from the
// arrival of the answer that showed it first. An answer that is older than what was seen is dropped; one that was
// asked for after that and still is older means that the store went back.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { announcedMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import {
  type LeaseRow,
  type LeaseVersion,
  type PastEpoch,
  sameVersion,
} from "../../../src/ha/lease.ts";
import type { HaSettings } from "../../../src/ha/settings.ts";
import type { HaIntent, LeaseSight, MemberSight, MemberStatus } from "../../../src/ha/state.ts";
import type { LeaseStore } from "../../../src/store/ha-lease.ts";
import type { Wake } from "../wake.ts";

export interface LeaseWatchDeps {
  readonly clock: Clock;
  readonly boot: BootClock;
  readonly log: Logger;
  readonly store: LeaseStore;
  readonly self: string;
  readonly settings: () => HaSettings;
  /** How soon to look again. */
  readonly pauseMs: () => number;
  readonly alarm: Wake;
  /** There is something new. */
  readonly onChange: () => void;
  /** The newest version of the lease grew; kept across restarts of the keeper. */
  readonly onNewest: (seen: Newest) => void;
}

/** What a holder says when it gives its lease back: the row that it is writing, and the version that it held. */
export interface Released {
  readonly row: LeaseRow;
  readonly heldAs: LeaseVersion;
}

/** The newest version that was ever seen. */
export interface Newest {
  readonly epoch: number;
  readonly seq: number;
}

export class LeaseWatch {
  readonly #deps: LeaseWatchDeps;
  readonly #others = new Map<string, MemberSight>();
  /** Keepers that were replaced: what they said may still lie in the store. */
  readonly #replaced = new Map<string, Set<string>>();
  #sight: LeaseSight | null = null;
  #history: readonly PastEpoch[] = [];
  #historyOf = "";
  #intents: readonly HaIntent[] = [];
  #newest: Newest;
  /** Boot clock: when the newest version was seen first. */
  #newestAtMs = Number.NEGATIVE_INFINITY;
  /** Boot clock: when the store answered last. */
  #answeredAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: LeaseWatchDeps, newest: Newest | undefined) {
    this.#deps = deps;
    this.#newest = newest ?? { epoch: 0, seq: 0 };
  }

  get sight(): LeaseSight | null {
    return this.#sight;
  }

  /** The row as the store has shown it; what a holder only announced is not passed on. */
  get seen(): LeaseRow | undefined {
    return this.#sight?.heldAs ? undefined : (this.#sight?.row ?? undefined);
  }

  get history(): readonly PastEpoch[] {
    return this.#history;
  }

  get intents(): readonly HaIntent[] {
    return this.#intents;
  }

  get others(): ReadonlyMap<string, MemberSight> {
    return this.#others;
  }

  get answeredAtMs(): number {
    return this.#answeredAtMs;
  }

  /** Looks until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { alarm, log } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.look(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        if (failures === 1 || failures % 20 === 0) {
          log.warn("the lease cannot be read", { error: messageOf(error), failures });
        }
      }
      await alarm.wait(this.#deps.pauseMs(), signal);
    }
  }

  /** One look; throws what the store throws. */
  async look(signal: AbortSignal): Promise<void> {
    const { boot, store, settings, onChange } = this.#deps;
    const timeoutMs = Math.max(250, settings().retry_ms / 3);
    const askedAtMs = boot.bootMs();
    const rows = await store.load({ signal, timeoutMs });
    const atMs = boot.bootMs();
    this.#answeredAtMs = atMs;
    const row = rows.lease ?? null;
    const historyOf = row ? `${row.epoch} ${row.phase}` : "";
    if (row && historyOf !== this.#historyOf) {
      this.#history = await store.loadEpochs({ signal, timeoutMs });
      this.#historyOf = isComplete(this.#history) ? historyOf : "";
    }
    const changed = [
      this.#accept(row, askedAtMs, atMs),
      this.#hear(rows.members, atMs),
      this.#takeIntents(rows.intents),
    ];
    if (changed.includes(true)) onChange();
  }

  /** A row that a write of this keeper showed. */
  show(row: LeaseRow | undefined, askedAtMs: number): void {
    if (this.#accept(row ?? null, askedAtMs, this.#deps.boot.bootMs())) this.#deps.onChange();
  }

  /** A row that another member wrote or read; only one that is newer than all others says something. */
  hearLease(row: LeaseRow): void {
    const { epoch, seq } = this.#newest;
    if (row.epoch < epoch || (row.epoch === epoch && row.seq <= seq)) return;
    const nowMs = this.#deps.boot.bootMs();
    if (this.#accept(row, nowMs, nowMs)) this.#deps.onChange();
  }

  /** Its holder gives the lease back to this member. It is taken on its word: the store may have it a moment later. */
  hearRelease({ row, heldAs }: Released): void {
    const { epoch, seq } = this.#newest;
    const old = heldAs.epoch < epoch || (heldAs.epoch === epoch && heldAs.seq < seq);
    if (old || row.ending?.successor !== this.#deps.self || this.#sight?.wentBack) return;
    const nowMs = this.#deps.boot.bootMs();
    // The release may never be there; what was held was.
    this.#note(heldAs, nowMs);
    this.#sight = { row, readAtMs: nowMs, seenAtMs: nowMs, wentBack: false, heldAs };
    this.#deps.onChange();
  }

  /** What a member said when it was asked directly. */
  tell(status: MemberStatus): void {
    if (this.#hear([status], this.#deps.boot.bootMs())) this.#deps.onChange();
  }

  #accept(row: LeaseRow | null, askedAtMs: number, atMs: number): boolean {
    const before = this.#sight;
    if (isOlder(row, this.#newest)) {
      // Asked before the newer one was there: late, not wrong.
      if (askedAtMs <= this.#newestAtMs) return false;
      if (!before?.wentBack) this.#deps.log.error("the store shows an older lease", { row });
      const seenAtMs = this.#sameAsBefore(row) ? (before?.seenAtMs ?? atMs) : atMs;
      this.#sight = { row, readAtMs: atMs, seenAtMs, wentBack: true };
      return before?.wentBack !== true;
    }
    if (row && this.#isAnnounced(row, atMs)) return false;
    if (row) this.#note(row, atMs);
    const same = this.#sameAsBefore(row);
    this.#sight = {
      row,
      readAtMs: atMs,
      seenAtMs: same && before ? before.seenAtMs : atMs,
      wentBack: false,
    };
    return !before || before.wentBack || isNews(before.row, row);
  }

  /** The newest version that the store is known to have had. */
  #note({ epoch, seq }: Newest, atMs: number): void {
    if (epoch === this.#newest.epoch && seq === this.#newest.seq) return;
    this.#newest = { epoch, seq };
    this.#newestAtMs = atMs;
    this.#deps.onNewest(this.#newest);
  }

  /** The release of which its holder spoke has not arrived yet. */
  #isAnnounced(row: LeaseRow, atMs: number): boolean {
    const { heldAs, seenAtMs } = this.#sight ?? {};
    if (!heldAs || seenAtMs === undefined || atMs - seenAtMs > announcedMs) return false;
    return sameVersion(row, heldAs);
  }

  #sameAsBefore(row: LeaseRow | null): boolean {
    const before = this.#sight;
    if (!before) return false;
    if (!before.row || !row) return before.row === row;
    return sameVersion(before.row, row);
  }

  #hear(statuses: readonly MemberStatus[], atMs: number): boolean {
    let news = false;
    for (const status of statuses) {
      if (status.instance_id === this.#deps.self) continue;
      const before = this.#others.get(status.instance_id);
      const known = before?.status;
      if (!this.#isNewer(status, known)) continue;
      this.#others.set(status.instance_id, { status, heardAtMs: atMs });
      if (known?.state !== status.state || known.vote?.nonce !== status.vote?.nonce) news = true;
    }
    return news;
  }

  #isNewer(status: MemberStatus, known: MemberStatus | undefined): boolean {
    if (!known) return true;
    if (known.incarnation === status.incarnation) return status.beat > known.beat;
    const replaced = this.#replaced.get(status.instance_id) ?? new Set();
    if (replaced.has(status.incarnation)) return false;
    this.#replaced.set(status.instance_id, replaced.add(known.incarnation));
    return true;
  }

  #takeIntents(intents: readonly HaIntent[]): boolean {
    const key = (list: readonly HaIntent[]) => list.map((i) => `${i.id} ${i.state}`).join();
    const news = key(intents) !== key(this.#intents);
    this.#intents = intents;
    return news;
  }
}

/** Whether the row is older than the newest that was seen; a row that vanished is. */
function isOlder(row: LeaseRow | null, newest: Newest): boolean {
  if (!row) return newest.epoch > 0;
  return row.epoch < newest.epoch || (row.epoch === newest.epoch && row.seq < newest.seq);
}

/** Whether the newest epoch has recorded where its timeline began. */
function isComplete(history: readonly PastEpoch[]): boolean {
  const [before, newest] = [history.at(-2), history.at(-1)];
  return !before || newest?.timeline === before.timeline || newest?.from_timeline !== null;
}

/** Whether anything but the passing of time changed. */
function isNews(before: LeaseRow | null, now: LeaseRow | null): boolean {
  if (!before || !now) return before !== now;
  return (
    before.epoch !== now.epoch ||
    before.holder !== now.holder ||
    before.phase !== now.phase ||
    before.checkpoint_done !== now.checkpoint_done ||
    before.sync.version !== now.sync.version
  );
}
