// Slots as users see them, and how those that a node keeps are changed.
import { expect, test } from "bun:test";
import { shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { memberSlotName } from "../postgres/replication.ts";
import { instanceId } from "../spec/ids.ts";
import type { ReportedSlot } from "../spec/instance-config.ts";
import type { SlotSpec } from "../spec/slots.ts";

const [a = "", b = ""] = ["host-1", "host-2"].map((host): string => instanceId("shop", "n1", host));
const n1 = { databaseId: "shop", nodeName: "n1" };

async function withGroup(): Promise<TaskWorld> {
  const world = await TaskWorld.create(["host-2"]);
  await done(world, async () => {
    const nodes = [{ name: "n1", host_ids: ["host-1", "host-2"] }];
    return world.operations.createDatabase({ id: "shop", spec: { ...shopSpec, nodes } });
  });
  return world;
}

async function done(
  world: TaskWorld,
  change: () => ReturnType<TaskWorld["operations"]["createDatabase"]>,
): Promise<void> {
  const worker = world.startWorker();
  expect(await world.ended((await change()).task)).toMatchObject({ status: "completed" });
  await worker.stop();
}

const create = (world: TaskWorld, slot: SlotSpec) =>
  world.operations.nodes.changeSlots({
    ...n1,
    change: { kind: "create", slot },
    ifRevision: undefined,
  });
const drop = (world: TaskWorld, name: string) =>
  world.operations.nodes.changeSlots({
    ...n1,
    change: { kind: "drop", name },
    ifRevision: undefined,
  });

const foreign = (name: string, change: Partial<ReportedSlot> = {}): ReportedSlot => ({
  name,
  type: "physical",
  active: false,
  temporary: false,
  failover: false,
  synced: false,
  ...change,
});

test("a slot that is created is one of the spec, and the keepers of all instances get it", async () => {
  const world = await withGroup();
  const { nodes } = world.operations;
  const slot: SlotSpec = { name: "feed", type: "logical" };
  const plan = await nodes.planSlots({ ...n1, change: { kind: "create", slot }, ifRevision: 1 });
  expect(plan.restarts).toEqual([]);
  expect(plan.steps.at(-1)?.resource).toBe("database.slots::shop-n1");
  await done(world, () => create(world, slot));
  const shown = await nodes.slots(n1);
  expect(shown).toMatchObject({ revision: 2, permanent: [slot] });
  expect(shown.instances.map(({ instance_id, slots }) => [instance_id, slots.length])).toEqual([
    [a, 2],
    [b, 2],
  ]);
  expect(shown.instances[0]?.slots).toMatchObject([
    { name: memberSlotName(b), owner: "member", member: b },
    { name: "feed", owner: "permanent", plugin: "pgoutput", database: "shop" },
  ]);
  expect(world.keepers.answered.at(-1)).toBe(`${a} slots`);

  await expect(create(world, slot)).rejects.toMatchObject({ error: "conflict" });
  await expect(
    nodes.changeSlots({ ...n1, change: { kind: "drop", name: "feed" }, ifRevision: 1 }),
  ).rejects.toMatchObject({ error: "precondition_failed" });
  await done(world, () => drop(world, "feed"));
  const after = await nodes.slots(n1);
  expect(after.permanent).toEqual([]);
  expect(after.instances.flatMap(({ slots }) => slots).map(({ name }) => name)).not.toContain(
    "feed",
  );
  expect((await world.operations.getDatabase("shop")).spec?.nodes[0]).not.toHaveProperty("slots");
});

test("what belongs to somebody else, or is in use, is not dropped, and its name is not free", async () => {
  const world = await withGroup();
  await done(world, () => create(world, { name: "feed", type: "physical" }));
  const usedBy = "cdc (pg_receivewal) from 10.0.0.7, process 4711";
  world.keepers.foreignSlots.set(a, [
    foreign("barman"),
    foreign("feed", { active: true, used_by: usedBy }),
  ]);
  world.keepers.foreignSlots.set(b, [foreign("cascade")]);
  await world.keepers.pass();
  const message = async (work: Promise<unknown>) =>
    work.then(
      () => "it was done",
      (error: Error & { readonly error?: string }) => `${error.error}: ${error.message}`,
    );
  expect(await message(drop(world, "feed"))).toBe(
    `conflict: slot feed is in use on ${a} by ${usedBy}`,
  );
  expect(await message(drop(world, "barman"))).toBe(
    `conflict: slot barman on ${a} was made by somebody else: drop it with pg_drop_replication_slot`,
  );
  expect(await message(drop(world, memberSlotName(b)))).toStartWith(
    "conflict: slot pgherd_member_",
  );
  expect(await message(drop(world, "nothing"))).toBe("not_found: node n1 has no slot nothing");
  expect(await message(create(world, { name: "barman", type: "logical" }))).toBe(
    `conflict: ${a} has a physical slot barman that somebody else made`,
  );
  expect(await message(create(world, { name: "Feed", type: "logical" }))).toStartWith(
    "invalid_input: nodes[0].slots[1].name",
  );
  const nowhere = world.operations.nodes.slots({ ...n1, nodeName: "n2" });
  expect(await message(nowhere)).toStartWith("invalid_input");
  expect((await world.operations.nodes.slots(n1)).revision).toBe(2);
});
