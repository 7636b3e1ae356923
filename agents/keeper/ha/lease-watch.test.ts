// What is passed on of a lease: what the store has shown, and not what its holder only announced.
import { expect, test } from "bun:test";
import { FakeClock } from "../../../src/base/fake-clock.ts";
import { silentLogger } from "../../../src/base/log.ts";
import type { LeaseRow } from "../../../src/ha/lease.ts";
import type { HaSettings } from "../../../src/ha/settings.ts";
import type { LeaseStore } from "../../../src/store/ha-lease.ts";
import { Wake } from "../wake.ts";
import { LeaseWatch } from "./lease-watch.ts";

const held: LeaseRow = {
  epoch: 5,
  seq: 5,
  nonce: "held",
  holder: "a",
  incarnation: "1",
  ttl_ms: 30_000,
  phase: "draining",
  timeline: 5,
  next_timeline: 6,
  system_identifier: "1",
  members: ["a", "b"],
  sync: { version: 1, mode: "off", voters: [], quorum: 0, count: 0 },
  optime: null,
  checkpoint_done: true,
  ending: null,
};
const released: LeaseRow = {
  ...held,
  seq: 6,
  nonce: "released",
  holder: null,
  phase: "released",
  ending: {
    kind: "manual",
    holder: "a",
    lsn: "0/A0000A0",
    timeline: 5,
    successor: "b",
  },
};

test("a release that was announced is seen here, and passed on only when the store shows it", async () => {
  const clock = new FakeClock();
  let row = held;
  const load = async () => ({ lease: row, members: [], intents: [] });
  const store = { load, loadEpochs: async () => [] } as Partial<LeaseStore> as LeaseStore;
  const watch = new LeaseWatch(
    {
      clock,
      boot: { bootMs: () => clock.monotonicMs(), bootId: () => "b" },
      log: silentLogger,
      store,
      self: "b",
      settings: () => ({ retry_ms: 1_000 }) as Partial<HaSettings> as HaSettings,
      pauseMs: () => 500,
      alarm: new Wake(clock),
      onChange: () => undefined,
      onNewest: () => undefined,
    },
    undefined,
  );
  const { signal } = new AbortController();
  await watch.look(signal);
  expect(watch.seen).toEqual(held);
  watch.hearRelease({ row: released, heldAs: { epoch: 5, seq: 5, nonce: "held" } });
  expect([watch.sight?.row?.nonce, watch.seen]).toEqual(["released", undefined]);
  row = released;
  await watch.look(signal);
  expect(watch.seen?.nonce).toBe("released");
});
