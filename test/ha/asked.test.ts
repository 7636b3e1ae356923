// What a person asks for: a pause in which nothing happens by itself, a failover all the same, and a new copy.
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { isPrimary, KeptGroup } from "../support/kept-group.ts";
import { type KeptInstance, until } from "../support/kept-instance.ts";

let group: KeptGroup;
afterEach(() => group.close(), 60_000);

async function begin(): Promise<KeptInstance> {
  group = await KeptGroup.prepare();
  group.start();
  const primary = await group.primary();
  await group.standbys(primary);
  await primary.query("CREATE TABLE t AS SELECT 1 AS n");
  await group.everywhere("SELECT n FROM t", "1");
  return primary;
}

/** Patroni's word for it, as every member says it. */
async function pauseIs(wanted: boolean): Promise<void> {
  for (const { id, url } of group.instances) {
    await until(
      `the pause of ${id} to be ${wanted}`,
      async () => {
        const signal = AbortSignal.timeout(1_000);
        const answer = await fetch(`${url}/cluster`, { signal }).catch(() => undefined);
        const cluster: { pause?: boolean } = (await answer?.json().catch(() => undefined)) ?? {};
        return (cluster.pause ?? false) === wanted ? true : undefined;
      },
      30_000,
    );
  }
}

/** Twice as long as it takes without a pause. */
async function staysWithout(primary: (instance: KeptInstance) => Promise<boolean>): Promise<void> {
  const endMs = systemClock.monotonicMs() + 2 * group.settings.ttl_ms;
  while (systemClock.monotonicMs() < endMs) {
    for (const instance of group.instances) expect(await primary(instance)).toBe(false);
    await systemClock.sleep(100);
  }
}

test("during a pause nothing is started or promoted, a failover that is asked for is done, and then all comes back", async () => {
  const primary = await begin();
  const pause = await group.ask("pause", {});
  await pauseIs(true);
  await primary.killPostgres();
  await staysWithout(isPrimary);
  // Somebody asks, so it is done.
  const chosen = group.at(2);
  await group.ask("failover", { from: null, to: chosen.id });
  expect((await group.primary(primary)).id).toBe(chosen.id);
  await chosen.query("INSERT INTO t VALUES (2)");
  await group.settle(pause);
  await pauseIs(false);
  await group.everywhere("SELECT sum(n) FROM t", "3");
  await group.standbys(chosen);
}, 240_000);

test("a primary that cannot renew its lease ends during a pause too, and comes back", async () => {
  const primary = await begin();
  const pause = await group.ask("pause", {});
  await pauseIs(true);
  const pid = primary.keeper?.pid ?? 0;
  process.kill(pid, "SIGSTOP");
  await until(
    "the fencer to end it",
    async () => ((await primary.query("SELECT 1").catch(() => undefined)) ? undefined : true),
    30_000,
  );
  await staysWithout(isPrimary);
  process.kill(pid, "SIGCONT");
  await group.settle(pause);
  await group.standbys(await group.primary());
  await group.everywhere("SELECT n FROM t", "1");
}, 240_000);

test("a new copy takes the place of damaged data", async () => {
  const primary = await begin();
  const standby = group.at(1);
  const system = "SELECT oid FROM pg_database WHERE datname = 'postgres'";
  const oid = await standby.query(system);
  const path = await standby.query("SELECT pg_relation_filepath('t')");
  expect(path).toStartWith(`base/${oid}/`);
  await Bun.write(`${standby.file.layout.data_dir}/${path}`, new Uint8Array(8_192).fill(7));
  await group.ask("reinitialize", { instance_id: standby.id, from: null });
  expect(await group.settledIntents()).toEqual(["done"]);
  await group.standbys(primary);
  await standby.query("SELECT n FROM t").then((answer) => expect(answer).toBe("1"));
  expect(standby.logs()).toContain("a user asked for a new copy");
}, 240_000);
