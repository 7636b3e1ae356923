// Routes of high availability over the fake operations: their answers, headers, and what is refused before them.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "../support/http-server.ts";

let server: TestServer;
beforeEach(async () => {
  server = startTestServer();
  await call("POST", "/v1/cluster/init?cluster_id=c1");
  const spec = { database_name: "shop", nodes: [{ name: "n1", host_ids: ["h1", "h2"] }] };
  await call("POST", "/v1/databases", { id: "shop", spec });
});
afterEach(() => server.stop());

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const response = await fetch(server.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = JSON.parse((await response.text()) || "{}");
  return { status: response.status, headers: response.headers, body: answer };
}

test("the topology has a revision, which a change may name", async () => {
  const { status, headers, body } = await call("GET", "/v1/databases/shop/topology");
  expect([status, headers.get("etag")]).toEqual([200, '"1"']);
  expect(body.nodes[0].instances.map(({ role }: { role: string }) => role)).toEqual([
    "primary",
    "replica",
  ]);
  const change = { nodes: [{ name: "n1", synchronous: { mode: "on" } }] };
  const put = (ifMatch: string) =>
    call("PUT", "/v1/databases/shop/topology", change, { "if-match": ifMatch });
  expect(await put('"1"')).toMatchObject({ status: 200, body: { task: { type: "update" } } });
  expect(await put('"7"')).toMatchObject({ status: 412, body: { name: "precondition_failed" } });
  expect(await put("one")).toMatchObject({ status: 400, body: { name: "invalid_format" } });
  const dry = await call("PUT", "/v1/databases/shop/topology?dry_run=true", change);
  expect(dry.body).toMatchObject({ kind: "update", steps: [] });
});

test("who is primary is no field of it, and unknown ones are refused", async () => {
  const change = { nodes: [{ name: "n1", role: "primary", synchronous: { mode: "maybe" } }] };
  const { status, body } = await call("PUT", "/v1/databases/shop/topology", change);
  expect(status).toBe(400);
  expect(body.message).toContain("body.nodes[0].role: unknown field");
  expect(body.message).toContain("body.nodes[0].synchronous.mode: must be one of off, on");
});

test("the narrow routes change one field", async () => {
  const sync = "/v1/databases/shop/nodes/n1/synchronous";
  expect((await call("GET", sync)).body).toMatchObject({ mode: "off", standbys: [] });
  expect((await call("PUT", sync, { mode: "quorum", count: 1 })).body.task.type).toBe("update");
  expect((await call("GET", "/v1/databases/shop/nodes/n2/synchronous")).status).toBe(400);
  const upstream = (id: string) => `/v1/databases/shop/instances/${id}/upstream`;
  const to = { upstream: { instance_id: "shop-n1-a" } };
  expect((await call("PATCH", upstream("shop-n1-b"), to)).status).toBe(200);
  expect((await call("PATCH", upstream("shop-n1-b"), { upstream: {} })).status).toBe(200);
  expect((await call("PATCH", upstream("nobody"), to)).status).toBe(404);
});

test("slots are shown with a revision, and changed as of one", async () => {
  const slots = "/v1/databases/shop/nodes/n1/slots";
  const { status, headers, body } = await call("GET", slots);
  expect([status, headers.get("etag")]).toEqual([200, '"1"']);
  expect(body.instances[0].slots[0]).toMatchObject({ name: "feed", owner: "permanent" });
  const create = (slot: unknown, ifMatch = '"1"') =>
    call("POST", slots, slot, { "if-match": ifMatch });
  const made = await create({ name: "archive", type: "physical" });
  expect(made).toMatchObject({ status: 200, body: { task: { type: "update" } } });
  expect((await create({ name: "archive", type: "physical" }, '"7"')).status).toBe(412);
  expect((await create({ name: "archive", type: "odd" })).body.message).toContain("body.type");
  expect((await create({ name: "archive", type: "physical", temporary: true })).status).toBe(400);
  expect(
    (await call("POST", `${slots}?dry_run=true`, { name: "a", type: "physical" })).body,
  ).toEqual(expect.objectContaining({ kind: "update", steps: [] }));
  expect((await call("DELETE", `${slots}/feed`)).body.task.type).toBe("update");
  expect((await call("DELETE", `${slots}/feed?dry_run=true`)).body.steps).toEqual([]);
});

test("pause and resume", async () => {
  const paused = await call("POST", "/v1/databases/shop/nodes/n1/pause", {
    ttl_s: 60,
    reason: "disks",
  });
  expect(paused.body).toMatchObject({ node_name: "n1", reason: "disks" });
  const tooLong = await call("POST", "/v1/databases/shop/nodes/n1/pause", { ttl_s: 10_000_000 });
  expect(tooLong.body.name).toBe("invalid_range");
  expect((await call("POST", "/v1/databases/shop/nodes/n1/resume")).body).toEqual({
    node_name: "n1",
  });
});

test("history", async () => {
  const { body } = await call("GET", "/v1/databases/shop/nodes/n1/history");
  expect(body.entries).toMatchObject([{ epoch: 1, instance_id: "shop-n1-a", reason: "created" }]);
});

test("explain takes instances and hosts, several of each", async () => {
  const path = "/v1/databases/shop/nodes/n1/explain?instance_id=a&instance_id=b&host_id=h1";
  const { status, body } = await call("GET", path);
  expect(status).toBe(200);
  expect(body.cases).toMatchObject([{ lost: ["a", "b", "h1"], loses: "recent writes" }]);
});

test.each([
  ["nodes/n1/switchover", {}, "switchover"],
  ["nodes/n1/failover", { skip_validation: true }, "failover"],
  ["instances/shop-n1-b/promote", undefined, "switchover"],
  ["instances/shop-n1-b/reload", undefined, "reload_instance"],
  ["instances/shop-n1-b/checkpoint", undefined, "checkpoint_instance"],
  ["instances/shop-n1-b/rewind", undefined, "rewind_instance"],
  ["instances/shop-n1-b/reinitialize", { from: "shop-n1-a" }, "reinitialize_instance"],
])("POST …/%s makes a task", async (path, body, type) => {
  const answer = await call("POST", `/v1/databases/shop/${path}`, body);
  expect(answer).toMatchObject({ status: 200, body: { task: { type, status: "pending" } } });
});
