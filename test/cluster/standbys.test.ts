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
