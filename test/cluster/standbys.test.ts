// A node with standbys on real processes: three hosts, three PostgreSQL, one primary, through the API alone.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Body, eventually, installations, query, spec } from "../e2e/harness.ts";
import { TestCluster, type TestHost } from "./members.ts";

setDefaultTimeout(300_000);

/** Standbys are copied with programs that not every installation brings. */
const complete = installations().find(({ binDir }) => existsSync(join(binDir, "pg_basebackup")));
if (!complete) throw new Error("no PostgreSQL with pg_basebackup is installed");
const [, version] =
  /(\d+\.\d+)/.exec(
    Bun.spawnSync([join(complete.binDir, "postgres"), "--version"]).stdout.toString(),
  ) ?? [];

const hosts = (...ids: string[]) =>
  spec({
    postgres_version: version,
    nodes: [{ name: "n1", host_ids: ids }],
    patroni_port: 0,
    memory: "512MiB",
  });

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.of(3);
  const { status, body } = await cluster
    .host(1)
    .post("/v1/databases", { id: "shop", spec: hosts("h1", "h2", "h3") });
  expect(status).toBe(200);
  await completed(cluster.host(1), body.task);
});
afterAll(() => cluster.destroy());

/** Waits for the task, which must complete. */
async function completed(host: TestHost, task: Body): Promise<Body> {
  const end = await host.finished(task, 240_000);
  if (end.status === "completed") return end;
  const { body } = await host.get(`/v1/databases/shop/tasks/${task.task_id}/log`);
  const lines = body.entries.map((entry: Body) => entry.message).join("\n");
  throw new Error(`${task.type} ${end.status}: ${end.error}\n${lines}`);
}

async function node(host = cluster.host(1)): Promise<Body> {
  const { body } = await host.get("/v1/databases/shop/topology");
  return body.nodes[0];
}

/** Runs SQL on one instance, by its host. */
async function on(hostId: string, sql: string): Promise<unknown[][]> {
  const { body } = await cluster.host(1).get("/v1/databases/shop");
  const instance = body.instances.find((each: Body) => each.host_id === hostId);
  return query(instance, "admin", "s3cret-pass", "shop", sql);
}

function roles(shown: Body): Record<string, string> {
  return Object.fromEntries(
    shown.instances.map((each: Body) => [
      each.host_id,
      each.role === "primary" ? "primary" : each.replication_state,
    ]),
  );
}

describe("a database on three hosts", () => {
  test("has one primary and two streaming standbys", async () => {
    const shown = await node();
    expect(shown).toMatchObject({ state: "available", epoch: 1, timeline: 1 });
    expect(roles(shown)).toEqual({ h1: "primary", h2: "streaming", h3: "streaming" });
    await on("h1", "CREATE TABLE kept (n int)");
    await on("h1", "INSERT INTO kept VALUES (1)");
    for (const standby of ["h2", "h3"]) {
      await eventually(`${standby} has the row`, async () => {
        const rows = await on(standby, "SELECT n FROM kept").catch(() => []);
        return rows.length === 1 ? true : undefined;
      });
    }
  });

  test("the same spec changes nothing", async () => {
    const { body } = await cluster
      .host(2)
      .post("/v1/databases/shop?dry_run=true", { spec: hosts("h1", "h2", "h3") });
    expect(body.steps).toEqual([]);
  });
});

describe("its primary", () => {
  test("moves by a switchover, and takes writes that the others get", async () => {
    const before = await node();
    const to = before.instances.find((each: Body) => each.host_id === "h2").instance_id;
    const { status, body } = await cluster
      .host(3)
      .post("/v1/databases/shop/nodes/n1/switchover", { candidate_instance_id: to });
    expect(status).toBe(200);
    await completed(cluster.host(1), body.task);
    const after = await node();
    expect(after).toMatchObject({ primary_instance_id: to, epoch: 2, timeline: 2 });
    await on("h2", "INSERT INTO kept VALUES (2)");
    expect(await on("h2", "SELECT n FROM kept ORDER BY n")).toEqual([[1], [2]]);
    await eventually(
      "the old primary follows",
      async () => (roles(await node()).h1 === "streaming" ? true : undefined),
      60_000,
    );
    const { body: history } = await cluster.host(1).get("/v1/databases/shop/nodes/n1/history");
    expect(history.entries.map((entry: Body) => entry.epoch)).toEqual([2, 1]);
    const { body: explained } = await cluster
      .host(1)
      .get("/v1/databases/shop/nodes/n1/explain?host_id=h2");
    expect(explained.cases[0]).toMatchObject({ loses: "recent writes" });
    expect(explained.cases[0].primary_instance_id).toBeDefined();
  });

  test("keeps the slots that are asked for on every instance, and drops them when told", async () => {
    const path = "/v1/databases/shop/nodes/n1/slots";
    const made = await cluster.host(3).post(path, { name: "archive", type: "physical" });
    expect(made.status).toBe(200);
    await completed(cluster.host(1), made.body.task);
    const owners = async () => {
      const { body } = await cluster.host(1).get(path);
      return Object.fromEntries(
        body.instances.map(({ host_id, slots }: Body) => [
          host_id,
          slots.map(({ owner }: Body) => owner).sort(),
        ]),
      );
    };
    const all = ["member", "member", "permanent"];
    await eventually("the slot on every instance", async () =>
      Bun.deepEquals(await owners(), { h1: all, h2: all, h3: all }) ? true : undefined,
    );
    const { body: shown } = await cluster.host(1).get(path);
    const primary = shown.instances.find((each: Body) => each.role === "primary");
    const archive = primary.slots.find((slot: Body) => slot.name === "archive");
    expect(archive).toMatchObject({ type: "physical", active: false, wal_status: "reserved" });
    expect((await cluster.host(1).post(path, { name: "archive", type: "physical" })).status).toBe(
      409,
    );
    const member = primary.slots.find((slot: Body) => slot.owner === "member");
    const kept = await cluster.host(1).request("DELETE", `${path}/${member.name}`);
    expect([kept.status, kept.body.name]).toEqual([409, "conflict"]);
    const dropped = await cluster.host(1).request("DELETE", `${path}/archive`);
    await completed(cluster.host(1), dropped.body.task);
    await eventually("the end of the slot", async () =>
      Object.values(await owners())
        .flat()
        .includes("permanent")
        ? undefined
        : true,
    );
  });

  test("makes way for a restart, and roles go to the new one", async () => {
    const change = hosts("h1", "h2", "h3");
    change.postgresql_conf = { max_connections: 60, shared_buffers: "32MB" };
    change.database_users.push({ username: "late", attributes: ["LOGIN"] });
    const { body } = await cluster.host(1).post("/v1/databases/shop", { spec: change });
    await completed(cluster.host(1), body.task);
    const after = await node();
    expect(after).toMatchObject({ state: "available", epoch: 3 });
    expect(roles(after).h2).toBe("streaming");
    for (const id of ["h1", "h2", "h3"]) {
      expect(await on(id, "SHOW max_connections")).toEqual([["60"]]);
      expect(await on(id, "SELECT count(*)::int FROM pg_roles WHERE rolname = 'late'")).toEqual([
        [1],
      ]);
      expect(await on(id, "SELECT n FROM kept ORDER BY n")).toEqual([[1], [2]]);
    }
  });

  test("leaves its host with the data intact, and the host can come back", async () => {
    const { instances, primary_instance_id } = await node();
    const leaving = instances.find(
      (each: Body) => each.instance_id === primary_instance_id,
    ).host_id;
    const rest = ["h1", "h2", "h3"].filter((id) => id !== leaving);
    const conf = { max_connections: 60, shared_buffers: "32MB" };
    const shrunk = await cluster
      .host(1)
      .post("/v1/databases/shop", { spec: { ...hosts(...rest), postgresql_conf: conf } });
    await completed(cluster.host(1), shrunk.body.task);
    const smaller = await node();
    expect(smaller.instances.map((each: Body) => each.host_id).sort()).toEqual(rest);
    expect(await on(rest[0] ?? "", "SELECT n FROM kept ORDER BY n")).toEqual([[1], [2]]);
    const grown = await cluster
      .host(1)
      .post("/v1/databases/shop", { spec: { ...hosts(...rest, leaving), postgresql_conf: conf } });
    await completed(cluster.host(1), grown.body.task);
    expect(await node()).toMatchObject({ state: "available" });
    expect(await on(leaving, "SELECT n FROM kept ORDER BY n")).toEqual([[1], [2]]);
  });
});
