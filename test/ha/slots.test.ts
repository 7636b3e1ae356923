// Slots in a group that runs: members', and logical ones that are to outlive their primary.
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { memberSlotName, type PermanentSlot } from "../../src/postgres/replication.ts";
import { isPrimary, KeptGroup } from "../support/kept-group.ts";
import type { KeptInstance } from "../support/kept-instance.ts";
import { completeServers } from "../support/standby-bench.ts";

let group: KeptGroup;
afterEach(() => group.close(), 60_000);

async function becomes(instance: KeptInstance, sql: string, answer: string): Promise<void> {
  const endMs = systemClock.monotonicMs() + 60_000;
  let last = "";
  while (last !== answer) {
    last = await instance.query(sql).catch((error) => String(error));
    if (systemClock.monotonicMs() > endMs) {
      expect([instance.id, sql, last]).toEqual([instance.id, sql, answer]);
    }
    await systemClock.sleep(100);
  }
}

async function successor(of: KeptInstance): Promise<KeptInstance> {
  const endMs = systemClock.monotonicMs() + 60_000;
  for (;;) {
    for (const one of group.instances) if (one !== of && (await isPrimary(one))) return one;
    if (systemClock.monotonicMs() > endMs) throw new Error("nobody took over");
    await systemClock.sleep(100);
  }
}

for (const server of completeServers().filter(({ major }) => major === 17)) {
  test(`PostgreSQL ${server.major}: a logical slot made for failover outlives its primary, and nobody who is away stops it`, async () => {
    group = await KeptGroup.prepare({ server, size: 2 });
    group.start();
    const [first, second] = [group.at(0), group.at(1)];
    const names = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots";
    await becomes(first, names, memberSlotName(second.id));
    await becomes(second, names, memberSlotName(first.id));
    const limit =
      "SELECT setting::int >= 1024 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'";
    expect(await first.query(limit)).toBe("t");
    await becomes(first, "SHOW synchronized_standby_slots", "");
    await first.query("CREATE TABLE t (n int)");
    await first.query(
      "SELECT pg_create_logical_replication_slot('feed', 'test_decoding', false, false, true)",
    );
    await becomes(first, "SHOW synchronized_standby_slots", memberSlotName(second.id));
    await first.query("INSERT INTO t VALUES (1)");
    const take =
      "SELECT string_agg(data, ' ') FROM pg_logical_slot_get_changes('feed', NULL, NULL)";
    const copied = async (from: KeptInstance, to: KeptInstance) => {
      const ready =
        "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'feed'";
      const endMs = systemClock.monotonicMs() + 60_000;
      while ((await to.query(ready).catch(() => "")) !== "t") {
        await from.query("SELECT pg_log_standby_snapshot()");
        await from.query(take);
        if (systemClock.monotonicMs() > endMs) throw new Error(`${to.id} has no copy of the slot`);
        await systemClock.sleep(500);
      }
    };
    await copied(first, second);
    await first.query("INSERT INTO t VALUES (7)");
    await becomes(second, "SELECT count(*) FROM t", "2");
    await group.loseHost(first);
    const winner = await successor(first);
    expect(await winner.query(take)).toContain("n[integer]:7");
    // H81: the standby that is away is not waited for.
    await becomes(winner, "SHOW synchronized_standby_slots", "");
    await winner.query("INSERT INTO t VALUES (8)");
    expect(await winner.query(take)).toContain("n[integer]:8");
    group.returnHost(first);
    await becomes(winner, "SHOW synchronized_standby_slots", memberSlotName(first.id));
    // H77: its own slot of that name gives way to a copy.
    await copied(winner, first);
  }, 300_000);
}

for (const server of completeServers().filter(({ major }) => [15, 16, 17].includes(major))) {
  test(`PostgreSQL ${server.major}: permanent slots are on every member, move with the primary's, and are there after a failover`, async () => {
    const archive: PermanentSlot = { name: "archive", type: "physical" };
    const feed: PermanentSlot = {
      name: "feed",
      type: "logical",
      plugin: "test_decoding",
      database: "postgres",
    };
    const slots = server.major >= 16 ? [archive, feed] : [archive];
    group = await KeptGroup.prepare({ server, size: 2 });
    group.start();
    const [first, second] = [group.at(0), group.at(1)];
    await group.standbys(first);
    await group.configure({ slots });
    const all = (of: KeptInstance) =>
      [...slots.map(({ name }) => name), memberSlotName(of.id)].sort().join();
    const names = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots";
    await becomes(first, names, all(second));
    const at = (slot: string) =>
      `SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`;
    await becomes(
      second,
      "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'archive'",
      "1",
    );
    await first.query("CREATE TABLE t (n int)");

    // The standby's copy goes where the consumer moved the primary's.
    await first.query("INSERT INTO t SELECT generate_series(1, 10000)");
    const here = await first.query("SELECT pg_current_wal_flush_lsn()");
    await first.query(`SELECT pg_replication_slot_advance('archive', '${here}')`);
    await becomes(second, `SELECT (${at("archive")}) = '${here}'`, "t");

    const take =
      "SELECT string_agg(data, ' ') FROM pg_logical_slot_get_changes('feed', NULL, NULL)";
    const feedOf = (what: string) =>
      `SELECT ${what} FROM pg_replication_slots WHERE slot_name = 'feed'`;
    if (server.major === 16) {
      // Its keeper made one, with nothing but what the primary's keeper does for it, and moves it to the primary's.
      await becomes(second, feedOf("count(*)"), "1");
      await first.query("INSERT INTO t VALUES (-5)");
      await first.query(take);
      const there = await first.query(feedOf("confirmed_flush_lsn"));
      await becomes(second, feedOf(`confirmed_flush_lsn = '${there}'`), "t");
    } else if (server.major >= 17) {
      const endMs = systemClock.monotonicMs() + 90_000;
      while ((await second.query(feedOf("synced AND NOT temporary"))) !== "t") {
        await first.query("SELECT pg_log_standby_snapshot()");
        await first.query(take);
        if (systemClock.monotonicMs() > endMs) throw new Error("the slot has no copy");
        await systemClock.sleep(500);
      }
    }
    await first.query("INSERT INTO t VALUES (-7)");
    await becomes(second, "SELECT count(*) FROM t WHERE n = -7", "1");
    await group.loseHost(first);
    const winner = await successor(first);
    await becomes(winner, names, all(first));
    if (server.major >= 16) {
      const taken = await winner.query(take);
      expect(taken).toContain("n[integer]:-7");
      expect(taken).not.toContain("n[integer]:-5");
    }
    const reported = await winner.untilReport(
      (one) => one.role === "primary" && one.slots?.rows.length === slots.length + 1,
    );
    expect(reported.slots?.rows[0]).toMatchObject({ name: "archive", wal_status: "reserved" });

    // One that left the spec while an instance was away is dropped there too, when it comes back.
    await group.configure({ slots: slots.slice(1) });
    const left = (of: KeptInstance) => all(of).replace("archive,", "");
    await becomes(winner, names, left(first));
    group.returnHost(first);
    await group.standbys(winner);
    if (server.major >= 17) {
      await becomes(
        first,
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'archive'",
        "0",
      );
    } else {
      await becomes(first, names, left(winner));
    }
    await group.configure({});
    for (const [one, other] of [[first, winner] as const, [winner, first] as const]) {
      await becomes(one, names, memberSlotName(other.id));
    }
  }, 400_000);
}
