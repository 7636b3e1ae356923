// Commits that wait for standbys: none that was acknowledged is lost, whoever dies.
import { afterEach, expect, test } from "bun:test";
import { GroupWriter } from "../support/group-writer.ts";
import { KeptGroup, strict } from "../support/kept-group.ts";

let group: KeptGroup;
afterEach(() => group.close(), 30_000);

test.each([
  ["priority", strict],
  ["quorum", { ...strict, mode: "quorum", selection: "any" } as const],
])(
  "%s: the loss of the primary loses no acknowledged commit",
  async (_name, synchronous) => {
    group = await KeptGroup.prepare({ settings: { synchronous } });
    group.start();
    let primary = await group.primary();
    await group.standbys(primary);
    await group.electable();
    const writer = new GroupWriter(group);
    await writer.start(primary);
    await writer.more(30);
    for (let round = 0; round < 2; round++) {
      const lost = primary;
      await group.loseHost(lost);
      primary = await group.primary(lost);
      await writer.more(20);
      group.returnHost(lost);
      await group.standbys(primary);
      await group.electable();
    }
    const gap = await writer.stop();
    console.log(`${_name}: gap ${gap} ms, voters ${(await group.record()).voters.join(", ")}`);
    expect(await writer.lost(primary)).toEqual([]);
    expect(writer.acknowledged.length).toBeGreaterThan(60);
  },
  400_000,
);

test("a store that is gone does not stop a primary whose members all agree", async () => {
  group = await KeptGroup.prepare();
  group.start();
  const primary = await group.primary();
  await group.standbys(primary);
  const writer = new GroupWriter(group);
  await writer.start(primary);
  await writer.more(30);
  const store = group.rqlited.rqlited.identity();
  if (!store) throw new Error("rqlited does not run");
  process.kill(store.pid, "SIGSTOP");
  try {
    await Bun.sleep(15_000);
    await writer.more(20);
  } finally {
    process.kill(store.pid, "SIGCONT");
  }
  await Bun.sleep(5_000);
  await writer.more(20);
  const gap = await writer.stop();
  console.log(`store gone for 15 s: gap ${gap} ms`);
  expect(gap).toBeLessThan(1_500);
  expect((await group.lease()).epoch).toBe(1);
}, 240_000);

test("a strict node is set up before it has a standby, and its standbys get all of it", async () => {
  group = await KeptGroup.prepare({ size: 2, settings: { synchronous: strict } });
  const [first, second] = [group.at(0), group.at(1)];
  first.startFencer();
  first.startKeeper();
  await group.primary();
  const request = { kind: "database", name: "app", owner: null, extensions: [] } as const;
  expect(await first.request(request)).toMatchObject({ ok: true });
  second.startFencer();
  second.startKeeper();
  await group.standbys(first);
  await group.electable();
  await group.everywhere("SELECT count(*) FROM pg_database WHERE datname = 'app'", "1");
  expect(await first.request({ ...request, name: "later" })).toMatchObject({ ok: true });
  expect(first.logs()).not.toContain("request will be tried again");
}, 120_000);
