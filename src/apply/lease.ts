// Who may run tasks: one row, changed only by compare-and-set, judged by the monotonic clock of the one who looks.
// While its holder works, others wait for its ttl; while it rests, the host that leads the store takes it at once.
// A contender counts the ttl from when it first saw the row unchanged. See held-lease.ts for the other side.
import type { Clock } from "../base/clock.ts";
import { isAbort, messageOf } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import { workerAbsentMs, workerLeasePollMs } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Store } from "../store/store.ts";
import { listActiveTasks } from "../store/tasks.ts";
import {
  insertWorkerLease,
  loadWorkerLease,
  takeWorkerLease,
  type WorkerLeaseRow,
} from "../store/worker-lease.ts";
import { HeldLease, type Lease } from "./held-lease.ts";

export type { Lease } from "./held-lease.ts";

export interface LeaseDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** Id of this host. */
  readonly hostId: string;
  /** Changes with every start of the server. The caller holds the lock of the data directory, so an older one is dead. */
  readonly incarnation: string;
  /** Whether this host's member of the store leads: there the worker works. Rejects when it cannot be asked. */
  readonly leading: (signal: AbortSignal) => Promise<boolean>;
}

/** The row as it was first seen, and since when tasks were waiting beside it. */
interface Seen {
  readonly row: WorkerLeaseRow;
  readonly sinceMs: number;
  readonly waitingSinceMs: number | undefined;
}

/** Waits until this server holds the worker lease, then keeps it until it is lost, released or the signal aborts. */
export async function acquireLease(deps: LeaseDeps, signal: AbortSignal): Promise<Lease> {
  let seen: Seen | undefined;
  let row: WorkerLeaseRow | undefined;
  let seenVersion: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const startedMs = deps.clock.monotonicMs();
    try {
      const leads = await deps.leading(signal);
      const version = await deps.store.changeVersion(signal, workerLeasePollMs / 2);
      // Where others lead and no task waits, the lease matters only to those who see the next task.
      if (leads || version !== seenVersion || seen?.waitingSinceMs !== undefined) {
        // There the own copy will do as well: who takes it compares with the leader's.
        row = await loadWorkerLease(leads ? deps.store.db : deps.store.local);
        seen = row && (await look(deps, seen, { row, leads, nowMs: startedMs }));
        seenVersion = version;
      }
      if (leads ? mayFollow(deps, seen, startedMs) : isNeglected(seen, startedMs)) {
        const taken = await take(deps, row, signal);
        if (taken) return new HeldLease(deps, { row: taken, leads }, signal);
      }
    } catch (error) {
      if (signal.aborted && isAbort(error)) throw error;
      deps.log.warn("could not look at the worker lease", { error: messageOf(error) });
    }
    await deps.clock.sleep(workerLeasePollMs, signal);
  }
}

async function look(
  deps: LeaseDeps,
  before: Seen | undefined,
  now: { readonly row: WorkerLeaseRow; readonly leads: boolean; readonly nowMs: number },
): Promise<Seen> {
  const { row, leads, nowMs } = now;
  const same = before?.row.epoch === row.epoch && before.row.seq === row.seq;
  const waiting = !leads && (await tasksWait(deps));
  return {
    row,
    sinceMs: same ? before.sinceMs : nowMs,
    waitingSinceMs: waiting ? ((same ? before.waitingSinceMs : undefined) ?? nowMs) : undefined,
  };
}

async function tasksWait({ store, clock }: LeaseDeps): Promise<boolean> {
  const active = await listActiveTasks(store.local);
  const nowMs = clock.nowMs();
  return active.some(
    ({ status, notBeforeMs }) => status !== "pending" || (notBeforeMs ?? 0) <= nowMs,
  );
}

/** Free, left by a dead predecessor on this host, resting, or unchanged for its whole ttl while we watched. */
function mayFollow(deps: LeaseDeps, seen: Seen | undefined, nowMs: number): boolean {
  if (!seen || seen.row.holder === "" || seen.row.holder === deps.hostId) return true;
  return nowMs - seen.sinceMs >= seen.row.ttlMs;
}

/** The store is led by a host whose server does not work: tasks wait, and nobody touches the lease. */
function isNeglected(seen: Seen | undefined, nowMs: number): boolean {
  if (!seen || seen.waitingSinceMs === undefined) return false;
  const waitedMs = nowMs - seen.waitingSinceMs;
  return waitedMs >= workerAbsentMs && nowMs - seen.sinceMs >= seen.row.ttlMs;
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
    ttlMs: 0,
  };
  const change = row
    ? takeWorkerLease(deps.store.db, row, next)
    : insertWorkerLease(deps.store.db, next);
  const outcome = await deps.store.commit({ opId: deps.ids.uuid(), ...change }, signal);
  return outcome.ok ? next : undefined;
}
