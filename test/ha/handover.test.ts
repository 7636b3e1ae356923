// Who takes over, how fast, and what of the acknowledged is there afterwards.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { systemClock } from "../../src/base/clock.ts";
import { GroupWriter } from "../support/group-writer.ts";
import { KeptGroup } from "../support/kept-group.ts";
import { type KeptInstance, until } from "../support/kept-instance.ts";

let group: KeptGroup;
let writer: GroupWriter;
let primary: KeptInstance;

beforeEach(async () => {
  group = await KeptGroup.prepare();
  group.start();
  primary = await group.primary();
  await group.standbys(primary);
  writer = new GroupWriter(group);
  await writer.start(primary);
  await writer.more(20);
}, 180_000);
afterEach(() => group.close(), 30_000);

const postmaster = (instance: KeptInstance) =>
  Number(readFileSync(`${instance.file.layout.data_dir}/postmaster.pid`, "utf8").split("\n")[0]);

test("a switchover moves the primary to the chosen standby, loses nothing, and the old one follows", async () => {
  const gaps: number[] = [];
  for (const index of [1, 2, 0]) {
    const to = group.at(index);
    await group.ask("switchover", { from: null, to: to.id });
    primary = await group.primary(primary);
    expect(primary.id).toBe(to.id);
    await writer.more(20);
    await group.standbys(primary);
    gaps.push(writer.longestGapMs());
  }
  const gap = await writer.stop();
  console.log(`switchover: longest gap ${gap} ms (${gaps.join(", ")})`);
  expect(await writer.lost(primary)).toEqual([]);
  expect(await group.settledIntents()).toEqual(["done", "done", "done"]);
  await group.everywhere("SELECT count(*) >= 60 FROM written", "t");
}, 240_000);

test("a standby whose row in the store is old takes over when it is asked to", async () => {
  const to = group.at(1);
  const frozen = `CREATE TRIGGER frozen BEFORE UPDATE ON ha_members WHEN NEW.instance_id = '${to.id}'
                  BEGIN SELECT RAISE(IGNORE); END`;
  await group.read(frozen);
  // Longer than anybody is believed to live without a word.
  await Bun.sleep(7_000);
  await group.ask("switchover", { from: null, to: to.id });
  expect(await group.settledIntents()).toEqual(["done"]);
  primary = await group.primary(primary);
  expect(primary.id).toBe(to.id);
  await writer.more(20);
  await writer.stop();
  expect(await writer.lost(primary)).toEqual([]);
}, 240_000);

test("a postmaster that is killed is started again in place", async () => {
  process.kill(postmaster(primary), "SIGKILL");
  await writer.more(20);
  const gap = await writer.stop();
  console.log(`kill -9 of the postmaster: gap ${gap} ms`);
  expect(await writer.lost(primary)).toEqual([]);
  await group.standbys(primary);
}, 240_000);

test("a host that is lost is replaced when its promise is over", async () => {
  await group.loseHost(primary);
  const lost = primary;
  primary = await group.primary(lost);
  await writer.more(20);
  const gap = await writer.stop();
  console.log(`loss of the host: gap ${gap} ms`);
  expect(gap).toBeLessThan(8_000);
  group.returnHost(lost);
  await group.standbys(primary);
  await group.everywhere("SELECT count(*) > 20 FROM written", "t");
}, 240_000);

test("a frozen keeper does not leave a primary behind", async () => {
  primary.keeper?.kill("SIGSTOP");
  const old = primary;
  primary = await group.primary(old);
  await writer.more(20);
  await writer.stop();
  const overlap = writer.overlaps();
  expect(overlap).toEqual([]);
  old.keeper?.kill("SIGCONT");
  await group.standbys(primary);
}, 240_000);

test("a killed keeper is replaced without an outage", async () => {
  // A keeper run from its sources on a loaded machine may need some seconds to start.
  group.settings = { ...group.settings, ttl_ms: 30_000, retry_ms: 15_000 };
  await group.configure();
  await until("a longer promise", async () =>
    (await group.read("SELECT ttl_ms FROM ha_leases"))[0]?.[0] === 16_500 ? true : undefined,
  );
  const before = writer.longestGapMs();
  await primary.killKeeper();
  await systemClock.sleep(300);
  primary.startKeeper();
  await systemClock.sleep(4_000);
  await writer.more(20);
  const gap = await writer.stop();
  console.log(`keeper killed and replaced: gap ${gap} ms, before ${before} ms`);
  expect(gap).toBeLessThan(500);
  expect((await group.primary()).id).toBe(primary.id);
  expect((await group.lease()).epoch).toBe(1);
}, 240_000);

test("a frozen fencer ends the lease: the keeper kills what the fencer no longer would", async () => {
  primary.fencer?.kill("SIGSTOP");
  const old = primary;
  primary = await group.primary(old);
  await writer.more(20);
  await writer.stop();
  expect(writer.overlaps()).toEqual([]);
  old.fencer?.kill("SIGCONT");
  await group.standbys(primary);
}, 240_000);

test("a frozen postmaster is noticed by new connections, and PostgreSQL is started again", async () => {
  const frozen = postmaster(primary);
  process.kill(frozen, "SIGSTOP");
  await until("another postmaster", async () => {
    const now = await group.primary();
    return postmaster(now) === frozen ? undefined : true;
  });
  await writer.more(20);
  await writer.stop();
  primary = await group.primary();
  expect(await writer.lost(primary)).toEqual([]);
  await group.standbys(primary);
}, 240_000);

test("an instance that is to stop gives the lease away first", async () => {
  const old = primary;
  await old.configure(group.config(old, { run: "stopped" }));
  primary = await group.primary(old);
  await writer.more(20);
  const gap = await writer.stop();
  console.log(`ordered stop: gap ${gap} ms`);
  expect(await writer.lost(primary)).toEqual([]);
  await old.untilReport((report) => report.postgres_state === "stopped");
  await old.configure(group.config(old));
  await group.standbys(primary);
}, 240_000);

test("a keeper whose host goes down gives the lease away and ends", async () => {
  const old = primary;
  old.keeper?.kill("SIGUSR1");
  primary = await group.primary(old);
  expect(await old.keeper?.exited).toBe(0);
  await writer.more(20);
  const gap = await writer.stop();
  console.log(`host going down: gap ${gap} ms`);
  expect(await writer.lost(primary)).toEqual([]);
  old.startKeeper();
  await group.standbys(primary);
}, 240_000);
