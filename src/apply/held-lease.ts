// A term as the one worker. Work is announced before it begins and renewed while it goes on; a worker that rests
// writes nothing. The holder counts its ttl from before each renewal, and stops before others may begin.
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import {
  workerLeadershipPollMs,
  workerLeaseMarginMs,
  workerLeaseRenewMs,
  workerLeaseTtlMs,
} from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Guard, Store } from "../store/store.ts";
import {
  epochGuard,
  releaseWorkerLease,
  renewWorkerLease,
  type WorkerLeaseRow,
} from "../store/worker-lease.ts";

/** A term as the one worker. */
export interface Lease {
  /** Fencing number; grows with every change of holder. */
  readonly epoch: number;
  /** Aborts when the term ended, for whatever reason. */
  readonly lost: AbortSignal;
  /** Must stand in every commit made under this lease. */
  readonly guard: Guard;
  /** Does what no other worker may do meanwhile. Rejects when the lease is gone or cannot be renewed. */
  work<T>(what: () => Promise<T>): Promise<T>;
  /** Ends the term and lets another worker take over at once. */
  release(signal?: AbortSignal): Promise<void>;
}

export interface HeldLeaseDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly leading: (signal: AbortSignal) => Promise<boolean>;
}

/** An election that ends where it began is no reason to stop everything. */
const LEADERSHIP_DOUBTS_MAX = 3;

export class HeldLease implements Lease {
  readonly epoch: number;
  readonly lost: AbortSignal;
  readonly guard: Guard;
  readonly #deps: HeldLeaseDeps;
  readonly #term = new AbortController();
  #working = 0;
  /** Others wait for us until then, on the monotonic clock; undefined while we rest. */
  #validUntilMs: number | undefined;
  /** Changes of the row, one after the other. */
  #changes: Promise<void> = Promise.resolve();

  /** `leads`: the term ends when the store is led elsewhere. */
  constructor(
    deps: HeldLeaseDeps,
    taken: { readonly row: WorkerLeaseRow; readonly leads: boolean },
    signal: AbortSignal,
  ) {
    this.#deps = deps;
    this.epoch = taken.row.epoch;
    this.guard = epochGuard(deps.store.db, this.epoch);
    this.lost = AbortSignal.any([signal, this.#term.signal]);
    deps.log.info("worker lease taken", { epoch: this.epoch, leads: taken.leads });
    void this.#keepRenewed().then((why) => this.#end(why));
    if (taken.leads) void this.#untilLedElsewhere().then((why) => this.#end(why));
  }

  async work<T>(what: () => Promise<T>): Promise<T> {
    this.#working += 1;
    try {
      await this.#inTurn(() => this.#announce());
      return await what();
    } finally {
      this.#working -= 1;
    }
  }

  async release(signal?: AbortSignal): Promise<void> {
    this.#term.abort(new DOMException("worker lease released", "AbortError"));
    const { store, ids } = this.#deps;
    await store.commit({ opId: ids.uuid(), ...releaseWorkerLease(store.db, this.epoch) }, signal);
  }

  #end(why: string): void {
    if (!this.lost.aborted) this.#deps.log.warn("worker lease lost", { epoch: this.epoch, why });
    this.#term.abort(new DOMException(`worker lease lost: ${why}`, "AbortError"));
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(change);
    this.#changes = done.catch(() => undefined);
    return done;
  }

  async #announce(): Promise<void> {
    this.lost.throwIfAborted();
    if (this.#validUntilMs === undefined) await this.#renew(this.lost);
  }

  /** Throws when it could not be written; ends the term when another worker took over. */
  async #renew(signal: AbortSignal): Promise<void> {
    const { store, clock, ids } = this.#deps;
    const triedMs = clock.monotonicMs();
    const change = renewWorkerLease(store.db, this.epoch, workerLeaseTtlMs);
    const outcome = await store.commit({ opId: ids.uuid(), ...change }, signal);
    if (!outcome.ok) this.#end("another worker took over");
    this.lost.throwIfAborted();
    this.#validUntilMs = triedMs + workerLeaseTtlMs - workerLeaseMarginMs;
  }

  /** Nobody waits for us any more. What cannot be written costs others the ttl, and nothing else. */
  async #rest(): Promise<void> {
    if (this.#working > 0) return;
    this.#validUntilMs = undefined;
    const { store, ids } = this.#deps;
    const change = renewWorkerLease(store.db, this.epoch, 0);
    const outcome = await store.commit({ opId: ids.uuid(), ...change }, this.lost);
    if (!outcome.ok) this.#end("another worker took over");
  }

  /** Resolves with the reason when the term is over. A store that does not answer ends it before the ttl does. */
  async #keepRenewed(): Promise<string> {
    const { clock, log } = this.#deps;
    for (;;) {
      try {
        await clock.sleep(workerLeaseRenewMs, this.lost);
        const untilMs = this.#validUntilMs;
        if (untilMs === undefined) continue;
        if (this.#working === 0) await this.#inTurn(() => this.#rest());
        else {
          const leftMs = Math.max(untilMs - clock.monotonicMs(), 0);
          await this.#renew(clock.deadline(leftMs, this.lost));
        }
      } catch (error) {
        if (this.lost.aborted) return "the worker ends";
        const untilMs = this.#validUntilMs;
        if (untilMs !== undefined && clock.monotonicMs() >= untilMs) {
          return `not renewed: ${messageOf(error)}`;
        }
        log.warn("could not renew the worker lease", { error: messageOf(error) });
      }
    }
  }

  /** Resolves with the reason when the store's leader is another host for good, or cannot be told for long. */
  async #untilLedElsewhere(): Promise<string> {
    const { clock, log, leading } = this.#deps;
    let doubts = 0;
    while (doubts < LEADERSHIP_DOUBTS_MAX) {
      try {
        await clock.sleep(workerLeadershipPollMs, this.lost);
        doubts = (await leading(this.lost)) ? 0 : doubts + 1;
      } catch (error) {
        if (this.lost.aborted) return "the worker ends";
        doubts += 1;
        log.debug("could not ask who leads the store", { error: messageOf(error) });
      }
    }
    return "the store's leader is elsewhere";
  }
}
