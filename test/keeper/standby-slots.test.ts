// Slots of the members on a primary and on a standby, and those of others beside them.
import { afterEach, expect, test } from "bun:test";
import { parseLsn } from "../../src/postgres/lsn.ts";
import { memberSlotName } from "../../src/postgres/replication.ts";
import { completeServers, type Member, never, StandbyBench } from "../support/standby-bench.ts";

let bench: StandbyBench;
afterEach(() => bench.close());

const ensure = async (member: Member, ...wanted: { name: string; confirmedLsn?: bigint }[]) =>
  member.mechanics.ensureSlots(await member.session(), wanted, never);
const names = (member: Member) =>
  member.value("SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots");
const restart = async (member: Member, name: string) =>
  parseLsn(
    await member.value(`SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '${name}'`),
  ) ?? 0n;

for (const server of completeServers()) {
  test(`PostgreSQL ${server.major}: slots follow the members, and nobody else's are touched`, async () => {
    bench = await StandbyBench.open(server);
    const primary = await bench.primary();
    const standby = await bench.standby(primary);
    const own = memberSlotName(standby.id);
    const [gone, other] = [memberSlotName("shop-n1-gone"), memberSlotName("shop-n1-other")];
    await primary.sql("SELECT pg_create_physical_replication_slot('barman', true)");
    await primary.sql("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')");
    expect(await ensure(primary, { name: own }, { name: gone }, { name: "kept_by_user" })).toEqual({
      created: [gone, "kept_by_user"],
      dropped: [],
      advanced: [],
      problems: [],
    });
    const changes = await ensure(primary, { name: own }, { name: other }, { name: "no-slot" });
    expect(changes).toMatchObject({ created: [other], dropped: [gone] });
    expect(changes.problems.join()).toContain("no-slot");
    expect(await names(primary)).toBe(`barman,kept_by_user,${own},${other},theirs`);
    // The own slot is in use, so that it stays although it is wanted no more.
    expect(await ensure(primary, { name: other })).toMatchObject({ dropped: [] });
    expect((await ensure(primary, { name: "theirs" })).problems.join()).toContain("logical");

    expect(await ensure(standby, { name: other })).toMatchObject({ created: [other] });
    const before = await restart(standby, other);
    await primary.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    await standby.untilCaughtUp(primary);
    const half = before + 0x1000n;
    expect(await ensure(standby, { name: other, confirmedLsn: half })).toMatchObject({
      advanced: [other],
    });
    expect(await restart(standby, other)).toBe(half);
    // H79: what the member has and this standby has not replayed yet is not skipped; and it never goes back.
    const far = { name: other, confirmedLsn: half + 0x1_0000_0000n };
    expect(await ensure(standby, far)).toMatchObject({ advanced: [other], problems: [] });
    const replayed = parseLsn(await standby.value("pg_last_wal_replay_lsn()")) ?? 0n;
    expect(await restart(standby, other)).toBeLessThanOrEqual(replayed);
    expect(await ensure(standby, { name: other, confirmedLsn: half })).toMatchObject({
      advanced: [],
    });
  }, 180_000);
}

test("H76: a slot that lost its log is made anew", async () => {
  bench = await StandbyBench.open(completeServers()[0] ?? { major: 15, binDir: "" });
  const primary = await bench.primary({
    max_slot_wal_keep_size: "1MB",
    wal_keep_size: "0",
    min_wal_size: "32MB",
    max_wal_size: "32MB",
  });
  const name = memberSlotName("shop-n1-away");
  await ensure(primary, { name });
  for (let n = 0; n < 4; n++) {
    await primary.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000))");
    await primary.sql("SELECT pg_switch_wal()");
    await primary.sql("CHECKPOINT");
  }
  const status = `SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${name}'`;
  expect(await primary.value(status)).toBe("lost");
  expect(await ensure(primary, { name })).toMatchObject({ created: [name], dropped: [name] });
  expect(await primary.value(status)).toBe("reserved");
}, 180_000);
