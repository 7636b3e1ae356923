// What users see of nodes and their members, and what they change of them without naming a spec.
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { pauseConfirmMs } from "../base/limits.ts";
import type { SyncRecord } from "../ha/quorum.ts";
import type { MemberStatus } from "../ha/state.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import { instanceId } from "../spec/ids.ts";
import { haEpochs, haIntents, haLeases, haMembers } from "../store/schema.ts";

const ids = ["host-1", "host-2", "host-3"].map((host): string => instanceId("shop", "n1", host));
const [a = "", b = "", c = ""] = ids;
const n1 = { databaseId: "shop", nodeName: "n1" };
const groupSpec: DatabaseSpec = {
  ...shopSpec,
  ha: { tags: { "host-3": { nofailover: true } } },
  nodes: [{ name: "n1", host_ids: ["host-1", "host-2", "host-3"] }],
};

async function withGroup(spec = groupSpec): Promise<TaskWorld> {
  const world = await TaskWorld.create(["host-2", "host-3"]);
  const worker = world.startWorker();
  const { task } = await world.operations.createDatabase({ id: "shop", spec });
  expect(await world.ended(task)).toMatchObject({ status: "completed" });
  await worker.stop();
  return world;
}

/** What members write about themselves, which fake keepers do not. */
async function saveStatuses(
  { store }: TaskWorld,
  instances: readonly string[],
  more: Partial<MemberStatus>,
): Promise<void> {
  const statements = instances.map((id) => {
    const status: MemberStatus = {
      instance_id: id,
      incarnation: "i",
      beat: 1,
      state: id === a ? "primary" : "standby",
      role: id === a ? "primary" : "standby",
      system_identifier: "7000000000000000001",
      timeline: 1,
      receive_lsn: "0/3000060",
      replay_lsn: "0/3000060",
      streaming: id !== a,
      upstream: id === a ? null : a,
      seen: { epoch: 1, seq: 0 },
      vote: null,
      unfit: null,
      leaving: false,
      ...more,
    };
    return store.db
      .insert(haMembers)
      .values({
        instanceId: id,
        databaseId: "shop",
        nodeName: "n1",
        status: JSON.stringify(status),
        updatedAtMs: 0,
      })
      .toSQL();
  });
  await store.commit({ opId: randomUUID(), guards: [], statements });
}

async function saveRecord({ store }: TaskWorld, record: SyncRecord): Promise<void> {
  const change = store.db.update(haLeases).set({ sync: JSON.stringify(record) });
  await store.commit({ opId: randomUUID(), guards: [], statements: [change.toSQL()] });
}

/** Time goes on until there is an answer. */
async function answered<T>({ clock }: TaskWorld, answer: Promise<T>): Promise<T> {
  let ended = false;
  const end = answer.finally(() => {
    ended = true;
  });
  while (!ended) await clock.advance(100);
  return end;
}

describe("topology", () => {
  test("shows roles, lag and tags of all instances, and what speaks against a standby", async () => {
    const world = await withGroup();
    const topology = await world.operations.nodes.topology("shop");
    expect(topology).toMatchObject({ database_id: "shop", revision: 1 });
    const [node] = topology.nodes;
    expect(node).toMatchObject({
      name: "n1",
      state: "available",
      primary_instance_id: a,
      epoch: 1,
      lease: { holder: a, phase: "open" },
      synchronous: { mode: "off", standbys: [], degraded: false },
      maximum_lag_on_failover: 1_048_576,
    });
    const shown = new Map(node?.instances.map((instance) => [instance.instance_id, instance]));
    expect(shown.get(a)).toMatchObject({ role: "primary", host_id: "host-1" });
    expect(shown.get(b)).toMatchObject({ role: "replica", lag_bytes: 0, sync_state: "async" });
    expect(shown.get(b)?.unfit).toBeUndefined();
    expect(shown.get(c)).toMatchObject({ unfit: "it has the tag nofailover" });
  });

  test("synchronous replication is degraded for as long as by its record nobody can be elected", async () => {
    const quorum = { ...groupSpec, ha: { synchronous_mode: "quorum" as const } };
    const world = await withGroup(quorum);
    // As after a failover: the new primary had a vote itself.
    const record = { version: 2, mode: "on", voters: [c], quorum: 2, count: 1 } as const;
    const seen = async () => {
      const { nodes } = await world.operations.nodes.topology("shop");
      return nodes[0]?.synchronous;
    };
    await saveRecord(world, record);
    expect(await seen()).toMatchObject({ mode: "quorum", standbys: [c], degraded: true });
    await saveRecord(world, { ...record, quorum: 1 });
    expect(await seen()).toMatchObject({ mode: "quorum", standbys: [c], degraded: false });
  });

  test("changes become changes of the spec, with a plan; the rest of it stays", async () => {
    const world = await withGroup();
    const { nodes } = world.operations;
    const change = {
      nodes: [
        {
          name: "n1",
          synchronous: { mode: "on" as const, count: 2 },
          instances: [{ instance_id: c, upstream: { instance_id: b } }],
        },
      ],
    };
    const plan = await nodes.planTopology({ databaseId: "shop", change, ifRevision: 1 });
    expect(plan.steps.every(({ resource }) => resource.startsWith("database.instance"))).toBe(true);
    expect(plan.restarts).toEqual([]);
    const { database, task } = await nodes.putTopology({
      databaseId: "shop",
      change,
      ifRevision: 1,
    });
    expect(database.spec?.nodes[0]?.ha).toEqual({
      synchronous_mode: "on",
      synchronous_node_count: 2,
      tags: { "host-3": { nofailover: true, replicatefrom: "host-2" } },
    });
    const worker = world.startWorker();
    expect(await world.ended(task)).toMatchObject({ status: "completed" });
    await worker.stop();
    const after = await nodes.topology("shop");
    expect(after.revision).toBe(2);
    expect(after.nodes[0]?.synchronous).toMatchObject({ mode: "on", count: 2, degraded: true });
    // The hosts of the tests have 17.0.
    const { warnings = [] } = after.nodes[0]?.synchronous ?? {};
    expect(warnings).toHaveLength(3);
    expect(warnings[0]).toMatch(/^shop-n1-\w+: PostgreSQL 17\.0 can acknowledge .* 17\.5 cannot$/);
    const member = after.nodes[0]?.instances.find(({ instance_id }) => instance_id === c);
    expect(member?.tags).toEqual({ nofailover: true, replicatefrom: "host-2" });
    await expect(
      nodes.putTopology({ databaseId: "shop", change, ifRevision: 1 }),
    ).rejects.toMatchObject({ error: "precondition_failed" });
  });

  test("all problems of a change are told at once, and nothing is changed", async () => {
    const world = await withGroup();
    const change = {
      nodes: [
        { name: "n7" },
        {
          name: "n1",
          instances: [
            { instance_id: "nobody" },
            { instance_id: b, upstream: { instance_id: b } },
            { instance_id: c, upstream: { instance_id: "nobody" } },
          ],
        },
      ],
    };
    await expect(
      world.operations.nodes.putTopology({ databaseId: "shop", change, ifRevision: undefined }),
    ).rejects.toMatchObject({
      error: "invalid_input",
      problems: [
        { path: "nodes[0].name" },
        { path: "nodes[1].instances[0].instance_id" },
        { path: "nodes[1].instances[1].upstream.instance_id" },
        { path: "nodes[1].instances[2].upstream.instance_id" },
      ],
    });
    expect((await world.operations.nodes.topology("shop")).revision).toBe(1);
  });
});

test("a pause has an end, is replaced by the next one, and ends when told", async () => {
  const world = await withGroup();
  const { nodes } = world.operations;
  await answered(world, nodes.pause(n1, {}));
  const until = new Date(world.clock.nowMs() + 60_000).toISOString().slice(0, 19);
  const paused = await answered(world, nodes.pause(n1, { ttl_s: 60, reason: "new disks" }));
  expect(paused.paused_until?.slice(0, 19)).toBe(until);
  const shown = async () => (await nodes.topology("shop")).nodes[0];
  expect(await shown()).toMatchObject({ pause_reason: "new disks" });
  const during = await world.operations.getDatabase("shop");
  expect(during.instances?.map(({ postgres }) => postgres?.patroni_paused)).toEqual([
    true,
    true,
    true,
  ]);
  await world.clock.advance(61_000);
  expect((await shown())?.paused_until).toBeUndefined();
  await answered(world, nodes.pause(n1, { ttl_s: 600 }));
  await nodes.resume(n1);
  expect((await shown())?.paused_until).toBeUndefined();
  await expect(nodes.pause({ ...n1, nodeName: "n2" }, {})).rejects.toMatchObject({
    error: "invalid_input",
  });
});

test("a pause waits until all instances keep it, and names those that do not say so", async () => {
  const world = await withGroup();
  const beganMs = world.clock.monotonicMs();
  const pause = world.operations.nodes.pause(n1, {});
  await world.clock.advance(100);
  const [intent] = await world.store.db.select().from(haIntents);
  if (!intent) throw new Error("no pause");
  await saveStatuses(world, [a, c], { pause: intent.id });
  await saveStatuses(world, [b], { pause: "an older one" });
  expect(await answered(world, pause)).toMatchObject({ unconfirmed: [b] });
  expect(world.clock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(pauseConfirmMs);
  const next = world.operations.nodes.pause(n1, {});
  await world.clock.advance(100);
  const intents = await world.store.db.select().from(haIntents);
  const id = intents.find((one) => one.state === "pending")?.id ?? "";
  await world.store.commit({
    opId: "members",
    guards: [],
    statements: [world.store.db.delete(haMembers).toSQL()],
  });
  await saveStatuses(world, ids, { pause: id });
  expect((await answered(world, next)).unconfirmed).toBeUndefined();
}, 20_000);

test("history names primaries newest first, with the hosts that are still there", async () => {
  const world = await withGroup();
  const row = { databaseId: "shop", nodeName: "n1", incarnation: "i" };
  const epochs = [
    { ...row, epoch: 1, instanceId: "shop-n1-gone", timeline: 1, reason: "created", atMs: 1_000 },
    {
      ...row,
      epoch: 2,
      instanceId: a,
      timeline: 2,
      reason: "failover",
      fromTimeline: 1,
      switchLsn: "0/5",
      lost: "at most 10 bytes",
      atMs: 61_000,
    },
  ];
  await world.store.commit({
    opId: "epochs",
    guards: [],
    statements: epochs.map((epoch) => world.store.db.insert(haEpochs).values(epoch).toSQL()),
  });
  const { entries } = await world.operations.nodes.history(n1);
  expect(entries).toEqual([
    {
      epoch: 2,
      instance_id: a,
      host_id: "host-1",
      timeline: 2,
      from_timeline: 1,
      switch_lsn: "0/5",
      reason: "failover",
      lost: "at most 10 bytes",
      since: "1970-01-01T00:01:01Z",
    },
    {
      epoch: 1,
      instance_id: "shop-n1-gone",
      timeline: 1,
      reason: "created",
      since: "1970-01-01T00:00:01Z",
      until: "1970-01-01T00:01:01Z",
    },
  ]);
});

describe("explain", () => {
  async function withStatuses(): Promise<TaskWorld> {
    const world = await withGroup();
    await saveStatuses(world, ids, {});
    await world.keepers.pass();
    return world;
  }

  test("each instance by itself, or a host: the standby that may takes over from the primary", async () => {
    const world = await withStatuses();
    const nothing = { instanceIds: [], hostIds: [] };
    const { cases } = await world.operations.nodes.explain(n1, nothing);
    expect(cases.map(({ lost, primary_instance_id }) => [lost, primary_instance_id])).toEqual(
      ids.toSorted().map((id) => [[id], id === a ? b : a]),
    );
    const both = await world.operations.nodes.explain(n1, {
      instanceIds: [a],
      hostIds: ["host-2"],
    });
    expect(both.cases).toHaveLength(1);
    expect(both.cases[0]?.primary_instance_id).toBeUndefined();
    await expect(
      world.operations.nodes.explain(n1, { instanceIds: ["x"], hostIds: ["host-9"] }),
    ).rejects.toMatchObject({ problems: [{ path: "instance_id" }, { path: "host_id" }] });
  });
});

describe("instances", () => {
  test("reload and checkpoint ask the instance itself, standby or not", async () => {
    const world = await withGroup();
    const worker = world.startWorker();
    world.keepers.answered.length = 0;
    const place = { databaseId: "shop", instanceId: b };
    const reload = await world.operations.nodes.reload(place);
    expect(await world.ended(reload)).toMatchObject({ status: "completed" });
    const checkpoint = await world.operations.nodes.checkpoint(place);
    expect(await world.ended(checkpoint)).toMatchObject({ status: "completed" });
    expect(world.keepers.answered).toEqual([`${b} reload`, `${b} checkpoint`]);
    await worker.stop();
  });

  test("promote is a switchover; only standbys are copied anew or rewound", async () => {
    const world = await withGroup();
    const worker = world.startWorker();
    const { nodes } = world.operations;
    const promoted = await nodes.promote({ databaseId: "shop", instanceId: b });
    expect(promoted).toMatchObject({ type: "switchover", instance_id: b });
    expect(await world.ended(promoted)).toMatchObject({ status: "completed" });
    const again = await nodes.reinitialize({ databaseId: "shop", instanceId: a }, { from: c });
    expect(again).toMatchObject({ type: "reinitialize_instance", instance_id: a });
    expect(await world.ended(again)).toMatchObject({ status: "completed" });
    const back = await nodes.rewind({ databaseId: "shop", instanceId: a });
    expect(back).toMatchObject({ type: "rewind_instance", instance_id: a });
    expect(await world.ended(back)).toMatchObject({ status: "completed" });
    const log = await world.operations.taskLog("database", "shop", back.task_id, {});
    expect(log.entries.map(({ message }) => message).join("\n")).toContain("nothing to rewind");
    await expect(nodes.rewind({ databaseId: "shop", instanceId: b })).rejects.toMatchObject({
      problems: [{ path: "instance_id", code: "conflict" }],
    });
    await expect(
      nodes.reinitialize({ databaseId: "shop", instanceId: b }, {}),
    ).rejects.toMatchObject({ problems: [{ path: "instance_id", code: "conflict" }] });
    await expect(
      nodes.reinitialize({ databaseId: "shop", instanceId: a }, { from: a }),
    ).rejects.toMatchObject({ problems: [{ path: "from" }] });
    await worker.stop();
  });
});
