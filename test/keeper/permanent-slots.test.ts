// Slots that an instance keeps for others: made, read back, reported, dropped, and never those of somebody else.
import { afterEach, expect, test } from "bun:test";
import type { PermanentSlot } from "../../src/postgres/replication.ts";
import { KeptInstance, type TestServer, until } from "../support/kept-instance.ts";
import { completeServers } from "../support/standby-bench.ts";

const servers = completeServers().filter(({ major }) => [15, 17].includes(major));
const physical: PermanentSlot = { name: "archive", type: "physical" };
const feed: PermanentSlot = {
  name: "feed",
  type: "logical",
  plugin: "test_decoding",
  database: "postgres",
};

let instance: KeptInstance;
afterEach(() => instance.close(), 60_000);

const names = () =>
  instance.query("SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots");
const becomes = (answer: string) =>
  until(answer, async () => ((await names()) === answer ? true : undefined));
const parameters = { wal_level: "logical" };

/** Making data can take long where other tests run. */
async function start(server: TestServer | undefined): Promise<void> {
  instance = await KeptInstance.prepare(server);
  const config = instance.config({ parameters });
  await instance.configure(config);
  instance.startFencer();
  instance.startKeeper();
  const applied = async () => (await instance.report())?.applied_generation === config.generation;
  await until("PostgreSQL", async () => ((await applied()) ? true : undefined), 90_000);
}

for (const server of servers) {
  test(`PostgreSQL ${server.major}: a lone instance keeps its permanent slots, and no others`, async () => {
    await start(server);
    await instance.query("SELECT pg_create_physical_replication_slot('theirs', true)");
    const slots = [physical, feed];
    await instance.apply(instance.config({ parameters, slots }));
    const made = await instance.request({ kind: "slots", slots });
    expect(made).toMatchObject({ ok: true });
    expect(await names()).toBe("archive,feed,theirs");
    const { slots: reported } = await instance.untilReport((one) => one.slots?.rows.length === 3);
    expect(reported?.rows).toMatchObject([
      { name: "archive", type: "physical", active: false, wal_status: "reserved" },
      { name: "feed", plugin: "test_decoding", failover: server.major >= 17, synced: false },
      { name: "theirs", type: "physical" },
    ]);
    expect(reported?.rows[0]?.retained_bytes).toBeGreaterThanOrEqual(0);

    // One that vanished is made again without anybody asking.
    await instance.query("SELECT pg_drop_replication_slot('archive')");
    await becomes("archive,feed,theirs");

    // What is in use is not dropped; the answer says who uses it.
    const receiver = instance.receive("archive");
    await until("the receiver", async () => {
      const active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'archive'";
      return (await instance.query(active)) === "t" ? true : undefined;
    });
    await instance.apply(instance.config({ parameters, slots: [feed] }));
    const refused = await instance.request({ kind: "slots", slots: [feed] });
    expect(refused.ok).toBe(false);
    expect(refused.detail).toMatch(/slot archive is in use by pgedge \(pg_receivewal\)/);
    receiver.kill();
    await receiver.exited;
    await until("its end", async () => {
      const { ok } = await instance.request({ kind: "slots", slots: [feed] });
      return ok ? true : undefined;
    });
    expect(await names()).toBe("feed,theirs");

    // A keeper that was away when a slot left the spec knows that it was its own.
    await instance.killKeeper();
    await instance.configure(instance.config({ parameters }));
    instance.startKeeper();
    await becomes("theirs");
  }, 120_000);
}

test("a slot that is not as wanted stays, and the answer says what is wrong", async () => {
  await start(servers.at(-1));
  await instance.query("SELECT pg_create_physical_replication_slot('feed', true)");
  const ask = async (slot: PermanentSlot) => instance.request({ kind: "slots", slots: [slot] });
  expect(await ask(feed)).toEqual({
    ok: false,
    detail: "slot feed is a physical one that somebody else made",
  });
  await instance.query("SELECT pg_drop_replication_slot('feed')");
  await instance.query("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')");
  expect((await ask(feed)).detail).toBe(
    "slot feed is for pgoutput in postgres, not for test_decoding in postgres",
  );
  const nowhere = await ask({ ...feed, name: "other", database: "nowhere" });
  expect(nowhere.detail).toContain('database "nowhere" does not exist');
  const without = await ask({ ...feed, name: "other", plugin: "no_plugin" });
  expect(without.detail).toContain("no_plugin");
  expect(await names()).toBe("feed");
}, 120_000);
