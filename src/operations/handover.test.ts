// Changing the primary of a node: what is refused, what the task waits for, and what is left behind.
import { describe, expect, test } from "bun:test";
import { shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { handoverLateMsMax, instanceReportStaleMs } from "../base/limits.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import { instanceId } from "../spec/ids.ts";
import { loadLease } from "../store/ha-nodes.ts";

const [a, b, c] = ["host-1", "host-2", "host-3"].map((host) => instanceId("shop", "n1", host));
const n1 = { databaseId: "shop", nodeName: "n1" };
const groupSpec: DatabaseSpec = {
  ...shopSpec,
  port: 0,
  patroni_port: 0,
  nodes: [
    { name: "n1", host_ids: ["host-1", "host-2", "host-3"] },
    { name: "n2", host_ids: ["host-1"] },
  ],
};

async function withGroup(spec = groupSpec): Promise<TaskWorld> {
  const world = await TaskWorld.create(["host-2", "host-3"]);
  const worker = world.startWorker();
  const { task } = await world.operations.createDatabase({ id: "shop", spec });
  expect(await world.ended(task)).toMatchObject({ status: "completed" });
  await worker.stop();
  return world;
}

async function primary(world: TaskWorld): Promise<string | null | undefined> {
  return (await loadLease(world.store.db, "shop", "n1"))?.holder;
}

/** The keeper of an instance falls silent, and its lease is over. */
async function lose(world: TaskWorld, id: string | undefined): Promise<void> {
  world.keepers.set(id ?? "", "dead");
  await world.until(async () => {
    const { instances = [] } = await world.operations.getDatabase("shop");
    return instances.find((instance) => instance.id === id)?.state === "unknown";
  });
}

test("roles and scripts go to the home, and standbys come after it", async () => {
  const world = await withGroup();
  expect(world.keepers.answered.filter((text) => text.includes("-n1-"))).toEqual([
    `${a} script`,
    `${a} roles`,
    `${a} database`,
    `${a} script`,
  ]);
  const { instances = [] } = await world.operations.getDatabase("shop");
  expect(instances.map(({ state, postgres }) => [state, postgres?.role])).toEqual([
    ["available", "primary"],
    ["available", "replica"],
    ["available", "replica"],
    ["available", "primary"],
  ]);
});

describe("switchover", () => {
  test("takes the one that is named, and any other when nobody is", async () => {
    const world = await withGroup();
    const worker = world.startWorker();
    const named = await world.operations.nodes.switchover(n1, { candidate_instance_id: c ?? "" });
    expect(named).toMatchObject({ type: "switchover", node_name: "n1", instance_id: c });
    expect(await world.ended(named)).toMatchObject({ status: "completed" });
    expect(await primary(world)).toBe(c);
    const any = await world.operations.nodes.switchover(n1, {});
    expect(await world.ended(any)).toMatchObject({ status: "completed" });
    expect((await primary(world)) === a || (await primary(world)) === b).toBe(true);
    const itself = (await primary(world)) ?? "";
    const same = await world.operations.nodes.switchover(n1, { candidate_instance_id: itself });
    expect(await world.ended(same)).toMatchObject({ status: "completed" });
    expect(await primary(world)).toBe(itself);
    await worker.stop();
  });

  test("roles go to whoever is primary then", async () => {
    const world = await withGroup();
    const worker = world.startWorker();
    await world.ended(
      await world.operations.nodes.switchover(n1, { candidate_instance_id: b ?? "" }),
    );
    const users = [{ username: "late", attributes: ["LOGIN"] }];
    const spec = { ...groupSpec, database_users: users };
    const { task } = await world.operations.updateDatabase("shop", { spec }, false);
    expect(await world.ended(task)).toMatchObject({ status: "completed" });
    expect(world.keepers.answered.filter((text) => text.includes("-n1-")).slice(4)).toEqual([
      `${b} roles`,
      `${b} database`,
    ]);
    await worker.stop();
  });

  test("is refused for what could not work, each with its error", async () => {
    const world = await withGroup();
    const { nodes } = world.operations;
    const refused = async (place: typeof n1, request: object) =>
      nodes.switchover(place, request).then(
        () => "accepted",
        ({ error, problems }) => `${error} ${problems[0]?.code ?? ""}`.trim(),
      );
    const n2 = instanceId("shop", "n2", "host-1");
    expect(await refused({ ...n1, databaseId: "other" }, {})).toBe("not_found");
    expect(await refused({ ...n1, nodeName: "n9" }, {})).toBe("invalid_input unknown");
    expect(await refused({ ...n1, nodeName: "n2" }, {})).toBe("invalid_input no_standby");
    expect(await refused(n1, { candidate_instance_id: "nobody" })).toBe("not_found");
    expect(await refused(n1, { candidate_instance_id: n2 })).toBe("invalid_input conflict");
    expect(await refused(n1, { scheduled_at: "2000-01-01T00:00:00Z" })).toBe(
      "invalid_input invalid_time",
    );
    await lose(world, c);
    expect(await refused(n1, { candidate_instance_id: c })).toBe("invalid_input unavailable");
    await lose(world, b);
    expect(await refused(n1, {})).toBe("invalid_input no_candidate");
    await lose(world, a);
    expect(await refused(n1, {})).toBe("not_found");
  });

  test("one at a time; a scheduled one waits, keeps others away, and can be canceled", async () => {
    const world = await withGroup();
    const { nodes } = world.operations;
    const at = new Date(world.clock.nowMs() + 60_000).toISOString();
    const scheduled = await nodes.switchover(n1, {
      scheduled_at: at,
      candidate_instance_id: b ?? "",
    });
    expect(scheduled.status).toBe("pending");
    await expect(nodes.switchover(n1, {})).rejects.toMatchObject({
      error: "operation_already_in_progress",
    });
    await world.operations.cancelTask("shop", scheduled.task_id);
    const worker = world.startWorker();
    expect(await world.ended(scheduled)).toMatchObject({ status: "canceled" });
    const again = await nodes.switchover(n1, {
      scheduled_at: new Date(world.clock.nowMs() + 30_000).toISOString(),
      candidate_instance_id: b ?? "",
    });
    const dueMs = world.clock.nowMs() + 30_000;
    expect(await world.ended(again)).toMatchObject({ status: "completed" });
    expect(world.clock.nowMs()).toBeGreaterThanOrEqual(dueMs - 1_000);
    expect(await primary(world)).toBe(b);
    await worker.stop();
    const now = await nodes.switchover(n1, {});
    await expect(nodes.switchover(n1, {})).rejects.toMatchObject({
      error: "operation_already_in_progress",
    });
    await expect(nodes.failover(n1, { skip_validation: true })).rejects.toMatchObject({
      error: "operation_already_in_progress",
    });
    expect(now.status).toBe("pending");
  });

  test("that was due long ago is not made any more", async () => {
    const world = await withGroup();
    const at = new Date(world.clock.nowMs() + 1_000).toISOString();
    const scheduled = await world.operations.nodes.switchover(n1, { scheduled_at: at });
    await world.clock.advance(handoverLateMsMax + 2_000);
    const worker = world.startWorker();
    const end = await world.ended(scheduled);
    expect(end.status).toBe("failed");
    expect(end.error).toContain("its time has passed");
    expect(await primary(world)).toBe(a);
    await worker.stop();
  });

  test("a cancel takes back what no keeper has begun", async () => {
    const world = await withGroup();
    const worker = world.startWorker();
    world.keepers.set(b ?? "", "stalled");
    const task = await world.operations.nodes.switchover(n1, { candidate_instance_id: b ?? "" });
    await world.until(async () => {
      const now = await world.operations.getTask("database", "shop", task.task_id);
      return now.status === "running";
    });
    await world.clock.advance(500);
    await world.operations.cancelTask("shop", task.task_id);
    expect(await world.ended(task)).toMatchObject({ status: "canceled" });
    world.keepers.set(b ?? "", "healthy");
    await world.clock.advance(instanceReportStaleMs);
    await world.keepers.pass();
    expect(await primary(world)).toBe(a);
    await worker.stop();
  });
});

describe("draining a host", () => {
  test("moves its primaries, and keeps its standbys", async () => {
    const spec = { ...groupSpec, nodes: groupSpec.nodes.slice(0, 1) };
    const world = await withGroup(spec);
    const worker = world.startWorker();
    const host = await world.operations.startMaintenance("host-1", { drain: true });
    expect(host.maintenance).toBeDefined();
    const [task] = await world.operations.listTasks("database", "shop", { order: "desc" });
    expect(task).toMatchObject({ type: "switchover", node_name: "n1" });
    expect(await world.ended(task ?? { task_id: "", entity_id: "" })).toMatchObject({
      status: "completed",
    });
    expect((await primary(world)) === b || (await primary(world)) === c).toBe(true);
    await world.operations.startMaintenance("host-1", { drain: true });
    const tasks = await world.operations.listTasks("database", "shop", { order: "desc" });
    expect(tasks.filter(({ type }) => type === "switchover")).toHaveLength(1);
    await worker.stop();
  });

  test("is refused with every reason, and nothing happens", async () => {
    const world = await withGroup();
    for (const id of [b, c]) world.keepers.set(id ?? "", "dead");
    await world.clock.advance(instanceReportStaleMs + 1_000);
    await world.keepers.pass();
    await expect(
      world.operations.startMaintenance("host-1", { drain: true }),
    ).rejects.toMatchObject({
      error: "operation_not_supported",
      problems: [{ code: "cannot_move" }, { code: "cannot_move" }],
    });
    expect((await world.operations.getHost("host-1")).maintenance).toBeUndefined();
    const tasks = await world.operations.listTasks("database", "shop", { order: "desc" });
    expect(tasks.map(({ type }) => type)).toEqual(["create"]);
  });
});

describe("failover", () => {
  test("is refused while the primary is healthy, unless that shall not matter", async () => {
    const world = await withGroup();
    await expect(world.operations.nodes.failover(n1, {})).rejects.toMatchObject({
      problems: [{ code: "healthy" }],
    });
    const worker = world.startWorker();
    const forced = await world.operations.nodes.failover(n1, {
      candidate_instance_id: c ?? "",
      skip_validation: true,
    });
    expect(forced).toMatchObject({ type: "failover" });
    expect(await world.ended(forced)).toMatchObject({ status: "completed" });
    expect(await primary(world)).toBe(c);
    await worker.stop();
  });

  test("works when the first host, which is the primary's, is gone", async () => {
    const world = await withGroup();
    await lose(world, a);
    const worker = world.startWorker();
    const task = await world.operations.nodes.failover(n1, {});
    expect(await world.ended(task)).toMatchObject({ status: "completed" });
    expect((await primary(world)) === b || (await primary(world)) === c).toBe(true);
    await worker.stop();
  });
});
