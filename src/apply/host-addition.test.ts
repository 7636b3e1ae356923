// Tasks that add and remove hosts without a server: whatever fails or dies, they end, and nothing is kept that
// should not be.
import { expect, test } from "bun:test";
import { host } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { AppError } from "../base/errors.ts";
import { newHostTask } from "../operations/accept.ts";
import type { PlannedHost } from "../spec/add-host.ts";
import type { HostRecord } from "../spec/host.ts";
import { insertHost, listHosts } from "../store/hosts.ts";
import { insertTask, loadTask, type TaskRecord } from "../store/tasks.ts";
import type { HostWork } from "./host-work.ts";

const ssh = {
  address: "10.0.0.9",
  port: 22,
  user: "root",
  host_key: "ssh-ed25519 AAAA",
  sudo: false,
  sealed: "pgherd-sealed:1:secret",
  bin_dirs: [],
};
const record: HostRecord = { ...host("far"), ssh };
const { data_dir, run_dir, instance_dir, postgres_user } = record;
const planned: PlannedHost = {
  ...{ id: "far", ssh, data_dir, run_dir, instance_dir, postgres_user },
  peer_addresses: ["10.0.0.9"],
  client_addresses: ["10.0.0.9"],
  random_ports: { min: 5_432, max: 15_432 },
  labels: { zone: "a" },
};
const make: HostWork["make"] = async () => ({ kind: "managed", record, components: {} });

async function adding(): Promise<{ world: TaskWorld; task: TaskRecord }> {
  const world = await TaskWorld.create();
  const task = newHostTask(world.deps, "far", "add_host", { addHost: planned });
  const { store } = world;
  await store.commit({ opId: "add", guards: [], statements: [insertTask(store.db, task)] });
  return { world, task };
}

async function ended(world: TaskWorld, id: string): Promise<TaskRecord | undefined> {
  let now: TaskRecord | undefined;
  await world.until(async () => {
    now = await loadTask(world.store.db, id);
    return now?.completedAtMs !== null;
  });
  return now;
}

const far = async (world: TaskWorld) => (await listHosts(world.store.db, ["far"]))[0];

test("the host is in the list with its status and labels, and the task keeps no credentials", async () => {
  const { world, task } = await adding();
  const worker = world.startWorker({ hostWork: { make } });
  const end = await ended(world, task.id);
  await worker.stop();
  expect(end).toMatchObject({ status: "completed", error: null });
  expect(JSON.stringify(end?.work)).not.toContain("sealed");
  expect(await far(world)).toMatchObject({ record, settings: { labels: { zone: "a" } } });
  expect((await far(world))?.status).toBeDefined();
});

test("what may pass is tried again; what will not is taken back", async () => {
  for (const kind of ["retryable", "terminal"] as const) {
    const { world, task } = await adding();
    const calls: string[] = [];
    const worker = world.startWorker({
      hostWork: {
        make: async () => {
          calls.push("make");
          throw new AppError(kind, "it does not work");
        },
        unmake: async () => {
          calls.push("unmake");
        },
      },
    });
    const end = await ended(world, task.id);
    await worker.stop();
    expect(end).toMatchObject({ status: "failed" });
    expect(end?.error).toContain("it does not work");
    expect(JSON.stringify(end?.work)).not.toContain("sealed");
    const tries = kind === "retryable" ? ["make", "make", "make"] : ["make"];
    expect(calls).toEqual([...tries, "unmake"]);
    expect(await far(world)).toBeUndefined();
  }
});

test("a worker that dies at any commit leaves it to the next", async () => {
  for (const applied of [true, false]) {
    for (let commit = 1; commit <= 6; commit++) {
      const { world, task } = await adding();
      const first = world.startWorker({ hostWork: { make }, deathAt: { commit, applied } });
      await world.until(async () => {
        const now = await loadTask(world.store.db, task.id);
        return first.dead() || now?.completedAtMs !== null;
      });
      first.kill();
      const second = world.startWorker({ hostWork: { make } });
      expect(await ended(world, task.id)).toMatchObject({ status: "completed" });
      await second.stop();
      expect(await far(world)).toMatchObject({ record });
    }
  }
});

test("a host that cannot be cleaned stays, unless it is given up", async () => {
  for (const force of [false, true]) {
    const world = await TaskWorld.create();
    const { store } = world;
    await store.commit({
      opId: "far",
      guards: [],
      statements: [insertHost(store.db, record, world.clock.nowMs())],
    });
    const clean = async () => {
      throw new AppError("retryable", "no answer");
    };
    const worker = world.startWorker({ hostWork: { clean } });
    const { task } = await world.operations.removeHost("far", force);
    const end = await ended(world, task.task_id);
    await worker.stop();
    expect(end?.status).toBe(force ? "completed" : "failed");
    expect((await far(world)) === undefined).toBe(force);
    const { entries } = await world.operations.taskLog("host", "far", task.task_id, {});
    const stays = entries.filter(({ fields }) => fields?.stays !== undefined);
    expect(stays).toHaveLength(force ? 1 : 0);
  }
});
