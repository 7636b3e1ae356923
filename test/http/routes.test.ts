// Every route over a real socket: shapes, headers, paging, what is allowed before init.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "../support/http-server.ts";

const SPEC = { database_name: "shop", nodes: [{ name: "n1", host_ids: ["h1"] }] };

let server: TestServer;
beforeEach(() => {
  server = startTestServer();
});
afterEach(() => server.stop());

/** What the tests look at in an answer, whichever answer it is. */
interface Body {
  readonly id: unknown;
  readonly kind: unknown;
  readonly name: unknown;
  readonly message: unknown;
  readonly orchestrator: unknown;
  readonly problems: unknown;
  readonly server_urls: unknown;
  readonly spec: unknown;
  readonly state: unknown;
  readonly status: unknown;
  readonly token: unknown;
  readonly database: unknown;
  readonly task: { readonly task_id: string; readonly type: unknown };
  readonly tasks: readonly { readonly task_id: string }[];
  readonly databases: readonly { readonly id: string }[];
  readonly hosts: readonly { readonly id: string }[];
  readonly entries: readonly { readonly message: string }[];
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Body;
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(server.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.startsWith("application/json") && text !== "";
  const parsed = JSON.parse(json ? text : "{}");
  return { status: response.status, headers: response.headers, text, body: parsed };
}

async function initialise(): Promise<void> {
  expect((await call("POST", "/v1/cluster/init?cluster_id=c1")).status).toBe(200);
}

async function createShop(): Promise<string> {
  const { status, body } = await call("POST", "/v1/databases", { id: "shop", spec: SPEC });
  expect(status).toBe(200);
  return body.task.task_id;
}

describe("before init", () => {
  test.each([
    ["GET", "/", 204],
    ["GET", "/v1/version", 200],
    ["GET", "/v1/openapi.json", 200],
    ["GET", "/docs", 200],
    ["GET", "/livez", 200],
    ["GET", "/readyz", 503],
  ])("%s %s answers %d", async (method, path, status) => {
    expect((await call(method, path)).status).toBe(status);
  });

  test.each([
    ["GET", "/v1/cluster"],
    ["GET", "/v1/cluster/join-token"],
    ["POST", "/v1/internal/cluster/join-options"],
    ["GET", "/v1/hosts"],
    ["GET", "/v1/hosts/h1"],
    ["DELETE", "/v1/hosts/h1"],
    ["GET", "/v1/databases"],
    ["POST", "/v1/databases"],
    ["GET", "/v1/databases/shop"],
    ["POST", "/v1/databases/shop"],
    ["DELETE", "/v1/databases/shop"],
    ["GET", "/v1/databases/shop/tasks/x/cancel"],
    ["GET", "/v1/tasks"],
  ])("%s %s is refused", async (method, path) => {
    const { status, headers, body } = await call(method, path);
    expect(status).toBe(409);
    expect(headers.get("goa-error")).toBe("cluster_not_initialized");
    expect(body.name).toBe("cluster_not_initialized");
  });
});

describe("system", () => {
  test("the root names the document", async () => {
    const { status, headers } = await call("GET", "/");
    expect(status).toBe(204);
    expect(headers.get("link")).toBe('</v1/openapi.json>; rel="service-desc"');
  });

  test("the version", async () => {
    expect((await call("GET", "/v1/version")).body).toEqual<unknown>({
      version: "1.2.3",
      revision: "abc",
      revision_time: "2026-01-01T00:00:00Z",
      arch: "amd64",
    });
  });

  test("HEAD answers like GET, with a date and without a body", async () => {
    const { status, headers, text } = await call("HEAD", "/v1/version");
    expect(status).toBe(200);
    expect(headers.get("date")).toBe("Thu, 01 Jan 2026 00:00:00 GMT");
    expect(text).toBe("");
  });

  test("HEAD changes nothing where GET would", async () => {
    const { status, headers } = await call("HEAD", "/v1/cluster/init");
    expect(status).toBe(405);
    expect(headers.get("allow")).toBe("GET, POST");
    expect(headers.get("date")).toBeString();
    expect(server.operations.initialised()).toBe(false);
  });

  test("readiness says what is missing", async () => {
    await initialise();
    expect((await call("GET", "/readyz")).body).toEqual<unknown>({ status: "ready", problems: [] });
    server.operations.problems = ["no store"];
    const { status, body } = await call("GET", "/readyz");
    expect(status).toBe(503);
    expect(body).toEqual<unknown>({ status: "not_ready", problems: ["no store"] });
    server.announceStop();
    expect((await call("GET", "/readyz")).body.problems).toEqual(["the server is stopping"]);
  });
});

describe("cluster and hosts", () => {
  test.each(["GET", "POST"])("%s init makes the cluster once", async (method) => {
    const first = await call(method, "/v1/cluster/init?cluster_id=c1");
    expect(first.status).toBe(200);
    expect(first.body.token).toMatch(/^PGEDGE-\w{64}-\w{32}$/);
    expect(first.body.server_urls).toEqual(["http://127.0.0.1:3000"]);
    const second = await call(method, "/v1/cluster/init");
    expect(second.status).toBe(409);
    expect(second.body.name).toBe("cluster_already_initialized");
    expect((await call("GET", "/v1/cluster")).body.id).toBe("c1");
  });

  test("token, cluster, hosts, host", async () => {
    await initialise();
    expect((await call("GET", "/v1/cluster/join-token")).body.token).toStartWith("PGEDGE-");
    const cluster = (await call("GET", "/v1/cluster")).body;
    expect(cluster.status).toEqual<unknown>({ state: "available" });
    expect(cluster.hosts).toHaveLength(1);
    expect((await call("GET", "/v1/hosts")).body.hosts[0]?.id).toBe("h1");
    expect((await call("GET", "/v1/hosts/h1")).body.orchestrator).toBe("baremetal");
    expect((await call("GET", "/v1/hosts/h2")).status).toBe(404);
  });
});

describe("databases", () => {
  beforeEach(initialise);

  test("create, list, get, update, delete", async () => {
    const created = await call("POST", "/v1/databases", { id: "shop", spec: SPEC });
    expect(created.body.task).toMatchObject({ type: "create", status: "pending" });
    expect(created.body.database).toMatchObject({ id: "shop", state: "creating", spec: SPEC });
    server.operations.finish(created.body.task.task_id, "completed");

    const { body: list } = await call("GET", "/v1/databases?include=available_upgrades&include=x");
    expect(list.databases.map(({ id }) => id)).toEqual(["shop"]);
    const { body: fetched } = await call("GET", "/v1/databases/shop");
    expect(fetched.state).toBe("available");

    const posted = { spec: fetched.spec, tenant_id: "t1" };
    const updated = await call("POST", "/v1/databases/shop?force_update=", posted);
    expect(updated.body.task.type).toBe("update");
    const again = await call("POST", "/v1/databases/shop", posted);
    expect(again.headers.get("goa-error")).toBe("database_not_modifiable");
    expect(again.status).toBe(409);
    expect((await call("POST", "/v1/databases/shop?force_update=true", posted)).status).toBe(200);

    server.operations.finish(updated.body.task.task_id, "completed");
    expect((await call("DELETE", "/v1/databases/shop")).body.task.type).toBe("delete");
    expect((await call("DELETE", "/v1/databases/shop")).status).toBe(409);
    expect((await call("DELETE", "/v1/databases/shop?force=1")).status).toBe(200);
    expect((await call("GET", "/v1/databases/none")).status).toBe(404);
  });

  test("the body is JSON whatever its type is called", async () => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const { status } = await call("POST", "/v1/databases", { id: "shop", spec: SPEC }, headers);
    expect(status).toBe(200);
  });

  test("a dry run answers a plan and changes nothing", async () => {
    const dry = await call("POST", "/v1/databases?dry_run=true", { id: "shop", spec: SPEC });
    expect(dry.body).toMatchObject({ kind: "create", database_id: "shop", steps: [] });
    expect((await call("GET", "/v1/databases/shop")).status).toBe(404);
    await createShop();
    const update = await call("POST", "/v1/databases/shop?dry_run=true", { spec: SPEC });
    expect(update.body.kind).toBe("update");
    expect((await call("DELETE", "/v1/databases/shop?dry_run=true")).body.kind).toBe("delete");
    expect((await call("GET", "/v1/databases/shop")).body.state).toBe("creating");
  });

  test("a dry run without a value is refused rather than run", async () => {
    const { status } = await call("POST", "/v1/databases?dry_run=", { id: "shop", spec: SPEC });
    expect(status).toBe(400);
    expect((await call("GET", "/v1/databases/shop")).status).toBe(404);
  });

  test("an idempotency key repeats the first answer", async () => {
    const headers = { "idempotency-key": "k1" };
    const first = await call("POST", "/v1/databases", { id: "shop", spec: SPEC }, headers);
    const second = await call("POST", "/v1/databases", { id: "shop", spec: SPEC }, headers);
    expect(second.body).toEqual(first.body);
    const tooLong = { "idempotency-key": "k".repeat(129) };
    const refused = await call("POST", "/v1/databases", { spec: SPEC }, tooLong);
    expect(refused.body.name).toBe("invalid_length");
  });

  test("instances restart, stop and start", async () => {
    await createShop();
    const instance = "/v1/databases/shop/instances/shop-n1-abcdefgh";
    const restart = await call("POST", `${instance}/restart`, {});
    expect(restart.body.task.type).toBe("restart_instance");
    const at = { scheduled_at: "2026-02-01T00:00:00Z" };
    expect((await call("POST", `${instance}/restart`, at)).status).toBe(200);
    expect((await call("POST", `${instance}/restart`)).body.name).toBe("missing_payload");
    const stop = await call("POST", `${instance}/stop-instance?force=true`);
    expect(stop.body.task.type).toBe("stop_instance");
    const start = await call("POST", `${instance}/start-instance`);
    expect(start.body.task.type).toBe("start_instance");
    const unknown = await call("POST", "/v1/databases/shop/instances/other/start-instance");
    expect(unknown.status).toBe(404);
  });
});

describe("tasks", () => {
  beforeEach(initialise);

  test("pages in both directions", async () => {
    await createShop();
    for (let turn = 0; turn < 3; turn++) {
      await call("POST", "/v1/databases/shop?force_update=true", { spec: SPEC });
    }
    const ids = async (query: string) => {
      const { body } = await call("GET", `/v1/databases/shop/tasks${query}`);
      return body.tasks.map((task) => task.task_id);
    };
    const newestFirst = await ids("");
    expect(newestFirst).toHaveLength(4);
    expect(newestFirst).toEqual(newestFirst.toSorted().reverse());
    for (const order of ["asc", "ascend", "ascending"]) {
      expect(await ids(`?sort_order=${order}`)).toEqual(newestFirst.toReversed());
    }
    expect(await ids("?limit=2&sort_order=descending")).toEqual(newestFirst.slice(0, 2));
    const second = await ids(`?limit=2&after_task_id=${newestFirst[1]}`);
    expect(second).toEqual(newestFirst.slice(2));
    expect(await ids("?limit=0")).toHaveLength(4);
    expect((await call("GET", "/v1/tasks")).body.tasks).toHaveLength(4);
    const one = await call("GET", "/v1/tasks?scope=database&entity_id=shop&limit=1");
    expect(one.body.tasks).toHaveLength(1);
    expect((await call("GET", "/v1/tasks?scope=host")).body.tasks).toEqual([]);
    expect((await call("GET", "/v1/hosts/h1/tasks")).body.tasks).toEqual([]);
    expect((await call("GET", "/v1/databases/other/tasks")).body.tasks).toEqual([]);
  });

  test("an entity needs a scope", async () => {
    const { status, body } = await call("GET", "/v1/tasks?entity_id=shop");
    expect(status).toBe(400);
    expect(body).toMatchObject({ name: "invalid_input", errors: [{ path: "entity_id" }] });
  });

  test("one task, its log, its cancelling", async () => {
    const taskId = await createShop();
    const path = `/v1/databases/shop/tasks/${taskId}`;
    expect((await call("GET", path)).body.status).toBe("pending");
    expect((await call("GET", `${path}/log`)).body.entries).toEqual([]);
    const first = server.operations.log(taskId, "one", { host_id: "h1" });
    const second = server.operations.log(taskId, "two");
    const log = (await call("GET", `${path}/log`)).body;
    expect(log).toMatchObject({ task_status: "pending", last_entry_id: second });
    expect(log.entries).toEqual<unknown>([
      { timestamp: "2026-01-01T00:00:00Z", message: "one", fields: { host_id: "h1" } },
      { timestamp: "2026-01-01T00:00:00Z", message: "two" },
    ]);
    const messages = async (query: string) =>
      (await call("GET", `${path}/log${query}`)).body.entries.map((entry) => entry.message);
    expect(await messages("?limit=1")).toEqual(["two"]);
    expect(await messages(`?after_entry_id=${first}`)).toEqual(["two"]);
    expect((await call("POST", `${path}/cancel`)).body.status).toBe("canceling");
    expect((await call("GET", `${path}/cancel`)).body.status).toBe("canceling");
    server.operations.finish(taskId, "canceled");
    expect((await call("GET", `${path}/cancel`)).status).toBe(400);
    const unknown = "01900000-0000-7000-8000-000000000000";
    expect((await call("GET", `/v1/databases/shop/tasks/${unknown}`)).status).toBe(404);
    expect((await call("GET", `/v1/hosts/h1/tasks/${unknown}`)).status).toBe(404);
    expect((await call("GET", `/v1/hosts/h1/tasks/${unknown}/logs`)).status).toBe(404);
  });
});

describe("what this version does not have", () => {
  beforeEach(initialise);

  const restore = {
    restore_config: {
      source_database_id: "shop",
      source_node_name: "n1",
      source_database_name: "shop",
      repository: { type: "posix" },
    },
  };
  test.each([
    ["POST", "/v1/databases/shop/upgrade", { image: "postgres:17" }],
    ["POST", "/v1/databases/shop/restore", restore],
    ["POST", "/v1/databases/shop/nodes/n1/backups", { type: "full" }],
  ])("%s %s is a declared error", async (method, path, body) => {
    const { status, headers, body: answer } = await call(method, path, body);
    expect(status).toBe(400);
    expect(headers.get("goa-error")).toBe("operation_not_supported");
    expect(answer.message).toContain("not available in this version");
  });

  test("a wrong body is found first", async () => {
    const { body } = await call("POST", "/v1/databases/shop/nodes/n1/backups", { type: "some" });
    expect(body.name).toBe("invalid_enum_value");
    const wrongNode = await call("POST", "/v1/databases/shop/nodes/one/switchover", {});
    expect(wrongNode.body.message).toBe("path.node_name: must match n[0-9]+");
  });
});
