// What must hold for every plan: steps may run twice, be cut anywhere, and fail anywhere.
import { describe, expect, test } from "bun:test";
import { shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { Task } from "../spec/task.ts";

const changedSpec: DatabaseSpec = {
  ...shopSpec,
  port: 5433,
  postgresql_conf: { shared_buffers: "1GB" },
  database_users: (shopSpec.database_users ?? []).slice(0, 1),
  nodes: [...shopSpec.nodes, { name: "n2", host_ids: ["host-1"], port: 5434, patroni_port: 8889 }],
};

interface Scenario {
  readonly name: string;
  /** Brings the world to where the plan under test begins. */
  readonly before: (world: TaskWorld) => Promise<void>;
  readonly ask: (world: TaskWorld) => Promise<Task>;
  /** Asks for the same again after it failed. */
  readonly again: (world: TaskWorld) => Promise<Task>;
}

const create: Scenario = {
  name: "create",
  before: async () => {},
  ask: async ({ operations }) =>
    (await operations.createDatabase({ id: "shop", spec: shopSpec })).task,
  again: async ({ operations }) =>
    (await operations.updateDatabase("shop", { spec: shopSpec }, false)).task,
};

const update: Scenario = {
  name: "update",
  before: created,
  ask: async ({ operations }) =>
    (await operations.updateDatabase("shop", { spec: changedSpec }, false)).task,
  again: async ({ operations }) =>
    (await operations.updateDatabase("shop", { spec: changedSpec }, false)).task,
};

const remove: Scenario = {
  name: "delete",
  before: created,
  ask: async ({ operations }) => (await operations.deleteDatabase("shop", false)).task,
  again: async ({ operations }) => (await operations.deleteDatabase("shop", false)).task,
};

async function created(world: TaskWorld): Promise<void> {
  const worker = world.startWorker();
  const task = await create.ask(world);
  expect((await world.ended(task)).status).toBe("completed");
  await worker.stop();
}

async function worldBefore(scenario: Scenario): Promise<TaskWorld> {
  const world = await TaskWorld.create();
  await scenario.before(world);
  return world;
}

/** What an undisturbed run leaves, how many commits it takes and which steps it has. */
async function undisturbed(scenario: Scenario) {
  const world = await worldBefore(scenario);
  const steps: string[] = [];
  const worker = world.startWorker({
    wrap: (run, real) => {
      steps.push(run.step.id);
      return real(run);
    },
  });
  const end = await world.ended(await scenario.ask(world));
  expect(end.error).toBeUndefined();
  expect(end.status).toBe("completed");
  const commits = worker.commits();
  await worker.stop();
  return { picture: await world.picture(), commits, steps };
}

/** The picture without generations, which grow with every try. */
function withoutGenerations(picture: unknown): unknown {
  const text = JSON.stringify(picture).replaceAll(/\\"(restart_)?generation\\":\d+/g, "");
  return JSON.parse(text.replaceAll(/\["(shop[^"]*)",\d+,/g, '["$1",'), (_key, value) =>
    Array.isArray(value) && typeof value[3] === "number" && String(value[0]).startsWith("shop-")
      ? value.toSpliced(3, 1)
      : value,
  );
}

describe.each([create, update, remove])("a plan of kind $name", (scenario) => {
  test("ends the same when every step runs twice", async () => {
    const { picture } = await undisturbed(scenario);
    const world = await worldBefore(scenario);
    const worker = world.startWorker({
      wrap: async (run, real) => {
        await real(run);
        await real(run);
      },
    });
    const end = await world.ended(await scenario.ask(world));
    expect(end.status).toBe("completed");
    expect(await world.picture()).toEqual(picture);
    await worker.stop();
  });

  test("ends the same when its worker dies at any commit", async () => {
    const { picture, commits } = await undisturbed(scenario);
    for (let commit = 1; commit <= commits; commit++) {
      const applied = commit % 2 === 0;
      await diesOnce(scenario, { commit, applied }, picture);
      await diesOnce(scenario, { commit, applied: !applied }, picture);
    }
  }, 60_000);

  test("can be asked for again after it failed at any step", async () => {
    const { steps, picture } = await undisturbed(scenario);
    for (const [index, failing] of steps.entries()) {
      const world = await worldBefore(scenario);
      const worker = world.startWorker({
        wrap: async (run, real) => {
          if (run.step.id !== failing || run.plan.generation > generationOf(scenario)) {
            return real(run);
          }
          if (index % 2 === 0) await real(run);
          throw new Error("the disk is on fire");
        },
      });
      const failed = await world.ended(await scenario.ask(world));
      expect(failed.status).toBe("failed");
      expect(failed.error).toContain(failing.slice(failing.indexOf("-") + 1));
      expect(failed.error).toContain("the disk is on fire");
      const broken = await world.operations.getDatabase("shop");
      expect(broken.state).toBe("failed");
      expect(broken.instances?.map(({ state }) => state)).not.toContain("creating");
      const healed = await world.ended(await scenario.again(world));
      expect(healed.error).toBeUndefined();
      expect(healed.status).toBe("completed");
      expect(withoutGenerations(await world.picture())).toEqual(withoutGenerations(picture));
      await worker.stop();
    }
  }, 60_000);

  test("can be canceled at any step", async () => {
    const { steps } = await undisturbed(scenario);
    for (const hanging of steps) {
      const world = await worldBefore(scenario);
      const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
      let there = false;
      reached.then(() => {
        there = true;
      });
      const worker = world.startWorker({
        wrap: (run, real) => {
          if (run.step.id !== hanging || run.plan.generation > generationOf(scenario)) {
            return real(run);
          }
          reach();
          return new Promise((_, reject) => {
            run.signal.addEventListener("abort", () => reject(run.signal.reason));
          });
        },
      });
      const task = await scenario.ask(world);
      await world.until(() => there);
      const canceling = await world.operations.cancelTask("shop", task.task_id);
      expect(canceling.status).toBe("canceling");
      const canceled = await world.ended(task);
      expect(canceled.status).toBe("canceled");
      const database = await world.operations.getDatabase("shop");
      expect(database.state).toBe("failed");
      const { entries } = await world.operations.taskLog("database", "shop", task.task_id, {});
      expect(entries.map(({ message }) => message)).toContain("task is being canceled");
      expect(entries.at(-1)).toMatchObject({
        message: "task canceled",
        fields: { status: "canceled" },
      });
      const healed = await world.ended(await scenario.again(world));
      expect(healed.status).toBe("completed");
      await worker.stop();
    }
  }, 60_000);
});

/** Generation that the first asking of a scenario leads to. */
function generationOf(scenario: Scenario): number {
  return scenario === create ? 1 : 2;
}

async function diesOnce(
  scenario: Scenario,
  deathAt: { readonly commit: number; readonly applied: boolean },
  picture: unknown,
): Promise<void> {
  const world = await worldBefore(scenario);
  const first = world.startWorker({ deathAt });
  const task = await scenario.ask(world);
  await world.until(async () => {
    const now = await world.operations.getTask("database", "shop", task.task_id);
    return first.dead() || now.completed_at !== undefined;
  });
  if (!first.dead()) {
    // Log entries travel with whatever commit comes next, so a run may need fewer commits than the counted one.
    expect(first.commits()).toBeLessThan(deathAt.commit);
    expect(await world.picture()).toEqual(picture);
    first.kill();
    return;
  }
  const second = world.startWorker();
  const end = await world.ended(task);
  expect({ deathAt, status: end.status, error: end.error }).toEqual({
    deathAt,
    status: "completed",
    error: undefined,
  });
  expect(await world.picture()).toEqual(picture);
  await second.stop();
}
