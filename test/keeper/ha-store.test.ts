// What a keeper reads and writes in the store.
import { beforeEach, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { InstanceReport } from "../../src/spec/instance-config.ts";
import { createHaStore, type HaStore } from "../../src/store/ha-store.ts";
import { migrate } from "../../src/store/migrate.ts";
import { migrations } from "../../src/store/migrations.gen.ts";
import type { Rqlite } from "../../src/store/rqlite.ts";
import { createSqlite } from "../support/sqlite-store.ts";

let rqlite: Rqlite;
let store: HaStore;
const { signal } = new AbortController();
const report: InstanceReport = {
  instance_id: "i1",
  incarnation: "a",
  observed_at_ms: 100,
  postgres_state: "running",
  role: "primary",
  pending_restart: false,
  pending_restart_settings: [],
  applied_generation: 1,
  decision: "nothing to do",
};

beforeEach(async () => {
  rqlite = createSqlite();
  await migrate({ rqlite, clock: new FakeClock() }, migrations);
  store = createHaStore(rqlite, "i1");
  await write(
    `INSERT INTO instances (id, database_id, node_name, host_id, state, config, generation, created_at_ms, updated_at_ms)
     VALUES ('i1', 'd', 'n1', 'h', 'creating', '{"generation":3}', 3, 0, 0)`,
  );
});

async function write(sql: string): Promise<void> {
  await rqlite.request([{ sql, params: [] }]);
}

async function ask(id: string, instance: string, createdAtMs: number): Promise<void> {
  await write(
    `INSERT INTO keeper_requests (id, instance_id, generation, payload, state, created_at_ms)
     VALUES ('${id}', '${instance}', 3, '{"kind":"reload"}', 'pending', ${createdAtMs})`,
  );
}

test("the desired state is the own configuration and the own pending requests, oldest first", async () => {
  await ask("r2", "i1", 20);
  await ask("r1", "i1", 10);
  await ask("other", "i2", 5);
  const desired = await store.loadDesired(signal);
  expect(desired.config).toMatchObject({ generation: 3 });
  expect(desired.requests.map((request) => request.id)).toEqual(["r1", "r2"]);
  expect(desired.requests[0]).toEqual({ id: "r1", generation: 3, payload: { kind: "reload" } });
  expect(desired.lastReport).toBeUndefined();
  const nobody = await createHaStore(rqlite, "i9").loadDesired(signal);
  expect(nobody).toEqual({ requests: [] });
});

test("a glance tells renewals apart from changes, of the own node only, and nothing of ordinary words", async () => {
  const seen = [await store.glance(signal)];
  const lease = (node: string, seq: number) =>
    write(
      `INSERT INTO ha_leases (database_id, node_name, epoch, seq, nonce, holder, incarnation, ttl_ms, phase, timeline,
                              next_timeline, members, sync, checkpoint_done)
       VALUES ('d', '${node}', 1, ${seq}, 'x', 'i1', 'a', 30000, 'open', 1, 2, '[]', '{}', 1)`,
    );
  await lease("n2", 1);
  seen.push(await store.glance(signal));
  await lease("n1", 1);
  seen.push(await store.glance(signal));
  await write("UPDATE ha_leases SET seq = 2 WHERE node_name = 'n1'");
  seen.push(await store.glance(signal));
  await write(
    `INSERT INTO ha_members (instance_id, database_id, node_name, status, updated_at_ms)
     VALUES ('i1', 'd', 'n1', '{}', 5)`,
  );
  seen.push(await store.glance(signal));
  const groups = seen.map(({ group }) => group);
  expect(groups[1]).toBe(groups[0] ?? "");
  expect(new Set(groups.slice(1, 4)).size).toBe(3);
  expect(groups[4]).toBe(groups[3] ?? "");
  expect(new Set(seen.map(({ version }) => version)).size).toBe(1);
});

test("an answer empties the request, wakes others, and stays the first one", async () => {
  await ask("r1", "i1", 10);
  const before = (await store.glance(signal)).version;
  await store.answer("r1", { ok: true, detail: "done" }, 50, signal);
  await store.answer("r1", { ok: false, detail: "again" }, 60, signal);
  expect((await store.glance(signal)).version).toBeGreaterThan(before);
  const sql = "SELECT payload, state, answer, finished_at_ms FROM keeper_requests WHERE id = 'r1'";
  const [found] = await rqlite.request([{ sql, params: [] }]);
  expect(found?.rows[0]).toEqual(["", "done", '{"ok":true,"detail":"done"}', 50]);
  expect((await store.loadDesired(signal)).requests).toEqual([]);
});

test("a keeper cannot answer for another instance", async () => {
  await ask("foreign", "i2", 10);
  await store.answer("foreign", { ok: true, detail: "" }, 50, signal);
  const desired = await createHaStore(rqlite, "i2").loadDesired(signal);
  expect(desired.requests).toHaveLength(1);
});

test("reports replace older ones only, wake others only with news, and never bring an instance back", async () => {
  const before = (await store.glance(signal)).version;
  await store.saveReport(report, false, signal);
  expect((await store.glance(signal)).version).toBe(before);
  await store.saveReport({ ...report, observed_at_ms: 90, role: "replica" }, true, signal);
  expect((await store.glance(signal)).version).toBe(before + 1);
  expect((await store.loadDesired(signal)).lastReport).toEqual(report);
  // Much older is not overtaken: the clock was put back.
  const after = { ...report, observed_at_ms: report.observed_at_ms + 600_000 };
  await store.saveReport(after, false, signal);
  await store.saveReport(report, false, signal);
  expect((await store.loadDesired(signal)).lastReport).toEqual(report);
  await createHaStore(rqlite, "gone").saveReport({ ...report, instance_id: "gone" }, true, signal);
  const [rows] = await rqlite.request([
    { sql: "SELECT instance_id FROM instance_reports", params: [] },
  ]);
  expect(rows?.rows).toEqual([["i1"]]);
});
