// What users can ask, in which order it is checked, and what is left behind.
import { describe, expect, test } from "bun:test";
import { host, shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { hostReportStaleMs } from "../base/limits.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import { instanceId } from "../spec/ids.ts";
import { saveHost, saveHostStatus } from "../store/hosts.ts";
import type { LogEvent } from "./operations.ts";

const plainSpec: DatabaseSpec = {
  database_name: "shop",
  port: 0,
  patroni_port: 0,
  nodes: [{ name: "n1", host_ids: ["host-1"] }],
  database_users: [{ username: "admin", password: "secret-one", db_owner: true }],
};

async function withShop(spec: DatabaseSpec = shopSpec): Promise<TaskWorld> {
  const world = await TaskWorld.create();
  const worker = world.startWorker();
  const { task } = await world.operations.createDatabase({ id: "shop", spec });
  expect(await world.ended(task)).toMatchObject({ status: "completed" });
  await worker.stop();
  return world;
}

async function storedText(world: TaskWorld): Promise<string> {
  return JSON.stringify(await world.picture());
}

describe("creating", () => {
  test("refuses in order: spec, hosts, what the host says, id", async () => {
    const world = await withShop();
    const create = (id: string, change: Partial<DatabaseSpec>) =>
      world.operations.createDatabase({ id, spec: { ...shopSpec, ...change } });
    world.listening = [7777];
    const badSpec = { database_name: "template1", port: 7777 };
    const unknownHost = { port: 7777, nodes: [{ name: "n1", host_ids: ["host-9"] }] };
    await expect(create("shop", { ...badSpec, ...unknownHost })).rejects.toMatchObject({
      error: "invalid_input",
      problems: [{ path: "database_name" }],
    });
    await expect(create("shop", unknownHost)).rejects.toMatchObject({
      error: "invalid_input",
      problems: [{ path: "nodes[0].host_ids[0]" }],
    });
    await expect(create("other", { port: 7777 })).rejects.toMatchObject({
      error: "invalid_input",
      problems: [{ path: "nodes[0].port", code: "port_in_use" }, { path: "nodes[0].patroni_port" }],
    });
    await expect(create("shop", {})).rejects.toMatchObject({
      error: "database_already_exists",
    });
  });

  test("finds all problems of a spec at once", async () => {
    const world = await TaskWorld.create();
    const request = {
      id: "Not An Id",
      spec: { ...shopSpec, scripts: { post_init: ["syntax error"] }, cpus: "0.0001" },
    };
    await expect(world.operations.createDatabase(request)).rejects.toMatchObject({
      problems: expect.arrayContaining([
        expect.objectContaining({ path: "id" }),
        expect.objectContaining({ path: "scripts.post_init[0]" }),
        expect.objectContaining({ path: "cpus" }),
      ]),
    });
  });

  test("refuses a data directory that holds something, and a host that cannot be reached", async () => {
    const world = await TaskWorld.create();
    const id = instanceId("shop", "n1", "host-1");
    await world.host.put(`/var/lib/postgresql/17/${id}/data/PG_VERSION`, "17", { mode: 0o600 });
    await expect(
      world.operations.createDatabase({ id: "shop", spec: shopSpec }),
    ).rejects.toMatchObject({ problems: [{ path: "nodes[0]", code: "directory_in_use" }] });
    await world.store.commit({
      opId: "host-2",
      guards: [],
      statements: [saveHost(world.store.db, host("host-2"), world.clock.nowMs())],
    });
    const spec = { ...shopSpec, nodes: [{ name: "n1", host_ids: ["host-2"] }] };
    await expect(world.operations.createDatabase({ id: "far", spec })).rejects.toMatchObject({
      problems: [{ code: "host_unreachable" }],
    });
  });

  test("keeps passwords as verifiers, and shows neither", async () => {
    const world = await withShop(plainSpec);
    const text = await storedText(world);
    expect(text).not.toContain("secret-one");
    const shop = await world.operations.getDatabase("shop");
    expect(shop.spec?.database_users?.[0]).toEqual({ username: "admin", db_owner: true });
    expect(JSON.stringify(shop)).not.toContain("SCRAM");
    const again = await world.operations.updateDatabase("shop", { spec: plainSpec }, false);
    const plan = await world.operations.getTask("database", "shop", again.task.task_id);
    expect(plan.status).toBe("pending");
    const worker = world.startWorker();
    await world.ended(again.task);
    const log = await world.operations.taskLog("database", "shop", again.task.task_id, {});
    expect(log.entries[0]?.fields).toMatchObject({ steps: 0 });
    await worker.stop();
  });

  test("seals credentials of repositories", async () => {
    const backup_config = {
      repositories: [
        { type: "s3" as const, s3_bucket: "backups", s3_key: "AKIA", s3_key_secret: "very-secret" },
      ],
    };
    const world = await withShop({ ...plainSpec, backup_config });
    const rows = await world.store.db.query.databases.findMany();
    expect(rows[0]?.spec).toContain("backups");
    expect(rows[0]?.spec).not.toContain("very-secret");
    const shown = await world.operations.getDatabase("shop");
    expect(JSON.stringify(shown)).not.toContain("AKIA");
    const plan = await world.operations.planUpdate(
      "shop",
      { spec: shown.spec ?? plainSpec },
      false,
    );
    expect(plan.steps).toEqual([]);
  });

  test("gives random ports that are free and stay", async () => {
    const world = await TaskWorld.create();
    const narrow = { ...host("host-1"), random_ports: { min: 6001, max: 6004 } };
    await world.store.commit({
      opId: "narrow",
      guards: [],
      statements: [saveHost(world.store.db, narrow, 1)],
    });
    world.listening = [6002];
    const worker = world.startWorker();
    const { task } = await world.operations.createDatabase({ id: "shop", spec: plainSpec });
    await world.ended(task);
    const portOf = async () =>
      (await world.operations.getDatabase("shop")).instances?.[0]?.connection_info;
    const before = await portOf();
    expect([6001, 6003, 6004]).toContain(before?.port ?? 0);
    expect(before?.addresses).toEqual(["host-1.example.com", "10.0.0.1"]);
    const spec = { ...plainSpec, postgresql_conf: { work_mem: "8MB" } };
    await world.ended((await world.operations.updateDatabase("shop", { spec }, false)).task);
    expect(await portOf()).toEqual(before);
    await expect(
      world.operations.createDatabase({ id: "second", spec: plainSpec }),
    ).rejects.toMatchObject({ problems: [{ code: "no_free_port" }] });
    await worker.stop();
  });

  test("refuses a port that belongs to another database, and gives it back on deletion", async () => {
    const world = await withShop();
    const spec = { ...shopSpec, patroni_port: 9999 };
    await expect(world.operations.createDatabase({ id: "two", spec })).rejects.toMatchObject({
      problems: [{ path: "nodes[0].port", message: expect.stringContaining("database shop") }],
    });
    const worker = world.startWorker();
    await world.ended((await world.operations.deleteDatabase("shop", false)).task);
    const { task } = await world.operations.createDatabase({ id: "two", spec });
    expect((await world.ended(task)).status).toBe("completed");
    await worker.stop();
  });

  test("answers the same key the same, and refuses it for another request", async () => {
    const world = await TaskWorld.create();
    const request = { spec: plainSpec };
    const first = await world.operations.createDatabase(request, "key-1");
    const second = await world.operations.createDatabase(request, "key-1");
    expect(second).toEqual(first);
    expect(await world.operations.listDatabases()).toHaveLength(1);
    await expect(
      world.operations.createDatabase({ spec: { ...plainSpec, port: 5433 } }, "key-1"),
    ).rejects.toMatchObject({ error: "invalid_input" });
    expect(await storedText(world)).not.toContain("secret-one");
  });

  test("answers two requests of one moment with the same key the same", async () => {
    const world = await TaskWorld.create();
    const [a, b] = await Promise.all([
      world.operations.createDatabase({ spec: plainSpec }, "key-1"),
      world.operations.createDatabase({ spec: plainSpec }, "key-1"),
    ]);
    expect(a).toEqual(b);
  });

  test("only plans when asked to", async () => {
    const world = await TaskWorld.create();
    const plan = await world.operations.planCreate({ id: "shop", spec: plainSpec });
    expect(plan).toMatchObject({ kind: "create", database_id: "shop", generation: 1 });
    expect(plan.steps.length).toBeGreaterThan(5);
    expect(JSON.stringify(plan)).not.toContain("secret-one");
    expect(await world.operations.listDatabases()).toEqual([]);
    expect(await world.operations.listTasks(undefined, undefined, { order: "desc" })).toEqual([]);
  });
});

describe("updating", () => {
  test("refuses in order: spec, existence, what cannot change, hosts, state", async () => {
    const world = await withShop();
    const { operations } = world;
    const update = (id: string, change: Partial<DatabaseSpec>) =>
      operations.updateDatabase(id, { spec: { ...shopSpec, ...change } }, false);
    await expect(update("none", { database_name: "template1" })).rejects.toMatchObject({
      error: "invalid_input",
    });
    await expect(update("none", {})).rejects.toMatchObject({ error: "not_found" });
    await expect(update("shop", { database_name: "store" })).rejects.toMatchObject({
      problems: [{ path: "database_name", code: "immutable" }],
    });
    await expect(
      operations.updateDatabase("shop", { tenant_id: "acme", spec: shopSpec }, false),
    ).rejects.toMatchObject({ problems: [{ path: "tenant_id" }] });
    await operations.updateDatabase("shop", { spec: shopSpec }, false);
    await expect(update("shop", { database_name: "store" })).rejects.toMatchObject({
      error: "invalid_input",
    });
    await expect(update("shop", {})).rejects.toMatchObject({ error: "database_not_modifiable" });
    await expect(operations.deleteDatabase("shop", false)).rejects.toMatchObject({
      error: "database_not_modifiable",
    });
  });

  test("lets exactly one of two at the same moment through", async () => {
    const world = await withShop();
    const change = (work_mem: string) =>
      world.operations.updateDatabase(
        "shop",
        { spec: { ...shopSpec, postgresql_conf: { work_mem } } },
        false,
      );
    const results = await Promise.allSettled([change("8MB"), change("16MB")]);
    const refused = results.filter((result) => result.status === "rejected");
    expect(refused.map(({ reason }) => reason)).toMatchObject([
      { error: "database_not_modifiable" },
    ]);
    const worker = world.startWorker();
    const [task] = await world.operations.listTasks("database", "shop", { order: "desc" });
    if (task) await world.ended(task);
    expect((await world.operations.getDatabase("shop")).state).toBe("available");
    await worker.stop();
  });

  test("takes back what was fetched", async () => {
    const world = await withShop(plainSpec);
    const fetched = await world.operations.getDatabase("shop");
    const plan = await world.operations.planUpdate(
      "shop",
      { spec: fetched.spec ?? plainSpec },
      false,
    );
    expect(plan.steps).toEqual([]);
  });

  test("is refused while another task works on the database", async () => {
    const world = await withShop();
    const id = (await world.operations.getDatabase("shop")).instances?.[0]?.id ?? "";
    await world.keepers.pass();
    await world.operations.restartInstance("shop", id);
    await expect(
      world.operations.updateDatabase("shop", { spec: shopSpec }, false),
    ).rejects.toMatchObject({ error: "operation_already_in_progress" });
  });
});

describe("tasks", () => {
  test("of a deleted database stay until its id is used again", async () => {
    const world = await withShop();
    const { operations } = world;
    const worker = world.startWorker();
    const { task } = await operations.deleteDatabase("shop", false);
    await world.ended(task);
    await expect(operations.deleteDatabase("shop", false)).rejects.toMatchObject({
      error: "not_found",
    });
    expect(await operations.listTasks("database", "shop", { order: "desc" })).toHaveLength(2);
    const log = await operations.taskLog("database", "shop", task.task_id, { limit: 1 });
    expect(log.entries).toMatchObject([{ message: "finished delete plan" }]);
    const again = await operations.createDatabase({ id: "shop", spec: shopSpec });
    const tasks = await operations.listTasks("database", "shop", { order: "desc" });
    expect(tasks.map(({ task_id }) => task_id)).toEqual([again.task.task_id]);
    await expect(operations.taskLog("database", "shop", task.task_id, {})).rejects.toMatchObject({
      error: "not_found",
    });
    await worker.stop();
  });

  test("are paged in both directions", async () => {
    const world = await withShop();
    const { operations } = world;
    const worker = world.startWorker();
    for (let n = 0; n < 3; n++) {
      const { task } = await operations.updateDatabase("shop", { spec: shopSpec }, false);
      await world.ended(task);
    }
    await worker.stop();
    const ids = async (page: Parameters<typeof operations.listTasks>[2]) =>
      (await operations.listTasks("database", "shop", page)).map(({ task_id }) => task_id);
    const oldest = await ids({ order: "asc" });
    expect(oldest).toHaveLength(4);
    expect(await ids({ order: "desc" })).toEqual(oldest.toReversed());
    expect(await ids({ order: "asc", limit: 2 })).toEqual(oldest.slice(0, 2));
    const after = { afterTaskId: oldest[1] ?? "", limit: 1 };
    expect(await ids({ order: "asc", ...after })).toEqual(oldest.slice(2, 3));
    expect(await ids({ order: "desc", ...after })).toEqual(oldest.slice(0, 1));
  });

  test("are followed to their end without losing an entry", async () => {
    const world = await TaskWorld.create();
    const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
    const events: LogEvent[] = [];
    let over = false;
    const following = (async () => {
      const stop = new AbortController();
      const log = world.operations.followTaskLog(
        "database",
        "shop",
        task.task_id,
        undefined,
        stop.signal,
      );
      for await (const event of log) events.push(event);
      over = true;
    })();
    const worker = world.startWorker();
    await world.until(() => over);
    await following;
    const { entries } = await world.operations.taskLog("database", "shop", task.task_id, {});
    expect(events.at(-1)).toMatchObject({ kind: "end", status: "completed" });
    expect(events.slice(0, -1).map(({ message }) => message)).toEqual(
      entries.map(({ message }) => message),
    );
    const rest = world.operations.followTaskLog(
      "database",
      "shop",
      task.task_id,
      events.at(-3)?.entryId,
      new AbortController().signal,
    );
    const tail: LogEvent[] = [];
    for await (const event of rest) tail.push(event);
    expect(tail.map(({ kind }) => kind)).toEqual(["entry", "end"]);
    await worker.stop();
  });

  test("that have ended, or are not there, cannot be canceled", async () => {
    const world = await withShop();
    const [task] = await world.operations.listTasks("database", "shop", { order: "desc" });
    const cancel = (id: string) => world.operations.cancelTask("shop", id);
    await expect(cancel("nonsense")).rejects.toMatchObject({ error: "invalid_input" });
    await expect(cancel("00000000-0000-7000-8000-000000000000")).rejects.toMatchObject({
      error: "not_found",
    });
    await expect(cancel(task?.task_id ?? "")).rejects.toMatchObject({ error: "invalid_input" });
    await expect(
      world.operations.getTask("host", "host-1", task?.task_id ?? ""),
    ).rejects.toMatchObject({ error: "not_found" });
  });
});

describe("what is shown", () => {
  test("of an instance is unknown when its keeper falls silent", async () => {
    const world = await withShop();
    const shown = async () => (await world.operations.getDatabase("shop")).instances?.[0];
    expect(await shown()).toMatchObject({
      state: "available",
      postgres: { patroni_state: "running", role: "primary", pending_restart: false },
      connection_info: { port: 5432 },
    });
    await world.clock.advance(10_500);
    expect(await shown()).toMatchObject({ state: "unknown" });
    const [summary] = await world.operations.listDatabases();
    expect(summary).toMatchObject({ id: "shop", state: "available" });
    expect(summary).not.toHaveProperty("spec");
  });

  test("of a host is what it said, until it says nothing any more", async () => {
    const world = await TaskWorld.create();
    const { store, clock, operations } = world;
    expect((await operations.getHost("host-1")).status.state).toBe("unknown");
    const say = (healthy: boolean) =>
      store.commit({
        opId: `status ${healthy}`,
        guards: [],
        statements: [
          saveHostStatus(store.db, "host-1", { components: { store: { healthy } } }, clock.nowMs()),
        ],
      });
    await say(true);
    expect(await operations.getHost("host-1")).toMatchObject({
      id: "host-1",
      memory: "17GB",
      status: { state: "healthy" },
      default_pgedge_version: { postgres_version: "17.11", spock_version: "" },
    });
    await say(false);
    expect((await operations.getHost("host-1")).status.state).toBe("degraded");
    await clock.advance(hostReportStaleMs + 1_000);
    expect((await operations.getHost("host-1")).status).toMatchObject({
      state: "unreachable",
      components: {},
    });
    await expect(operations.getHost("host-9")).rejects.toMatchObject({ error: "not_found" });
  });
});

describe("before init", () => {
  test("everything but init is refused", async () => {
    const world = await TaskWorld.create();
    const { createOperations } = await import("./control-plane.ts");
    const fresh = createOperations({ ...world.deps, runtime: () => undefined });
    await expect(fresh.listDatabases()).rejects.toMatchObject({ error: "cluster_not_initialized" });
    expect(fresh.initialised()).toBe(false);
    expect(await fresh.readiness()).toHaveLength(1);
    await expect(fresh.initCluster("Not An Id")).rejects.toMatchObject({ error: "invalid_input" });
    await expect(world.operations.initCluster()).rejects.toMatchObject({
      error: "cluster_already_initialized",
    });
  });
});
