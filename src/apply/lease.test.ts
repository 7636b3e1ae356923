import { expect, test } from "bun:test";
import { memoryStore } from "../../test/support/sqlite-store.ts";
import { FakeClock } from "../base/fake-clock.ts";
import { uuidMaker } from "../base/ids.ts";
import {
  workerAbsentMs,
  workerLeadershipPollMs,
  workerLeasePollMs,
  workerLeaseRenewMs,
  workerLeaseTtlMs,
} from "../base/limits.ts";
import { silentLogger } from "../base/log.ts";
import { seededRng } from "../base/rng.ts";
import type { Store } from "../store/store.ts";
import { insertTask, type TaskRecord } from "../store/tasks.ts";
import { loadWorkerLease } from "../store/worker-lease.ts";
import { acquireLease, type Lease, type LeaseDeps } from "./lease.ts";

async function world() {
  const clock = new FakeClock();
  const store = await memoryStore(clock);
  const rng = seededRng(1);
  let leader: string | undefined;
  const contender = (hostId: string, incarnation: string, through: Store = store): LeaseDeps => ({
    store: through,
    clock,
    ids: uuidMaker(clock, rng),
    log: silentLogger,
    hostId,
    incarnation,
    leading: async () => leader === undefined || leader === hostId,
  });
  const lead = (hostId: string) => {
    leader = hostId;
  };
  return { lead, clock, store, contender };
}

/** A lease that is being waited for. */
function waiting(deps: LeaseDeps, signal: AbortSignal) {
  const found: { lease?: Lease } = {};
  void acquireLease(deps, signal).then(
    (lease) => {
      found.lease = lease;
    },
    () => undefined,
  );
  return found;
}

const waitingTask: TaskRecord = {
  id: "0198c0de-0000-7000-8000-000000000001",
  scope: "host",
  entityId: "h9",
  databaseId: null,
  nodeName: null,
  instanceId: null,
  hostId: "h9",
  parentId: null,
  type: "remove_host",
  status: "pending",
  error: null,
  work: {
    plan: {
      databaseId: "",
      generation: 0,
      parentGeneration: 0,
      kind: "update",
      steps: [],
      restarts: [],
      switchovers: [],
      writeGapMs: {},
    },
    removeHost: "h9",
  },
  epoch: 0,
  createdAtMs: 0,
  startedAtMs: null,
  completedAtMs: null,
};

/** Work that never ends. */
function busy(found: { lease?: Lease }): void {
  void found.lease?.work(() => new Promise(() => undefined)).catch(() => undefined);
}

test("the first takes it, renews it while it works, and the other waits as long as it does", async () => {
  const { clock, store, contender } = await world();
  const stop = new AbortController();
  const a = waiting(contender("a", "1"), stop.signal);
  await clock.advance(0);
  busy(a);
  await clock.advance(0);
  const b = waiting(contender("b", "1"), stop.signal);
  expect(a.lease?.epoch).toBe(1);
  for (let n = 0; n < 20; n++) await clock.advance(workerLeaseRenewMs);
  expect(a.lease?.lost.aborted).toBe(false);
  expect(b.lease).toBeUndefined();
  expect((await loadWorkerLease(store.db))?.holder).toBe("a");
  stop.abort();
});

test("a worker at work is followed only after it was seen unchanged for its whole ttl", async () => {
  const { clock, contender } = await world();
  const stop = new AbortController();
  const dead = new AbortController();
  const a = waiting(contender("a", "1"), dead.signal);
  await clock.advance(0);
  busy(a);
  await clock.advance(0);
  dead.abort();
  await clock.advance(60_000);
  const b = waiting(contender("b", "1"), stop.signal);
  await clock.advance(workerLeaseTtlMs - 100);
  expect(b.lease).toBeUndefined();
  await clock.advance(2_000);
  expect(b.lease?.epoch).toBe(2);
  stop.abort();
});

test("a contender that does not lead yet counts the ttl already", async () => {
  const { clock, contender, lead } = await world();
  const stop = new AbortController();
  const dead = new AbortController();
  lead("a");
  const a = waiting(contender("a", "1"), dead.signal);
  await clock.advance(0);
  busy(a);
  await clock.advance(0);
  const b = waiting(contender("b", "1"), stop.signal);
  await clock.advance(0);
  dead.abort();
  for (let ms = 0; ms < workerLeaseTtlMs; ms += workerLeasePollMs)
    await clock.advance(workerLeasePollMs);
  expect(b.lease).toBeUndefined();
  lead("b");
  await clock.advance(workerLeasePollMs);
  expect(b.lease?.epoch).toBe(2);
  stop.abort();
});

test("a worker that rests writes nothing, is followed at once, and begins nothing after that", async () => {
  const { clock, store, contender, lead } = await world();
  const stop = new AbortController();
  lead("a");
  const a = waiting(contender("a", "1"), stop.signal);
  await clock.advance(0);
  await a.lease?.work(async () => undefined);
  for (let n = 0; n < 3; n++) await clock.advance(workerLeaseRenewMs);
  const resting = await loadWorkerLease(store.db);
  expect(resting?.ttlMs).toBe(0);
  for (let n = 0; n < 20; n++) await clock.advance(workerLeaseRenewMs);
  expect(await loadWorkerLease(store.db)).toEqual(resting);
  const b = waiting(contender("b", "1"), stop.signal);
  await clock.advance(0);
  expect(b.lease).toBeUndefined();
  lead("b");
  await clock.advance(workerLeasePollMs);
  expect(b.lease?.epoch).toBe(2);
  let began = false;
  const late = a.lease?.work(async () => {
    began = true;
  });
  expect(await late?.catch((thrown: unknown) => String(thrown))).toContain("AbortError");
  expect([began, a.lease?.lost.aborted]).toEqual([false, true]);
  stop.abort();
});

test("where the leader's server does not work, another host begins what waits", async () => {
  const { clock, store, contender, lead } = await world();
  const stop = new AbortController();
  lead("a");
  const a = waiting(contender("a", "1"), stop.signal);
  await clock.advance(0);
  await a.lease?.release();
  lead("nobody who has a server");
  const b = waiting(contender("b", "1"), stop.signal);
  for (let n = 0; n < 100; n++) await clock.advance(workerLeasePollMs);
  expect(b.lease).toBeUndefined();
  await store.commit({ opId: "task", guards: [], statements: [insertTask(store.db, waitingTask)] });
  for (let ms = 0; ms < workerAbsentMs; ms += workerLeasePollMs)
    await clock.advance(workerLeasePollMs);
  expect(b.lease).toBeUndefined();
  await clock.advance(workerLeasePollMs);
  expect(b.lease?.epoch).toBe(2);
  for (let n = 0; n < 10; n++) await clock.advance(workerLeaseRenewMs);
  expect(b.lease?.lost.aborted).toBe(false);
  stop.abort();
});

test("a dead predecessor on the same host is followed at once", async () => {
  const { clock, contender } = await world();
  const stop = new AbortController();
  const dead = new AbortController();
  waiting(contender("a", "1"), dead.signal);
  await clock.advance(0);
  dead.abort();
  const next = waiting(contender("a", "2"), stop.signal);
  await clock.advance(0);
  expect(next.lease?.epoch).toBe(2);
  stop.abort();
});

test("a released lease is taken by the next look, and the old one commits nothing", async () => {
  const { clock, store, contender } = await world();
  const stop = new AbortController();
  const a = waiting(contender("a", "1"), stop.signal);
  await clock.advance(0);
  await a.lease?.release();
  expect(a.lease?.lost.aborted).toBe(true);
  const b = waiting(contender("b", "1"), stop.signal);
  await clock.advance(0);
  expect(b.lease?.epoch).toBe(2);
  const guard = a.lease ? [a.lease.guard] : [];
  const outcome = await store.commit({ opId: "late", guards: guard, statements: [] });
  expect(outcome).toEqual({ ok: false, conflict: "worker_lease" });
  stop.abort();
});

test("a holder that cannot renew gives up before another may take over", async () => {
  const { clock, store, contender } = await world();
  const stop = new AbortController();
  let down = false;
  const through: Store = {
    ...store,
    commit: (change, signal) =>
      down
        ? new Promise((_, reject) =>
            signal?.addEventListener("abort", () => reject(signal.reason), { once: true }),
          )
        : store.commit(change, signal),
  };
  const a = waiting(contender("a", "1", through), stop.signal);
  await clock.advance(0);
  busy(a);
  await clock.advance(0);
  const b = waiting(contender("b", "1"), stop.signal);
  await clock.advance(workerLeaseRenewMs + 500);
  down = true;
  for (let ms = 0; ms < 3 * workerLeaseTtlMs && !b.lease; ms += 500) {
    await clock.advance(500);
    if (b.lease) expect(a.lease?.lost.aborted).toBe(true);
  }
  expect(b.lease?.epoch).toBe(2);
  stop.abort();
});

test("only where the store is led the lease is taken, and it follows the leader", async () => {
  const { clock, contender, lead } = await world();
  const stop = new AbortController();
  lead("b");
  const a = waiting(contender("a", "1"), stop.signal);
  await clock.advance(60_000);
  expect(a.lease).toBeUndefined();
  const b = waiting(contender("b", "1"), stop.signal);
  await clock.advance(0);
  expect(b.lease?.epoch).toBe(1);
  lead("c");
  for (let n = 0; n < 2; n++) await clock.advance(workerLeadershipPollMs);
  lead("b");
  await clock.advance(5_000);
  expect(b.lease?.lost.aborted).toBe(false);
  lead("a");
  for (let n = 0; n < 4; n++) await clock.advance(workerLeadershipPollMs);
  expect(b.lease?.lost.aborted).toBe(true);
  await b.lease?.release();
  await clock.advance(workerLeasePollMs);
  expect(a.lease?.epoch).toBe(2);
  stop.abort();
});
