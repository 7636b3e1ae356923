// What the contract suite cannot show with a healthy store: outages, deadlines, other processes.
import { describe, expect, test } from "bun:test";
import { losing } from "../../test/contract/store.ts";
import { createSqlite, memoryStoreParts } from "../../test/support/sqlite-store.ts";
import { FakeClock } from "../base/fake-clock.ts";
import { newsPollMs, storeDeadlineMs } from "../base/limits.ts";
import { seededRng } from "../base/rng.ts";
import { migrate } from "./migrate.ts";
import { migrations } from "./migrations.gen.ts";
import type { Rqlite } from "./rqlite.ts";
import { createStore } from "./store.ts";
import { StoreError, type StoreReason } from "./store-error.ts";

const INSERT = {
  sql: "INSERT INTO host_statuses (host_id, status, updated_at_ms) VALUES ('a', '', 0)",
  params: [],
};
const change = { opId: "op-1", guards: [], statements: [INSERT] };
const never = new AbortController().signal;

/** Fails every request with this reason until it is told to stop. */
function failing(rqlite: Rqlite, reason: StoreReason) {
  let broken = true;
  return {
    rqlite: {
      async request(...args: Parameters<Rqlite["request"]>) {
        if (broken) throw new StoreError(reason, `the store is ${reason}`);
        return rqlite.request(...args);
      },
    },
    repair() {
      broken = false;
    },
  };
}

async function settled(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((thrown: unknown) => thrown);
}

describe("waiting for a change", () => {
  test("another process's commit is noticed at the next look", async () => {
    const clock = new FakeClock();
    const { store, rqlite } = await memoryStoreParts(clock);
    const other = createStore({ rqlite, clock, rng: seededRng(2) });
    const since = await store.changeVersion();
    let seen: number | undefined;
    const waiting = store.waitForChange(since, never, 20).then((version) => {
      seen = version;
    });
    await clock.advance(20);
    await other.commit(change);
    await clock.advance(19);
    expect(seen).toBeUndefined();
    await clock.advance(1);
    await waiting;
    expect(seen).toBe(since + 1);
  });

  test("an outage is waited out, a mistake is not", async () => {
    const clock = new FakeClock();
    const parts = await memoryStoreParts(clock);
    const outage = failing(parts.rqlite, "unavailable");
    const store = createStore({ rqlite: outage.rqlite, clock, rng: seededRng(1) });
    const waiting = store.waitForChange(0, never, 20);
    await clock.advance(100);
    await parts.store.commit(change);
    outage.repair();
    await clock.advance(20);
    expect(await waiting).toBe(1);
    const broken = createStore({ ...failing(parts.rqlite, "sql"), clock, rng: seededRng(1) });
    expect(await settled(broken.waitForChange(1, never))).toMatchObject({ reason: "sql" });
  });

  test("nothing is left behind by one who gave up", async () => {
    const clock = new FakeClock();
    const { store } = await memoryStoreParts(clock);
    const controller = new AbortController();
    const waiting = settled(store.waitForChange(0, controller.signal));
    await clock.advance(1);
    controller.abort(new Error("enough"));
    expect(await waiting).toEqual(new Error("enough"));
    expect(clock.waiting).toBe(0);
  });
});

describe("waiting for news", () => {
  async function counting() {
    const clock = new FakeClock();
    const { rqlite } = await memoryStoreParts(clock);
    let looks = 0;
    const counted: Rqlite = {
      async request(...args) {
        looks += 1;
        return rqlite.request(...args);
      },
    };
    const other = createStore({ rqlite, clock, rng: seededRng(2) });
    const store = createStore({ rqlite: counted, clock, rng: seededRng(1) });
    return { clock, store, other, looks: () => looks };
  }

  test("those who can wait share their looks, and wait no longer than they said", async () => {
    const { clock, store, looks } = await counting();
    const ended: number[] = [];
    const waits = [10_000, 10_000, 10_000].map((maxMs) =>
      store.waitForNews(0, never, maxMs).then(() => ended.push(clock.monotonicMs())),
    );
    const beganMs = clock.monotonicMs();
    await clock.advance(10_000);
    await Promise.all(waits);
    expect(ended).toEqual([10_000, 10_000, 10_000].map((ms) => beganMs + ms));
    expect(looks()).toBe(10_000 / newsPollMs);
  });

  test("a change is heard of at the next look; an outage and an end are no news", async () => {
    const { clock, store, other } = await counting();
    const stop = new AbortController();
    let heard = false;
    const waiting = store.waitForNews(0, never, 60_000).then(() => {
      heard = true;
    });
    const ended = store.waitForNews(5, stop.signal, 60_000);
    await clock.advance(newsPollMs);
    expect(heard).toBe(false);
    await other.commit(change);
    await clock.advance(newsPollMs);
    await waiting;
    stop.abort();
    await ended;
    const broken = createStore({
      rqlite: failing(createSqlite(), "unavailable").rqlite,
      clock,
      rng: seededRng(3),
    });
    const inVain = broken.waitForNews(0, never, 3 * newsPollMs);
    await clock.advance(3 * newsPollMs);
    await inVain;
  });
});

describe("a commit of unknown outcome", () => {
  test("is tried until the deadline and then says so", async () => {
    const clock = new FakeClock();
    const { rqlite } = await memoryStoreParts(clock);
    const store = createStore({ ...failing(rqlite, "unknown"), clock, rng: seededRng(1) });
    const outcome = settled(store.commit(change));
    await clock.advance(0);
    await clock.advance(storeDeadlineMs);
    expect(await outcome).toMatchObject({ reason: "unknown", kind: "retryable" });
  });

  test("stays unknown when the store is gone after it", async () => {
    const clock = new FakeClock();
    const { rqlite } = await memoryStoreParts(clock);
    let requests = 0;
    const store = createStore({
      rqlite: {
        async request() {
          requests += 1;
          throw new StoreError(requests === 1 ? "unknown" : "unavailable", "gone");
        },
      },
      clock,
      rng: seededRng(1),
    });
    const outcome = settled(store.commit(change));
    await clock.advance(0);
    await clock.advance(1_000);
    expect(await outcome).toMatchObject({ reason: "unknown" });
    const unsent = createStore({ ...failing(rqlite, "unavailable"), clock, rng: seededRng(1) });
    expect(await settled(unsent.commit(change))).toMatchObject({ reason: "unavailable" });
  });

  test("ends with the signal", async () => {
    const clock = new FakeClock();
    const { rqlite } = await memoryStoreParts(clock);
    const store = createStore({ ...failing(rqlite, "unknown"), clock, rng: seededRng(1) });
    const controller = new AbortController();
    const outcome = settled(store.commit(change, controller.signal));
    await clock.advance(1);
    controller.abort(new Error("enough"));
    expect(await outcome).toEqual(new Error("enough"));
  });
});

describe("a migration of unknown outcome", () => {
  test("is not applied twice when only the answer was lost", async () => {
    const clock = new FakeClock();
    const rqlite = createSqlite();
    const lossy = losing(rqlite, "after", 1);
    const [, ...others] = migrations.map(({ index }) => index);
    expect(await migrate({ rqlite: lossy, clock }, migrations)).toEqual({
      applied: others,
      unknown: [],
    });
    const second = await migrate({ rqlite, clock }, migrations);
    expect(second.applied).toEqual([]);
  });

  test("is an error that may be retried when it was not applied", async () => {
    const clock = new FakeClock();
    const rqlite = createSqlite();
    const lossy = losing(rqlite, "before", 1);
    const outcome = await settled(migrate({ rqlite: lossy, clock }, migrations));
    expect(outcome).toMatchObject({ reason: "unknown", kind: "retryable" });
    const all = migrations.map(({ index }) => index);
    expect((await migrate({ rqlite, clock }, migrations)).applied).toEqual(all);
  });
});
