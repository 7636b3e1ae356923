// Tasks beside each other, in time, and in trouble.
import { expect, test } from "bun:test";
import { shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { AppError } from "../base/errors.ts";
import { stepTimeoutMs } from "../base/limits.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { StepRun } from "./task-run.ts";

const otherSpec: DatabaseSpec = { ...shopSpec, port: 0, patroni_port: 0 };

async function withShop(): Promise<TaskWorld> {
  const world = await TaskWorld.create();
  const worker = world.startWorker();
  const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  expect((await world.ended(task)).status).toBe("completed");
  await worker.stop();
  return world;
}

async function instanceOf(world: TaskWorld, databaseId = "shop"): Promise<string> {
  const { instances } = await world.operations.getDatabase(databaseId);
  return instances?.[0]?.id ?? "";
}

/** A step that ends only when its signal aborts. */
function hang(run: StepRun): Promise<never> {
  return new Promise((_, reject) => {
    run.signal.addEventListener("abort", () => reject(run.signal.reason));
  });
}

test("databases do not wait for each other", async () => {
  const world = await TaskWorld.create();
  const worker = world.startWorker({
    wrap: (run, real) => (run.plan.databaseId === "slow" ? hang(run) : real(run)),
  });
  const slow = await world.operations.createDatabase({ id: "slow", spec: otherSpec });
  const quick = await world.operations.createDatabase({ id: "quick", spec: otherSpec });
  expect((await world.ended(quick.task)).status).toBe("completed");
  const still = await world.operations.getTask("database", "slow", slow.task.task_id);
  expect(still.status).toBe("running");
  await worker.stop();
});

test("a task whose step listens to nothing is ended all the same", async () => {
  const world = await TaskWorld.create();
  const worker = world.startWorker({ wrap: () => new Promise(() => undefined) });
  const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  const startedMs = world.clock.nowMs();
  const end = await world.ended(task);
  expect(end.status).toBe("failed");
  expect(end.error).toContain("timed out after");
  expect(world.clock.nowMs() - startedMs).toBeLessThan(stepTimeoutMs + 60_000);
  await worker.stop();
});

test("what a step says can be read a moment later, while it goes on", async () => {
  const world = await TaskWorld.create();
  let said = false;
  const worker = world.startWorker({
    wrap: async (run) => {
      run.log("half way", { percent: 50 });
      said = true;
      await hang(run);
    },
  });
  const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  await world.until(() => said);
  await world.clock.advance(250);
  const { entries, last_entry_id } = await world.operations.taskLog(
    "database",
    "shop",
    task.task_id,
    {},
  );
  expect(entries.at(-1)).toMatchObject({
    message: "half way",
    fields: { percent: 50, resource_type: "filesystem.dir", host_id: "host-1" },
  });
  expect(last_entry_id).toBeDefined();
  await worker.stop();
});

test("a step that may pass is tried again, one that will not is not", async () => {
  const world = await TaskWorld.create();
  const tries = new Map<string, number>();
  world.driver.world.beforeEffect = (verb, key) => {
    if (verb !== "ensure") return;
    const count = (tries.get(key) ?? 0) + 1;
    tries.set(key, count);
    if (key.startsWith("filesystem.dir") && count === 1) throw retryable("connection reset");
    if (key.startsWith("instance.keeper")) throw new Error("no such user");
  };
  const worker = world.startWorker();
  const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  const end = await world.ended(task);
  expect(end.error).toContain("instance.keeper");
  expect(end.error).toContain("no such user");
  expect([...tries.values()]).toEqual([2, 1]);
  await worker.stop();
});

test("an instance whose keeper keeps failing fails with the keeper's words", async () => {
  const world = await TaskWorld.create();
  const worker = world.startWorker({
    wrap: async (run, real) => {
      if (run.step.resource.kind === "database.instance") {
        world.keepers.set(run.step.resource.id, "failing");
      }
      await real(run);
    },
  });
  const { task } = await world.operations.createDatabase({
    id: "shop",
    spec: { ...shopSpec, scripts: {} },
  });
  const end = await world.ended(task);
  expect(end.status).toBe("failed");
  expect(end.error).toContain("told to fail");
  const shop = await world.operations.getDatabase("shop");
  expect(shop.instances?.[0]).toMatchObject({ state: "failed" });
  expect(shop.instances?.[0]?.error).toContain("told to fail");
  await worker.stop();
});

test("a database whose keeper is dead can be deleted", async () => {
  const world = await withShop();
  world.keepers.set(await instanceOf(world), "dead");
  await world.clock.advance(11_000);
  const worker = world.startWorker();
  const { task } = await world.operations.deleteDatabase("shop", false);
  expect((await world.ended(task)).status).toBe("completed");
  expect(world.driver.world.keepers.size).toBe(0);
  const log = await world.operations.taskLog("database", "shop", task.task_id, {});
  expect(log.entries.length).toBeGreaterThan(3);
  await expect(world.operations.getDatabase("shop")).rejects.toMatchObject({ error: "not_found" });
  await worker.stop();
});

test("a forced deletion ends the creation first and leaves nothing of it", async () => {
  const world = await TaskWorld.create();
  let reached = false;
  const worker = world.startWorker({
    wrap: async (run, real) => {
      if (run.plan.kind !== "create" || run.step.resource.kind !== "database.instance") {
        return real(run);
      }
      reached = true;
      return hang(run);
    },
  });
  const creation = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  await world.until(() => reached);
  await expect(world.operations.deleteDatabase("shop", false)).rejects.toMatchObject({
    error: "database_not_modifiable",
  });
  const deletion = await world.operations.deleteDatabase("shop", true);
  expect((await world.ended(creation.task)).status).toBe("canceled");
  expect((await world.ended(deletion.task)).status).toBe("completed");
  expect(await world.picture()).toEqual({
    databases: [],
    instances: [],
    resources: [],
    ports: [],
    directories: [],
    keepers: [],
  });
  await worker.stop();
});

test("an instance is stopped, shown as stopped, started and restarted", async () => {
  const world = await withShop();
  const worker = world.startWorker();
  const { operations } = world;
  const id = await instanceOf(world);
  await expect(operations.startInstance("shop", id, false)).rejects.toMatchObject({
    error: "invalid_input",
  });
  const stop = await operations.stopInstance("shop", id, false);
  expect(stop).toMatchObject({ type: "stop_instance", instance_id: id, node_name: "n1" });
  expect((await world.ended(stop)).status).toBe("completed");
  expect((await operations.getDatabase("shop")).instances?.[0]?.state).toBe("stopped");
  await expect(operations.restartInstance("shop", id)).rejects.toMatchObject({
    error: "invalid_input",
  });
  const start = await operations.startInstance("shop", id, false);
  expect((await world.ended(start)).status).toBe("completed");
  const restart = await operations.restartInstance("shop", id);
  expect((await world.ended(restart)).status).toBe("completed");
  expect(world.keepers.answered.at(-1)).toBe(`${id} restart`);
  const shop = await operations.getDatabase("shop");
  expect(shop.state).toBe("available");
  expect(shop.instances?.[0]?.state).toBe("available");
  await worker.stop();
});

test("an update starts what was stopped", async () => {
  const world = await withShop();
  const worker = world.startWorker();
  const id = await instanceOf(world);
  await world.ended(await world.operations.stopInstance("shop", id, false));
  const { task } = await world.operations.updateDatabase("shop", { spec: shopSpec }, false);
  expect((await world.ended(task)).status).toBe("completed");
  const shop = await world.operations.getDatabase("shop");
  expect(shop.instances?.[0]?.state).toBe("available");
  await worker.stop();
});

test("a scheduled restart waits for its time, blocks nothing and can be canceled", async () => {
  const world = await withShop();
  const worker = world.startWorker();
  const { operations, clock } = world;
  const id = await instanceOf(world);
  const at = new Date(clock.nowMs() + 60_000).toISOString();
  const first = await operations.restartInstance("shop", id, at);
  const second = await operations.restartInstance("shop", id, at);
  const { task } = await operations.updateDatabase("shop", { spec: shopSpec }, false);
  expect((await world.ended(task)).status).toBe("completed");
  expect((await operations.getTask("database", "shop", first.task_id)).status).toBe("pending");
  await operations.cancelTask("shop", second.task_id);
  expect((await world.ended(second)).status).toBe("canceled");
  expect((await operations.getDatabase("shop")).state).toBe("available");
  expect(world.keepers.answered).not.toContain(`${id} restart`);
  const done = await world.ended(first);
  expect(done.status).toBe("completed");
  expect(Date.parse(done.completed_at ?? "")).toBeGreaterThanOrEqual(Date.parse(at) - 1_000);
  expect(world.keepers.answered.filter((answer) => answer === `${id} restart`)).toHaveLength(1);
  await worker.stop();
});

test("a task that only waits is taken back by a worker that comes later", async () => {
  const world = await TaskWorld.create();
  const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  await world.clock.advance(5_000);
  expect((await world.operations.getTask("database", "shop", task.task_id)).status).toBe("pending");
  const worker = world.startWorker();
  expect((await world.ended(task)).status).toBe("completed");
  await worker.stop();
});

test("a worker that stops in order leaves its task to the next", async () => {
  const world = await TaskWorld.create();
  let reached = false;
  const first = world.startWorker({
    wrap: async (run, real) => {
      if (run.step.resource.kind !== "instance.keeper") return real(run);
      reached = true;
      return hang(run);
    },
  });
  const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  await world.until(() => reached);
  await first.stop();
  const now = await world.operations.getTask("database", "shop", task.task_id);
  expect(now.status).toBe("running");
  const second = world.startWorker();
  expect((await world.ended(task)).status).toBe("completed");
  await second.stop();
});

function retryable(message: string): Error {
  return new AppError("retryable", message);
}
