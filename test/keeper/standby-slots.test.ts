// Slots of the members on a primary and on a standby, and those of others beside them.
import { afterEach, expect, test } from "bun:test";
import { ensureSlots } from "../../agents/keeper/standby/slots.ts";
import { parseLsn } from "../../src/postgres/lsn.ts";
import { memberSlotName } from "../../src/postgres/replication.ts";
import { completeServers, type Member, never, StandbyBench } from "../support/standby-bench.ts";

let bench: StandbyBench;
afterEach(() => bench.close());

const ensure = async (member: Member, ...wanted: { name: string; confirmedLsn?: bigint }[]) =>
  ensureSlots(await member.session(), wanted, never);
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
      unprotected: ["theirs"],
      protects: false,
      stranded: [],
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

for (const server of completeServers()) {
  test(`PostgreSQL ${server.major}: H77: slots of a time as primary do not keep the next primary from vacuuming`, async () => {
    bench = await StandbyBench.open(server);
    const old = await bench.primary({
      hot_standby_feedback: "on",
      wal_receiver_status_interval: "1s",
    });
    const winner = await bench.standby(old);
    const [ofOld, ofWinner] = [memberSlotName(old.id), memberSlotName(winner.id)];
    const held = async (member: Member, name: string) =>
      Number(
        await member.value(
          `SELECT COALESCE(age(xmin), -1) FROM pg_replication_slots WHERE slot_name = '${name}'`,
        ),
      );
    await old.sql("CREATE TABLE t (n int)");
    await old.until("what the standby sees", async () =>
      (await held(old, ofWinner)) >= 0 ? true : undefined,
    );
    // Somebody else's, which has a user for a while.
    await old.sql("SELECT pg_create_physical_replication_slot('theirs', true)");
    await winner.sql("ALTER SYSTEM SET primary_slot_name = 'theirs'");
    await winner.sql("SELECT pg_reload_conf()");
    await old.until("what the user of the foreign slot sees", async () =>
      (await held(old, "theirs")) >= 0 ? true : undefined,
    );
    await ensure(winner, { name: ofOld });
    await old.stop("fast");
    await winner.mechanics.letGo(await winner.session(), never);
    const promoted = await winner.mechanics.promote(
      await winner.session(),
      { timeline: 2, stallMs: 10_000 },
      never,
    );
    expect(promoted.kind).toBe("promoted");
    await old.mechanics.prepareStandby();
    await old.start({ follow: winner });
    await old.untilStreaming();
    for (let n = 0; n < 20; n++) await winner.sql(`INSERT INTO t VALUES (${n})`);
    await old.untilCaughtUp(winner);
    await winner.until("what the old primary passes on", async () =>
      (await held(winner, ofOld)) >= 20 ? true : undefined,
    );
    // Who has not come as far as the new slot would begin keeps the log that there is.
    const behind = { name: ofWinner, confirmedLsn: 1n };
    const before = await ensure(old, behind);
    expect(before).toMatchObject({ created: [], dropped: [] });
    expect(before.problems).toEqual([expect.stringMatching(/^slot theirs keeps the primary from/)]);
    expect(await held(old, ofWinner)).toBeGreaterThanOrEqual(20);
    await old.sql("SELECT pg_drop_replication_slot('theirs')");

    const confirmedLsn = parseLsn(await winner.value("pg_current_wal_flush_lsn()")) ?? 0n;
    const wanted = { name: ofWinner, confirmedLsn };
    const changes = await ensure(old, wanted);
    expect(changes).toMatchObject({ created: [ofWinner], dropped: [ofWinner], problems: [] });
    expect(await names(old)).toBe(ofWinner);
    expect(await restart(old, ofWinner)).toBeLessThanOrEqual(confirmedLsn);
    await winner.until("rows that nobody sees are no longer held", async () => {
      await winner.sql("INSERT INTO t VALUES (0)");
      const age = await held(winner, ofOld);
      return age >= 0 && age < 20 ? true : undefined;
    });
    expect(await ensure(old, wanted)).toMatchObject({ created: [], dropped: [] });
    expect(await names(old)).toBe(ofWinner);
  }, 180_000);
}

for (const server of completeServers().filter(({ major }) => major >= 17)) {
  test(`PostgreSQL ${server.major}: a logical slot made for failover goes on behind the new primary`, async () => {
    bench = await StandbyBench.open(server);
    const old = await bench.primary();
    const winner = await bench.standby(old);
    await old.sql("CREATE TABLE t (n int)");
    await old.sql(
      "SELECT pg_create_logical_replication_slot('feed', 'test_decoding', false, false, true)",
    );
    const waits = { synchronizedStandbySlots: [memberSlotName(winner.id)] };
    await old.reconfigure({ role: waits });
    const slots = { name: memberSlotName(winner.id) };
    expect(await ensure(old, slots)).toMatchObject({ unprotected: [], protects: true });
    await old.sql("INSERT INTO t VALUES (1)");
    const ready = `SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'feed'`;
    const take = "SELECT pg_logical_slot_get_changes('feed', NULL, NULL)";
    // The copy is ready once the slot has moved past what the standby kept when it began.
    await winner.until("the slot's copy", async () => {
      await old.sql("SELECT pg_log_standby_snapshot()");
      await old.sql(take);
      const [row] = await winner.sql(`SELECT (${ready}) AS ready`);
      return row?.ready === true ? true : undefined;
    });
    await old.sql("INSERT INTO t VALUES (3)");
    await old.stop("fast");
    await winner.reconfigure({});
    await winner.mechanics.letGo(await winner.session(), never);
    const allotted = { timeline: 2, stallMs: 10_000 };
    const outcome = await winner.mechanics.promote(await winner.session(), allotted, never);
    expect(outcome.kind).toBe("promoted");
    await winner.sql("INSERT INTO t VALUES (2)");
    const changes =
      "SELECT string_agg(data, ' ') FROM pg_logical_slot_get_changes('feed', NULL, NULL)";
    const said = await winner.value(changes);
    expect(said).toContain("n[integer]:3");
    expect(said).toContain("n[integer]:2");
    // The old primary comes back with its own slot of that name, which gives way to the copy once there is a primary.
    await old.mechanics.prepareStandby();
    await winner.ensureSlots();
    await old.start({});
    expect(await ensure(old, slots)).toMatchObject({ dropped: [], stranded: ["feed"] });
    await old.reconfigure({ follow: winner, role: { copySlots: false } });
    await old.untilStreaming();
    // A copy begins no earlier than the oldest slot there. That of the winner still is where it was in the middle of the
    // shutdown, which may be no beginning of a record: decoding would fail there.
    const confirmedLsn = parseLsn(await winner.value("pg_current_wal_flush_lsn()")) ?? 0n;
    expect(await ensure(old, { ...slots, confirmedLsn })).toMatchObject({
      dropped: ["feed", slots.name],
      created: [slots.name],
      stranded: [],
    });
    await old.reconfigure({ follow: winner });
    await old.until("the slot's copy on the old primary", async () => {
      await winner.sql("SELECT pg_log_standby_snapshot()");
      await winner.sql(take);
      const [row] = await old.sql(`SELECT (${ready}) AS ready`);
      return row?.ready === true ? true : undefined;
    });
    expect((await ensure(old, slots)).dropped).toEqual([]);
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
