// Reports and answers get to the store, however often it is away.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { instanceReportIntervalMs } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/log.ts";
import type { InstanceReport } from "../../src/spec/instance-config.ts";
import type { DesiredState, Glance, HaStore } from "../../src/store/ha-store.ts";
import { StoreLink } from "./store-link.ts";
import { Wake } from "./wake.ts";

const request = { id: "r1", generation: 1, payload: { kind: "reload" } } as const;
const report: InstanceReport = {
  instance_id: "i1",
  incarnation: "a",
  observed_at_ms: 1,
  postgres_state: "running",
  role: "primary",
  pending_restart: false,
  pending_restart_settings: [],
  applied_generation: 1,
  decision: "nothing to do",
};

/** Remembers what it was told; fails while it is away. */
class MemoryStore implements HaStore {
  away = false;
  version = 1;
  group = "1 1 a 5";
  desired: DesiredState = { requests: [request] };
  readonly told: string[] = [];

  async glance(): Promise<Glance> {
    this.#check();
    return { version: this.version, group: this.group };
  }

  async loadDesired(): Promise<DesiredState> {
    this.#check();
    this.told.push("load");
    return this.desired;
  }

  async answer(requestId: string): Promise<void> {
    this.#check();
    this.told.push(`answer ${requestId}`);
  }

  async saveReport(saved: InstanceReport, news: boolean): Promise<void> {
    this.#check();
    this.told.push(`report ${saved.postgres_state}${news ? " news" : ""}`);
  }

  #check(): void {
    if (this.away) throw new AppError("retryable", "away");
  }
}

let clock: FakeClock;
let store: MemoryStore;
let link: StoreLink;
let ended: AbortController;
let running: Promise<void>;
let glances: boolean[];

beforeEach(async () => {
  clock = new FakeClock();
  glances = [];
  store = new MemoryStore();
  ended = new AbortController();
  const outbox = new Wake(clock);
  const deps = {
    store,
    clock,
    outbox,
    log: silentLogger,
    busy: () => false,
    onChange: () => undefined,
    onGlance: (news: boolean) => glances.push(news),
  };
  link = new StoreLink(deps);
  running = link.run(ended.signal);
  await clock.advance(0);
});
afterEach(async () => {
  ended.abort();
  await running;
});

test("the desired state is read again when the version grows, and only then", async () => {
  expect(link.requests.map((pending) => pending.id)).toEqual(["r1"]);
  await clock.advance(2_000);
  expect(store.told).toEqual(["load"]);
  store.version = 2;
  await clock.advance(500);
  expect(store.told).toEqual(["load", "load"]);
});

test("a renewal of the node's lease is news of the node once, and nothing to load", async () => {
  await clock.advance(2_000);
  glances.length = 0;
  store.group = "1 2 b 5";
  await clock.advance(2_000);
  expect([glances.length > 2, glances.filter(Boolean).length]).toEqual([true, 1]);
  expect(store.told).toEqual(["load"]);
});

test("an answered request is not offered again, and its answer is sent until it arrives", async () => {
  store.away = true;
  link.answer("r1", { ok: true, detail: "done" });
  expect(link.requests).toEqual([]);
  await clock.advance(5_000);
  expect(store.told).toEqual(["load"]);
  store.away = false;
  await clock.advance(2_000);
  expect(store.told.filter((what) => what.startsWith("answer"))).toEqual(["answer r1"]);
  expect(link.requests).toEqual([]);
});

test("news are sent at once, the same only every interval", async () => {
  link.publish(report);
  await clock.advance(1);
  for (let passed = 0; passed < 20; passed++) {
    link.publish({ ...report, observed_at_ms: clock.nowMs(), lsn: `0/${passed}` });
    await clock.advance(instanceReportIntervalMs / 10);
  }
  link.publish({ ...report, postgres_state: "crashed" });
  await clock.advance(1);
  expect(store.told.slice(1)).toEqual([
    "report running news",
    "report running",
    "report running",
    "report crashed news",
  ]);
});
