// Who may run tasks: one row, changed only by compare-and-set, judged by the monotonic clock of the one who looks.
// A holder counts its own ttl from before each renewal; a contender counts it from when it first saw the row unchanged.
import type { Clock } from "../base/clock.ts";
import { isAbort, messageOf } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import {
  workerLeadershipPollMs,
  workerLeasePollMs,
  workerLeaseRenewMs,
  workerLeaseTtlMs,
} from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Guard, Store } from "../store/store.ts";
import {
  epochGuard,
  insertWorkerLease,
  loadWorkerLease,
  releaseWorkerLease,
  renewWorkerLease,
  takeWorkerLease,
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
  /** Ends the term and lets another worker take over at once. */
  release(signal?: AbortSignal): Promise<void>;
}

export interface LeaseDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** Id of this host. */
  readonly hostId: string;
  /** Changes with every start of the server. The caller holds the lock of the data directory, so an older one is dead. */
  readonly incarnation: string;
  /** Whether this host's member of the store leads: only there the worker works. Rejects when it cannot be asked. */
  readonly leading: (signal: AbortSignal) => Promise<boolean>;
}

/** An election that ends where it began is no reason to stop everything. */
const LEADERSHIP_DOUBTS_MAX = 3;

/** Waits until this server holds the worker lease, then keeps it until it is lost, released or the signal aborts. */
export async function acquireLease(deps: LeaseDeps, signal: AbortSignal): Promise<Lease> {
  let seen: { row: WorkerLeaseRow; sinceMs: number } | undefined;
  for (;;) {
    signal.throwIfAborted();
    const startedMs = deps.clock.monotonicMs();
    try {
      const leads = await deps.leading(signal);
      const row = leads ? await loadWorkerLease(deps.store) : undefined;
      if (!leads || !sameTerm(seen?.row, row)) seen = row && { row, sinceMs: startedMs };
      if (leads && mayTake(deps, seen, startedMs)) {
        const taken = await take(deps, row, signal);
        if (taken) return holdLease(deps, taken, startedMs, signal);
      }
    } catch (error) {
      if (signal.aborted && isAbort(error)) throw error;
      deps.log.warn("could not look at the worker lease", { error: messageOf(error) });
    }
    await deps.clock.sleep(workerLeasePollMs, signal);
  }
}

function sameTerm(a: WorkerLeaseRow | undefined, b: WorkerLeaseRow | undefined): boolean {
  return a?.epoch === b?.epoch && a?.seq === b?.seq;
}

/** Free, left by a dead predecessor on this host, or unchanged for its whole ttl while we watched. */
function mayTake(
  deps: LeaseDeps,
  seen: { row: WorkerLeaseRow; sinceMs: number } | undefined,
  nowMs: number,
): boolean {
  if (!seen || seen.row.holder === "" || seen.row.holder === deps.hostId) return true;
  return nowMs - seen.sinceMs >= seen.row.ttlMs;
}

async function take(
  deps: LeaseDeps,
  row: WorkerLeaseRow | undefined,
  signal: AbortSignal,
): Promise<WorkerLeaseRow | undefined> {
  const next: WorkerLeaseRow = {
    epoch: (row?.epoch ?? 0) + 1,
    seq: (row?.seq ?? 0) + 1,
    holder: deps.hostId,
    incarnation: deps.incarnation,
    ttlMs: workerLeaseTtlMs,
  };
  const change = row
    ? takeWorkerLease(deps.store.db, row, next)
    : insertWorkerLease(deps.store.db, next);
  const outcome = await deps.store.commit({ opId: deps.ids.uuid(), ...change }, signal);
  return outcome.ok ? next : undefined;
}

function holdLease(
  deps: LeaseDeps,
  row: WorkerLeaseRow,
  startedMs: number,
  signal: AbortSignal,
): Lease {
  const term = new AbortController();
  const lost = AbortSignal.any([signal, term.signal]);
  const end = (why: string) => {
    if (!lost.aborted) deps.log.warn("worker lease lost", { epoch: row.epoch, why });
    term.abort(new DOMException(`worker lease lost: ${why}`, "AbortError"));
  };
  void renewUntilLost(deps, row, startedMs, lost).then(end);
  void leadUntilLost(deps, lost).then(end);
  deps.log.info("worker lease taken", { epoch: row.epoch });
  return {
    epoch: row.epoch,
    lost,
    guard: epochGuard(deps.store.db, row.epoch),
    async release(signal) {
      term.abort(new DOMException("worker lease released", "AbortError"));
      const change = releaseWorkerLease(deps.store.db, row.epoch);
      await deps.store.commit({ opId: deps.ids.uuid(), ...change }, signal);
    },
  };
}

/** Resolves with the reason when the term is over. A store that does not answer ends it before the ttl does. */
async function renewUntilLost(
  deps: LeaseDeps,
  row: WorkerLeaseRow,
  startedMs: number,
  signal: AbortSignal,
): Promise<string> {
  let validUntilMs = startedMs + row.ttlMs - workerLeaseRenewMs;
  for (;;) {
    try {
      await deps.clock.sleep(workerLeaseRenewMs, signal);
      const triedMs = deps.clock.monotonicMs();
      const left = deps.clock.deadline(Math.max(validUntilMs - triedMs, 0), signal);
      const change = renewWorkerLease(deps.store.db, row.epoch);
      const outcome = await deps.store.commit({ opId: deps.ids.uuid(), ...change }, left);
      if (!outcome.ok) return "another worker took over";
      validUntilMs = triedMs + row.ttlMs - workerLeaseRenewMs;
    } catch (error) {
      if (signal.aborted) return "the worker ends";
      if (deps.clock.monotonicMs() >= validUntilMs) return `not renewed: ${messageOf(error)}`;
      deps.log.warn("could not renew the worker lease", { error: messageOf(error) });
    }
  }
}

/** Resolves with the reason when the store's leader is another host for good, or cannot be told for long. */
async function leadUntilLost(deps: LeaseDeps, signal: AbortSignal): Promise<string> {
  let doubts = 0;
  while (doubts < LEADERSHIP_DOUBTS_MAX) {
    try {
      await deps.clock.sleep(workerLeadershipPollMs, signal);
      doubts = (await deps.leading(signal)) ? 0 : doubts + 1;
    } catch (error) {
      if (signal.aborted) return "the worker ends";
      doubts += 1;
      deps.log.debug("could not ask who leads the store", { error: messageOf(error) });
    }
  }
  return "the store's leader is elsewhere";
}
