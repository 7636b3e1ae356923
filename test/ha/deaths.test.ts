// A keeper dies right before or after a step of a change of primary, at every step, and comes back half a second later.
// Commits wait for a standby: none that was acknowledged may be lost, and the change comes to its end.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { GroupWriter } from "../support/group-writer.ts";
import { isPrimary, KeptGroup, strict } from "../support/kept-group.ts";
import { type KeptInstance, until } from "../support/kept-instance.ts";

const secondsMax = 240_000;
const restartAfterMs = 500;
/** Steps of whoever takes over from a primary that is lost with its host. */
const taking = [
  "before:vote",
  "after:vote",
  "before:acquire",
  "after:acquire",
  "before:promote",
  "before:promotion",
  "after:promotion",
];
/** Steps of a primary that gives its place to another, and of who takes it. */
const giving = ["before:release", "after:release"];
const given = ["after:acquire", "after:promotion"];

let group: KeptGroup;
let writer: GroupWriter;

beforeAll(async () => {
  // Long enough for a keeper that starts on a busy machine: its primary must not be ended meanwhile.
  group = await KeptGroup.prepare({ settings: { synchronous: strict, ttl_ms: 8_000 } });
  group.start();
  const primary = await group.primary();
  await group.standbys(primary);
  writer = new GroupWriter(group);
  await writer.start(primary);
}, secondsMax);
afterAll(() => group.close(), 60_000);

async function redundant(primary: KeptInstance): Promise<void> {
  await group.standbys(primary);
  await group.electable();
}

/** Starts the keepers of these instances anew, so that the next one who comes to the point dies there. */
async function endanger(instances: readonly KeptInstance[], point: string): Promise<void> {
  for (const instance of instances) {
    await instance.killKeeper();
    instance.startKeeper({ PGHERD_FAULT: point });
    await until(`the keeper of ${instance.id}`, () => answers(instance), 30_000);
  }
}

async function answers(instance: KeptInstance): Promise<true | undefined> {
  const signal = AbortSignal.timeout(1_000);
  const answer = await fetch(`${instance.url}/readiness`, { signal }).catch(() => undefined);
  return answer?.ok ? true : undefined;
}

/** Waits for another primary, and brings keepers back that died; answers who died. */
async function changed(from: KeptInstance): Promise<{ to: KeptInstance; died: string[] }> {
  const died: string[] = [];
  const to = await until(
    "another primary",
    async () => {
      for (const instance of group.instances) {
        if (instance.keeper?.exitCode === null && instance.keeper.signalCode === null) continue;
        if (instance === from && lostHosts.has(from)) continue;
        died.push(instance.id);
        await systemClock.sleep(restartAfterMs);
        instance.startKeeper();
      }
      for (const instance of group.instances) {
        if (instance !== from && (await isPrimary(instance))) return instance;
      }
      return undefined;
    },
    90_000,
  );
  return { to, died };
}

const lostHosts = new Set<KeptInstance>();

test.each(taking)(
  "the successor of a lost primary dies %s",
  async (point) => {
    const from = await group.primary();
    await redundant(from);
    const others = group.instances.filter((instance) => instance !== from);
    await endanger(others, point);
    await redundant(from);
    await writer.more(10);
    lostHosts.add(from);
    await group.loseHost(from);
    const { to, died } = await changed(from);
    await writer.more(10);
    lostHosts.delete(from);
    group.returnHost(from);
    expect(died.length).toBeGreaterThan(0);
    await redundant(to);
    expect(await writer.lost(to)).toEqual([]);
  },
  secondsMax,
);

test.each([
  ...giving.map((point) => ["the primary", point] as const),
  ...given.map((point) => ["the successor", point] as const),
])(
  "%s dies %s during a switchover",
  async (who, point) => {
    const from = await group.primary();
    await redundant(from);
    const dies = (instance: KeptInstance) => (instance === from) === (who === "the primary");
    await endanger(group.instances.filter(dies), point);
    await redundant(from);
    await writer.more(10);
    const to = group.instances.find((instance) => instance !== from);
    await group.ask("switchover", { from: null, to: to?.id ?? null });
    const { to: found, died } = await changed(from);
    expect(died.length).toBeGreaterThan(0);
    await writer.more(10);
    await redundant(found);
    expect(await writer.lost(found)).toEqual([]);
  },
  secondsMax,
);

test(
  "no acknowledged row is lost",
  async () => {
    const gap = await writer.stop();
    console.log(`${writer.acknowledged.length} rows, longest gap ${gap} ms`);
    expect(writer.acknowledged.length).toBeGreaterThan(200);
    expect(await writer.lost(await group.primary())).toEqual([]);
  },
  secondsMax,
);
