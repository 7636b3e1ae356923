// Who waits for whom before a lease that ended is taken.
import { expect, test } from "bun:test";
import {
  data,
  lease,
  local,
  NOW,
  SETTINGS,
  standby,
  status,
  view,
} from "../../test/support/ha-situations.ts";
import { decide } from "./decide.ts";
import { judge } from "./election.ts";
import { contestableAtMs } from "./lease.ts";
import { situationOf } from "./situation.ts";

const row = lease({ holder: "a", ttl_ms: 8_000 });

/** What `b` makes of a lease that became free a moment ago, where its holder was heard of at `heardAtMs`. */
function verdict(heardAtMs: number) {
  const seenAtMs = NOW - 8_100;
  const sight = { row, readAtMs: NOW, seenAtMs, wentBack: false };
  const a = status("a", { role: "primary" });
  const others = new Map([["a", { status: a, heardAtMs }]]);
  const at = local({ data: data(), postgres: standby({ upstream: null, streaming: false }) });
  return judge(
    situationOf(view("b", row, { lease: sight, others }), at, NOW),
    row,
    contestableAtMs(seenAtMs, row.ttl_ms),
  );
}

test("a primary that was lost after it had said that it is one delays nobody", () => {
  expect(verdict(NOW - 8_000).ok).toBe(true);
  expect(verdict(NOW - 3_000).ok).toBe(true);
});

test("one that still says so when its PostgreSQL should be gone is waited for, for a limited time", () => {
  const told = verdict(NOW - 8_100 + row.ttl_ms - SETTINGS.guard_ms + 200);
  expect(told).toMatchObject({ ok: false, why: "a says that it is still primary" });
  expect(told).toHaveProperty("untilMs");
});

test("a standby that promised its primary to keep away goes on receiving from it", () => {
  const sight = { row, readAtMs: NOW, seenAtMs: NOW - 8_100, wentBack: false };
  const at = local({ data: data(), postgres: standby({ upstream: "a", streaming: true }) });
  const decided = (untilMs: number, epoch = row.epoch) => {
    const promise = { holder: "a", epoch, untilMs };
    return decide(view("b", row, { lease: sight, promise }), at, NOW);
  };
  const follows = { state: "standby", goal: { kind: "standby", upstream: "a" } };
  expect(decided(NOW + 1)).toMatchObject(follows);
  // Over, or given to a primary that was replaced since.
  for (const over of [decided(NOW - 1), decided(NOW + 1, row.epoch - 1)]) {
    expect(over).toMatchObject({ state: "candidate", goal: { upstream: null } });
  }
});
