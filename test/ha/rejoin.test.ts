// How an instance comes back that was away: by following, by a rewind, by a new copy; and never onto a history that
// only has the same number.
import { afterEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { systemClock } from "../../src/base/clock.ts";
import { type GroupOptions, isPrimary, KeptGroup } from "../support/kept-group.ts";
import type { KeptInstance } from "../support/kept-instance.ts";

let group: KeptGroup;
afterEach(() => group.close(), 60_000);

async function eventually(what: string, attempt: () => Promise<boolean>): Promise<void> {
  const endMs = systemClock.monotonicMs() + 60_000;
  while (!(await attempt())) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`waited in vain for ${what}`);
    await systemClock.sleep(100);
  }
}

/** A group that runs, with all its standbys. Answers its primary. */
async function begin(options: GroupOptions = {}): Promise<KeptInstance> {
  group = await KeptGroup.prepare(options);
  group.start();
  const primary = group.at(0);
  await eventually("a primary", () => isPrimary(primary));
  await standbys(primary, group.instances.length - 1);
  return primary;
}

/** Whoever else is primary. */
async function successor(of: KeptInstance): Promise<KeptInstance> {
  let found: KeptInstance | undefined;
  await eventually("another primary", async () => {
    for (const instance of group.instances) {
      if (instance !== of && (await isPrimary(instance))) found = instance;
    }
    return found !== undefined;
  });
  if (!found) throw new Error("no other primary");
  return found;
}

/** The row of the table is there, and streaming goes on. */
async function streams(instance: KeptInstance, sql: string, answer: string): Promise<void> {
  await eventually(`${answer} on ${instance.id}`, async () => {
    const got = await instance.query(sql).catch(() => "");
    return got === answer;
  });
}

/** The others stream. */
async function standbys(primary: KeptInstance, count: number): Promise<void> {
  const sql = `SELECT count(*) FROM pg_stat_replication
                WHERE state = 'streaming' AND application_name ~ '^pgherd_[0-9a-f]+$'`;
  await eventually(`${count} streaming standbys`, async () => {
    const streaming = await primary.query(sql).catch(() => "0");
    return Number(streaming) >= count;
  });
}

const said = (instance: KeptInstance, text: string) => instance.logs().includes(text);
const kept = (instance: KeptInstance) =>
  readdirSync(instance.file.layout.base_dir).filter((name) => name.startsWith("data.kept-"));

/** Loses the primary with log that nobody else has; answers who took over. */
async function diverge(old: KeptInstance): Promise<KeptInstance> {
  await old.query("CREATE TABLE t AS SELECT 1 AS n");
  await group.everywhere("SELECT sum(n) FROM t", "1");
  const others = group.instances.filter((instance) => instance !== old);
  const receivers = await Promise.all(
    others.map((one) => one.query("SELECT pid FROM pg_stat_wal_receiver")),
  );
  for (const pid of receivers) process.kill(Number(pid), "SIGSTOP");
  await old.query("INSERT INTO t SELECT 100 FROM generate_series(1, 5000)");
  await group.loseHost(old);
  for (const pid of receivers) process.kill(Number(pid), "SIGCONT");
  const winner = await successor(old);
  await winner.query("INSERT INTO t VALUES (2)");
  return winner;
}

/** Writes until it is told to stop, so that data which was just rewound lacks log. */
function noise(primary: KeptInstance): () => Promise<void> {
  let on = true;
  const writing = (async () => {
    const log = "SELECT pg_logical_emit_message(true, 'noise', repeat('x', 10000))";
    while (on) await primary.query(log).catch(() => systemClock.sleep(20));
  })();
  return async () => {
    on = false;
    await writing;
  };
}

test("a primary that was lost with its host comes back by a rewind, without what only it had", async () => {
  const old = await begin();
  const winner = await diverge(old);
  const quiet = noise(winner);
  group.returnHost(old);
  await streams(old, "SELECT sum(n) FROM t WHERE pg_is_in_recovery()", "3");
  await quiet();
  await standbys(winner, 2);
  expect(said(old, "rewound: the log")).toBe(true);
  expect(said(old, "rejoining failed")).toBe(false);
  const [row] = await group.read("SELECT lost FROM ha_epochs WHERE epoch = 2");
  expect(String(row?.[0])).toMatch(
    /^shop-n1-1{8}: 0\/\w+ to 0\/\w+ of timeline 1 \(\d+ bytes of log\)$/,
  );
  const names = readdirSync(old.file.layout.base_dir);
  expect(names.filter((name) => name.startsWith("data.wal-"))).toHaveLength(1);
  expect(kept(old)).toEqual([]);
}, 180_000);

test("data that waits for log of a primary that is lost follows the next one, still starting", async () => {
  const old = await begin();
  const winner = await diverge(old);
  const quiet = noise(winner);
  old.startFencer();
  old.startKeeper({ PGHERD_FAULT: "after:rewound" });
  await old.keeper?.exited;
  await quiet();
  const last = group.instances.find((instance) => instance !== old && instance !== winner);
  await winner.query("INSERT INTO t VALUES (4)");
  await streams(last ?? old, "SELECT sum(n) FROM t", "7");
  old.startKeeper();
  await group.loseHost(winner);
  await streams(old, "SELECT sum(n) FROM t WHERE pg_is_in_recovery()", "7");
  await standbys(last ?? old, 1);
  expect(said(old, "applying the configuration while PostgreSQL starts")).toBe(true);
}, 180_000);

test("a standby for which nobody has the log any more is copied anew", async () => {
  const primary = await begin({
    size: 2,
    parameters: {
      max_slot_wal_keep_size: "48MB",
      wal_keep_size: "0",
      min_wal_size: "32MB",
      max_wal_size: "32MB",
    },
  });
  const standby = group.at(1);
  await group.loseHost(standby);
  await primary.query("CREATE TABLE t AS SELECT 5 AS n");
  for (let n = 0; n < 10; n++) {
    await primary.query("SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000))");
    await primary.query("SELECT pg_switch_wal()");
    await primary.query("CHECKPOINT");
  }
  group.returnHost(standby);
  await streams(standby, "SELECT n FROM t WHERE pg_is_in_recovery()", "5");
  await standbys(primary, 1);
  expect(said(standby, "no longer has the log")).toBe(true);
  await eventually("the old data to go", async () => kept(standby).length === 0);
}, 180_000);

test("H1: a standby promoted by hand under a number that is given out later is not mixed with it", async () => {
  const first = await begin();
  await first.query("CREATE TABLE f (who text)");
  await group.everywhere("SELECT count(*) FROM f", "0");
  const stray = group.at(2);
  await stray.killKeeper();
  await stray.query("SELECT pg_promote()");
  await stray.query("INSERT INTO f SELECT 'stray' FROM generate_series(1, 10)");
  await stray.query("CHECKPOINT");
  await group.loseHost(first);
  const winner = await successor(first);
  // The stray one takes writes too, and has no lease.
  expect(winner.id).toBe(group.at(1).id);
  await winner.query("INSERT INTO f SELECT 'winner' FROM generate_series(1, 1000)");
  const timeline = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
  expect(await winner.query(timeline)).toBe(await stray.query(timeline));
  stray.startKeeper();
  const count = "SELECT who || count(*) FROM f WHERE pg_is_in_recovery() GROUP BY who";
  await streams(stray, count, "winner1000");
  expect(said(stray, "is another one here than there")).toBe(true);
  group.returnHost(first);
  await streams(first, count, "winner1000");
}, 180_000);

/** What the keepers said to what was asked, oldest first. */
async function answers(): Promise<readonly string[]> {
  await group.settledIntents();
  const rows = await group.read("SELECT state, answer FROM ha_intents ORDER BY created_at_ms");
  return rows.map(([state, answer]) => `${state}: ${answer}`);
}

test("a standby that follows has nothing to rewind, is copied once when asked, and a primary does neither", async () => {
  const primary = await begin({ size: 2 });
  const standby = group.at(1);
  const ask = (kind: string, of: KeptInstance) =>
    group.ask(kind, { instance_id: of.id, from: null });
  await ask("rewind", standby);
  const [first] = await answers();
  expect(first).toBe(`done: nothing to rewind: its data is part of the history of ${primary.id}`);
  await primary.query("CREATE TABLE t AS SELECT 1 AS n");
  await streams(standby, "SELECT sum(n) FROM t WHERE pg_is_in_recovery()", "1");
  await standby.query("SELECT 1 FROM pg_create_physical_replication_slot('lost_by_a_copy')");
  await ask("reinitialize", standby);
  expect((await answers())[1]).toBe(`done: copied anew; it follows ${primary.id}`);
  await streams(standby, "SELECT sum(n) FROM t WHERE pg_is_in_recovery()", "1");
  const slot = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'lost_by_a_copy'";
  expect(await standby.query(slot)).toBe("0");
  const copies = standby.logs().split("a user asked for a new copy").length - 1;
  expect(copies).toBe(1);
  await ask("rewind", primary);
  await ask("reinitialize", primary);
  expect((await answers()).slice(2)).toEqual([
    `failed: ${primary.id} is the primary`,
    `failed: ${primary.id} is the primary`,
  ]);
}, 300_000);

test("a former primary is rewound as asked, and the answer says so", async () => {
  const old = await begin({ size: 2 });
  const winner = await diverge(old);
  await group.ask("rewind", { instance_id: old.id });
  group.returnHost(old);
  expect(await answers()).toEqual([`done: rewound to the history of ${winner.id}`]);
  await streams(old, "SELECT sum(n) FROM t WHERE pg_is_in_recovery()", "3");
  expect(said(old, "rewound: the log")).toBe(true);
}, 300_000);

test("a rewind that cannot be done is told, and nothing else is done in its place", async () => {
  const primary = await begin({ size: 2 });
  const standby = group.at(1);
  await primary.query("CREATE TABLE t AS SELECT 1 AS n");
  await streams(standby, "SELECT sum(n) FROM t WHERE pg_is_in_recovery()", "1");
  // The primary takes connections of its standby's receiver, and of nobody who would compare the two.
  const hba = group.config(standby).hba.filter((line) => !/hostssl.* all +pgedge/.test(line));
  const before = await primary.query("SELECT pg_conf_load_time()");
  await primary.configure(
    group.config(primary, { hba: ["host postgres pgedge all reject", ...hba] }),
  );
  await eventually("the refusal", async () => {
    const rule =
      "SELECT FROM pg_hba_file_rules WHERE database = '{postgres}' AND auth_method = 'reject'";
    const read = `SELECT pg_conf_load_time() > '${before}' AND EXISTS (${rule})`;
    return (await primary.query(read)) === "t";
  });
  await group.ask("rewind", { instance_id: standby.id });
  expect((await answers())[0]).toMatch(/^failed: .*rejects/);
  await streams(standby, "SELECT sum(n) FROM t WHERE pg_is_in_recovery()", "1");
  expect(kept(standby)).toEqual([]);
}, 300_000);
