// Holds the lease: every write of it goes through here, one at a time, and nothing that the controller does can keep
// a renewal waiting. A renewal that succeeded moves the fencer's deadline; the holder's own deadline is the one that
// the fencer has confirmed, so that a fencer that does not answer ends the lease too.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { HaAction } from "../../../src/ha/action.ts";
import {
  acquired,
  adopted,
  type Beginning,
  created,
  deadlineMs,
  type Ending,
  type LeaseChange,
  type LeaseRow,
  type LeaseWrite,
  released,
  renewed,
  type SentRenewal,
  versionOf,
  type Writer,
} from "../../../src/ha/lease.ts";
import type { HaSettings } from "../../../src/ha/settings.ts";
import type { OwnLease } from "../../../src/ha/state.ts";
import type { LeaseStore } from "../../../src/store/ha-lease.ts";
import type { Wake } from "../wake.ts";
import type { Released } from "./lease-watch.ts";

export interface RenewerDeps {
  readonly clock: Clock;
  readonly boot: BootClock;
  readonly log: Logger;
  readonly store: LeaseStore;
  readonly self: string;
  readonly incarnation: string;
  readonly nonce: () => string;
  readonly settings: () => HaSettings;
  /** Flush position of the primary, for the row. */
  readonly optime: () => string | undefined;
  /** Tells the fencer; resolves when it has confirmed, throws when it did not. */
  readonly arm: (epoch: number, deadlineMs: number) => Promise<void>;
  /** Something about the own lease changed. */
  readonly onChange: () => void;
  /** A row that a write showed, and when it was asked for. */
  readonly onRow: (row: LeaseRow | undefined, askedAtMs: number) => void;
  /** Ends the pause between two renewals. */
  readonly alarm: Wake;
}

/** What came of a write that was asked for. */
export type WriteResult = "done" | "lost" | "unknown";

/** A write whose fate is not known yet, and when it was sent first. */
interface Doubtful {
  readonly write: LeaseWrite;
  readonly sentAtMs: number;
  /** What it changes besides renewing. */
  readonly change: LeaseChange | undefined;
}

export class Renewer {
  readonly #deps: RenewerDeps;
  #own: OwnLease | null = null;
  /** The last renewal that succeeded, and later ones whose fate is not known. */
  #sent: readonly SentRenewal[] = [];
  #doubtful: Doubtful | undefined;
  #change: LeaseChange | undefined;
  /** The write that is under way; others wait for it. */
  #turn: Promise<unknown> = Promise.resolve();
  /** The fencer took the last deadline. */
  #confirmed = false;
  /** Ends the patience of the write that is under way. */
  #hurry = new AbortController();
  /** No renewal is sent any more: the lease is being given back. */
  #leaving = false;

  constructor(deps: RenewerDeps) {
    this.#deps = deps;
  }

  /** null = this keeper holds no lease, or has sent its release: that may have arrived, whatever the answer. */
  get own(): OwnLease | null {
    if (!this.#own || this.#doubtful?.write.kind === "release") return null;
    const sent = this.#doubtful?.change;
    const changing = sent || this.#change ? { ...sent, ...this.#change } : null;
    return { ...this.#own, changing };
  }

  /** A taking of the lease was sent and may still succeed. */
  get taking(): boolean {
    return !this.#own && this.#doubtful !== undefined;
  }

  /** Renews until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { alarm, clock, log } = this.#deps;
    while (!signal.aborted) {
      const before = clock.monotonicMs();
      try {
        if (this.#own && !this.#confirmed && this.#isOver()) this.forget("the fencer is silent");
        if (this.#own && !this.#leaving) await this.#inTurn(() => this.#renew(signal));
        else if (this.#doubtful) await this.#inTurn(() => this.#resolve(signal));
      } catch (error) {
        if (signal.aborted) return;
        log.error("a renewal failed", { error: messageOf(error) });
      }
      const pauseMs = this.#doubtful ? 50 : this.#deps.settings().loop_ms;
      const spentMs = clock.monotonicMs() - before;
      const urgent = this.#change !== undefined && this.#own !== null && !this.#leaving;
      if (!urgent || this.#doubtful) await alarm.wait(Math.max(20, pauseMs - spentMs), signal);
    }
  }

  /** The deadline that the fencer knows has passed: PostgreSQL is gone, or about to be. */
  #isOver(): boolean {
    return this.#own !== null && this.#own.deadlineMs <= this.#deps.boot.bootMs();
  }

  create(beginning: Beginning, signal: AbortSignal): Promise<WriteResult> {
    return this.#take(() => created(this.#writer(), beginning), signal);
  }

  /** `allowed` is asked at the very moment of sending: a promise may have been given since it was decided. */
  acquire(
    { row, taking, heldAs }: Extract<HaAction, { readonly kind: "acquire" }>,
    allowed: () => boolean,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    return this.#take(() => acquired(row, this.#writer(), taking, heldAs), signal, allowed);
  }

  adopt(row: LeaseRow, signal: AbortSignal): Promise<WriteResult> {
    return this.#take(() => adopted(row, this.#writer()), signal);
  }

  /** Written with a renewal, at once; changes that are asked for meanwhile go together. */
  change(change: LeaseChange): void {
    if (!this.#own) return;
    this.#change = { ...this.#change, ...change };
    this.#hurry.abort();
    this.#deps.alarm.wake();
  }

  /**
   * Gives the lease back. PostgreSQL has to be gone. `announce` is called when nothing is held any more, and answers the
   * row of a successor that was faster than the release.
   */
  async release(
    ending: Ending,
    announce: (released: Released) => Promise<LeaseRow | undefined>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    this.#leaving = true;
    this.#hurry.abort();
    try {
      return await this.#inTurn(async () => {
        if (this.#doubtful && (await this.#resolve(signal)) === "unknown") return "unknown";
        const own = this.#own;
        if (!own) return "lost";
        const { row } = own;
        const write = released(row, this.#writer(), ending);
        const sent = this.#now(write);
        // From here on it counts as sent.
        this.#doubtful = sent;
        const taken = await announce({ row: write.row, heldAs: versionOf(row) });
        return taken ? this.#passOn(taken) : this.#send(sent, signal);
      });
    } finally {
      this.#leaving = false;
    }
  }

  /** Does something while no lease is held and none is being taken; not at all otherwise. */
  async whenFree(work: () => Promise<void>): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#own && !this.#doubtful) await work();
    });
  }

  /** All members agreed to a question sent at this time: the holder may go on. */
  async extend(sentAtMs: number): Promise<void> {
    const own = this.#own;
    if (!own) return;
    const sent = { sentAtMs, ttlMs: own.row.ttl_ms };
    const until = deadlineMs([sent], this.#deps.settings());
    if (until <= own.deadlineMs) return;
    if (!(await this.#confirm(own.row.epoch, until))) return;
    if (this.#own?.row.epoch !== own.row.epoch) return;
    this.#own = { ...this.#own, deadlineMs: until, failsafe: true };
    this.#deps.onChange();
  }

  /** PostgreSQL runs no longer and the lease cannot be given back: it is left to expire. */
  forget(why: string): void {
    if (!this.#own) return;
    this.#deps.log.warn("the lease is let go", { why, epoch: this.#own.row.epoch });
    this.#own = null;
    this.#change = undefined;
    this.#doubtful = undefined;
    this.#deps.onChange();
  }

  async #take(
    make: () => LeaseWrite,
    signal: AbortSignal,
    allowed = () => true,
  ): Promise<WriteResult> {
    return this.#inTurn(async () => {
      if (this.#doubtful) {
        const resolved = await this.#resolve(signal);
        if (resolved !== "lost") return resolved;
      }
      if (this.#own) return "done";
      if (!allowed()) return "lost";
      return this.#send(this.#now(make()), signal);
    });
  }

  async #renew(signal: AbortSignal): Promise<WriteResult> {
    if (this.#doubtful) {
      const resolved = await this.#resolve(signal);
      if (resolved !== "done") return resolved;
    }
    const own = this.#own;
    if (!own) return "lost";
    const change = this.#change;
    const optime = this.#deps.optime();
    const write = renewed(own.row, this.#writer(), {
      ...(optime === undefined ? {} : { optime }),
      ...(change ? { change } : {}),
    });
    if (write.row.ttl_ms < own.row.ttl_ms) await this.#promiseLess(own, write.row.ttl_ms);
    this.#change = undefined;
    return this.#send(this.#now(write, change), signal);
  }

  /** Others go by a shorter promise as soon as it is there, also when the answer is lost: the fencer has to know before. */
  async #promiseLess(own: OwnLease, ttlMs: number): Promise<void> {
    const sent = [...this.#sent, { sentAtMs: this.#deps.boot.bootMs(), ttlMs }];
    const until = Math.min(own.deadlineMs, deadlineMs(sent, this.#deps.settings()));
    await this.#deps.arm(own.row.epoch, until);
    if (this.#own) this.#own = { ...this.#own, deadlineMs: until };
  }

  /** Sends a doubtful write again: it is applied once, however often it arrives. */
  async #resolve(signal: AbortSignal): Promise<WriteResult> {
    const doubtful = this.#doubtful;
    if (!doubtful) return "lost";
    return this.#send(doubtful, signal);
  }

  #now(write: LeaseWrite, change?: LeaseChange): Doubtful {
    return { write, sentAtMs: this.#deps.boot.bootMs(), change };
  }

  async #send(sent: Doubtful, signal: AbortSignal): Promise<WriteResult> {
    const { store, clock, log, onRow } = this.#deps;
    const { retry_ms } = this.#deps.settings();
    const { write, sentAtMs, change } = sent;
    const news = write.kind !== "renew" || change !== undefined;
    this.#doubtful = sent;
    if (this.#hurry.signal.aborted) this.#hurry = new AbortController();
    const options = {
      hurry: this.#hurry.signal,
      signal,
      deadlineMs: retry_ms,
      timeoutMs: Math.max(250, retry_ms / 3),
      atMs: clock.nowMs(),
      news,
    };
    const outcome = await store.write(write, options);
    if (outcome.kind === "unknown") {
      log.warn("the fate of a lease write is not known", { kind: write.kind, why: outcome.why });
      this.#deps.onChange();
      return "unknown";
    }
    this.#doubtful = undefined;
    if (outcome.kind === "lost") {
      onRow(outcome.found, sentAtMs);
      if (write.kind === "release" && (outcome.found?.epoch ?? 0) > write.row.epoch) {
        return this.#passOn(outcome.found);
      }
      this.#lose(write, outcome.found);
      return "lost";
    }
    onRow(write.row, sentAtMs);
    await this.#keep(write, sentAtMs);
    return "done";
  }

  async #keep(write: LeaseWrite, sentAtMs: number): Promise<void> {
    const { boot, log, onChange } = this.#deps;
    const { row } = write;
    if (row.holder === null) {
      this.#own = null;
      this.#change = undefined;
      onChange();
      return;
    }
    const sent = { sentAtMs, ttlMs: row.ttl_ms };
    this.#sent = [sent];
    const until = deadlineMs(this.#sent, this.#deps.settings());
    const fresh = this.#own?.row.epoch !== row.epoch;
    // An answer that came too late to be of use does not arm: the next renewal has to come first.
    const confirmed = until > boot.bootMs() && (await this.#confirm(row.epoch, until));
    const before = this.#own;
    // It was let go meanwhile.
    if (!before && write.kind === "renew") return;
    this.#own = {
      row,
      deadlineMs: confirmed
        ? Math.max(until, before?.deadlineMs ?? until)
        : (before?.deadlineMs ?? 0),
      renewedAtMs: sentAtMs,
      changing: null,
      failsafe: false,
    };
    if (fresh) log.info("holds the lease", { epoch: row.epoch, timeline: row.timeline });
    if (fresh || write.kind !== "renew" || !confirmed) onChange();
    if (!confirmed) this.#deps.alarm.wake();
    else if (write.row.phase !== before?.row.phase) onChange();
  }

  /** The successor was faster than the release of which it was told. */
  #passOn(found: LeaseRow | undefined): WriteResult {
    this.#deps.log.info("the successor has the lease", { holder: found?.holder ?? null });
    this.#own = null;
    this.#doubtful = undefined;
    this.#change = undefined;
    this.#deps.onChange();
    return "done";
  }

  async #confirm(epoch: number, until: number): Promise<boolean> {
    this.#confirmed = false;
    try {
      await this.#deps.arm(epoch, until);
      this.#confirmed = true;
      return true;
    } catch (error) {
      this.#deps.log.error("the fencer did not take the deadline", { error: messageOf(error) });
      return false;
    }
  }

  #lose(write: LeaseWrite, found: LeaseRow | undefined): void {
    const { log, onChange } = this.#deps;
    this.#change = undefined;
    if (this.#own) {
      const holder = found?.holder ?? null;
      log.error("the lease is lost", { epoch: this.#own.row.epoch, holder, found: found?.epoch });
    } else {
      log.info("another was faster", { kind: write.kind, holder: found?.holder ?? null });
    }
    this.#own = null;
    onChange();
  }

  #writer(): Writer {
    const { self, incarnation, nonce, settings } = this.#deps;
    return { self, incarnation, nonce: nonce(), settings: settings() };
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const mine = before.then(work, work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}
