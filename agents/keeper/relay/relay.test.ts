// Keepers of one host share their writes: how many requests reach the store, and what happens when the relay goes.
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { FakeClock } from "../../../src/base/fake-clock.ts";
import { createLogger, LogLevels } from "../../../src/base/log.ts";
import type { Rqlite } from "../../../src/store/rqlite.ts";
import type { Query } from "../../../src/store/statement.ts";
import { StoreError } from "../../../src/store/store-error.ts";
import { openKernel } from "../../fencer/kernel.ts";
import { Batch } from "./batch.ts";
import { Relay } from "./relay.ts";

const log = createLogger(
  { clock: systemClock, levels: new LogLevels("error"), write: () => undefined },
  "test",
);
const update = (name: string): Query => ({ sql: "UPDATE t SET a = ?", params: [name] });

/** Remembers the requests; answers 1 changed row for each statement. */
function recorder() {
  const requests: string[][] = [];
  let failure: StoreError | undefined;
  const rqlite: Rqlite = {
    async request(statements) {
      requests.push(statements.map(({ params }) => String(params[0])));
      if (failure) throw failure;
      return statements.map(() => ({ columns: [], rows: [], changed: 1 }));
    },
  };
  return {
    rqlite,
    requests,
    fail: (error: StoreError | undefined) => {
      failure = error;
    },
  };
}

let directory = "";
const ended = new Set<AbortController>();

afterEach(() => {
  for (const controller of ended) controller.abort();
  ended.clear();
  if (directory !== "") rmSync(directory, { recursive: true, force: true });
  directory = "";
});

function host(rqlite: Rqlite) {
  directory = mkdtempSync(join(tmpdir(), "relay-"));
  const { lock } = openKernel();
  return (intervalMs = 50) => {
    const controller = new AbortController();
    ended.add(controller);
    const socket = join(directory, "keepers.relay");
    const relay = new Relay({ clock: systemClock, log, rqlite, socket, lock, intervalMs });
    const running = relay.run(controller.signal);
    const write = (name: string) => relay.write([update(name)], controller.signal);
    const end = () => {
      controller.abort();
      return running;
    };
    return { relay, write, end };
  };
}

/** Lets what was just asked begin to wait before time moves. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  await clock.advance(0);
  await clock.advance(ms);
}

async function until(what: () => boolean): Promise<void> {
  for (let n = 0; n < 500 && !what(); n++) await Bun.sleep(10);
  expect(what()).toBe(true);
}

test("a batch sends what arrived together as one request, and paces the next", async () => {
  const { rqlite, requests } = recorder();
  const clock = new FakeClock();
  const batch = new Batch({ clock, rqlite, intervalMs: 1_000 });
  const ending = new AbortController();
  const running = batch.run(ending.signal);
  const first = [batch.write([update("a")]), batch.write([update("b"), update("c")])];
  await pass(clock, 20);
  expect((await Promise.all(first)).map((results) => results.length)).toEqual([1, 2]);
  const second = batch.write([update("d")]);
  await pass(clock, 500);
  expect(requests).toEqual([["a", "b", "c"]]);
  await pass(clock, 500);
  await second;
  expect(requests).toEqual([["a", "b", "c"], ["d"]]);
  ending.abort();
  await running;
});

test("a failure reaches everybody who took part, and nobody else", async () => {
  const { rqlite, fail } = recorder();
  const clock = new FakeClock();
  const batch = new Batch({ clock, rqlite, intervalMs: 1_000 });
  const ending = new AbortController();
  const running = batch.run(ending.signal);
  fail(new StoreError("no_leader", "no leader"));
  const lost = Promise.allSettled([batch.write([update("a")]), batch.write([update("b")])]);
  await pass(clock, 20);
  expect((await lost).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  fail(undefined);
  const kept = batch.write([update("c")]);
  await pass(clock, 1_000);
  expect(await kept).toHaveLength(1);
  const left = batch.write([update("d")]).catch((error: Error) => error.message);
  ending.abort();
  await running;
  expect(await left).toBe("the relay ends");
});

test("twenty keepers of one host make few requests, each gets its own result", async () => {
  const { rqlite, requests } = recorder();
  const start = host(rqlite);
  const keepers = Array.from({ length: 20 }, () => start());
  await until(() => keepers.every(({ relay }) => relay.shares));
  expect(keepers.filter(({ relay }) => relay.relays)).toHaveLength(1);
  const before = requests.length;
  const results = await Promise.all(keepers.map(({ write }, n) => write(`k${n}`)));
  expect(results.every((each) => each[0]?.changed === 1)).toBe(true);
  expect(requests.slice(before).flat().sort()).toEqual(keepers.map((_, n) => `k${n}`).sort());
  expect(requests.length - before).toBeLessThanOrEqual(2);
});

test("when the relaying keeper ends another takes its place, and no write is lost", async () => {
  const { rqlite, requests } = recorder();
  const start = host(rqlite);
  const keepers = [start(), start(), start()];
  await until(() => keepers.every(({ relay }) => relay.shares));
  const gone = keepers.find(({ relay }) => relay.relays);
  const rest = keepers.filter((keeper) => keeper !== gone);
  const ending = gone?.end();
  await Promise.all(rest.map(({ write }, n) => write(`during-${n}`)));
  await ending;
  expect(requests.flat()).toEqual(expect.arrayContaining(["during-0", "during-1"]));
  await until(() => rest.filter(({ relay }) => relay.relays).length === 1);
  await Promise.all(rest.map(({ end }) => end()));
  expect(readdirSync(directory)).toEqual([]);
});

test("a relay that hangs is waited for once; the write goes to the store without it", async () => {
  const { rqlite, requests } = recorder();
  const start = host(rqlite);
  const { lock } = openKernel();
  const path = join(directory, "keepers.relay");
  const unlock = lock(`${path}.lock`);
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen({ path }, resolve));
  const keeper = start();
  await until(() => keeper.relay.shares);
  const began = performance.now();
  await keeper.write("first");
  expect(performance.now() - began).toBeGreaterThan(2_000);
  const again = performance.now();
  await keeper.write("second");
  expect(performance.now() - again).toBeLessThan(1_000);
  expect(requests).toEqual([["first"], ["second"]]);
  silent.close();
  unlock?.();
});
