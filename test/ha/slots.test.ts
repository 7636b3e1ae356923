// Slots in a group that runs: members', and logical ones that are to outlive their primary.
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { memberSlotName } from "../../src/postgres/replication.ts";
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
