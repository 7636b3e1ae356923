// What plans refuse, how they order, and what steps take from them.
import { describe, expect, test } from "bun:test";
import {
  created,
  emptyDatabase,
  host,
  planInput,
  planned,
  shopSpec,
  verifier,
} from "../../test/support/planning.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import { instanceConfig, instanceInputs } from "./inputs.ts";
import { inDependencyOrder } from "./order.ts";
import { makePlan } from "./plan.ts";
import { databaseRequest, restAuthentication, rolesRequest, scriptRequest } from "./requests.ts";
import type { Resource } from "./resource.ts";
import { restartReasons } from "./restart.ts";
import { viewPlan } from "./view.ts";

const hosts = [host("host-1"), host("host-2")];
const empty = emptyDatabase(hosts);
const shop = created(shopSpec, hosts);

function problems(database: typeof empty, spec: DatabaseSpec): readonly string[] {
  const result = makePlan(planInput(database, spec));
  return result.ok ? [] : result.error.map(({ path, code }) => `${path} ${code}`);
}

function resourceOf(kind: Resource["kind"], spec = shopSpec): Resource {
  const step = planned(empty, spec).steps.find(({ resource }) => resource.kind === kind);
  if (step === undefined) throw new Error(`no step of ${kind}`);
  return step.resource;
}

describe("makePlan refuses", () => {
  test("to replace the only instance of a node by an empty one", () => {
    const moved = { ...shopSpec, nodes: [{ name: "n1", host_ids: ["host-2"] }] };
    const [, other] = hosts;
    const gone = { ...shop, hosts: other ? [other] : [] };
    expect(problems(gone, moved)).toEqual(["nodes[0].host_ids data_loss"]);
    expect(problems(shop, moved)).toEqual([]);
    const both = { ...shopSpec, nodes: [{ name: "n1", host_ids: ["host-2", "host-1"] }] };
    expect(problems(shop, both)).toEqual([]);
  });

  test("settings that a server would not start with, wherever they are written", () => {
    const nodes = [
      {
        name: "n1",
        host_ids: ["host-1"],
        postgresql_conf: { block_size: 8192, io_method: "sync" },
      },
    ];
    const spec = { ...shopSpec, nodes, postgresql_conf: { shared_bufers: "1GB", "my.thing": 1 } };
    expect(problems(empty, spec)).toEqual([
      "postgresql_conf.shared_bufers unknown_parameter",
      "nodes[0].postgresql_conf.block_size read_only_parameter",
      "nodes[0].postgresql_conf.io_method unknown_parameter",
    ]);
  });

  test("passwords that are no verifiers, as a bug", () => {
    const database_users = [{ username: "app", password: "hunter2" }];
    expect(() => problems(empty, { ...shopSpec, database_users })).toThrow("no verifier");
  });
});

describe("order", () => {
  const resource = (id: string, ...dependsOn: string[]): { readonly resource: Resource } => ({
    resource: {
      kind: "database.roles",
      id,
      hostId: "h",
      inputs: {},
      dependsOn: dependsOn.map((other) => `database.roles::${other}`),
    },
  });
  const ids = (...items: ReturnType<typeof resource>[]) =>
    inDependencyOrder(items).map((item) => item.resource.id);

  test("puts needs first and otherwise keeps the given order", () => {
    expect(ids(resource("c", "b", "x"), resource("a"), resource("b", "a"), resource("d"))).toEqual([
      "a",
      "b",
      "c",
      "d",
    ]);
  });

  test("refuses a cycle", () => {
    expect(() => ids(resource("a", "b"), resource("b", "a"))).toThrow("depend on each other");
    expect(() => ids(resource("a", "a"))).toThrow("depend on each other");
  });

  test("survives a chain longer than any stack", () => {
    const chain = Array.from({ length: 50_000 }, (_, at) => resource(`${at}`, `${at + 1}`));
    expect(inDependencyOrder(chain)).toHaveLength(50_000);
  });

  test("existing standbys go before the primary, and new instances after it", () => {
    const replicas = { ...shopSpec, nodes: [{ name: "n1", host_ids: ["host-1", "host-2"] }] };
    const three = [...hosts, host("host-3")];
    const database = created(replicas, three);
    const spec = {
      ...replicas,
      nodes: [{ name: "n1", host_ids: ["host-1", "host-3", "host-2"] }],
      postgresql_conf: { max_connections: 3000 },
    };
    const plan = planned(database, spec);
    const restarted = plan.steps.filter(({ restarts }) => restarts);
    expect(restarted.map((step) => step.resource.hostId)).toEqual(["host-2", "host-1"]);
    expect(plan.steps.at(-1)?.resource.hostId).toBe("host-3");
    expect(plan.switchovers).toEqual(["n1"]);
    expect(plan.writeGapMs).toEqual({ n1: 300 });
  });
});

describe("restartReasons", () => {
  test("names settings of the postmaster and the fields that only a start reads", () => {
    const paths = ["/port", "/hba", "/parameters/work_mem", "/parameters/wal_level", "/rest_port"];
    const changes = paths.map((path) => ({ path }));
    expect(restartReasons(changes, 17)).toEqual(["port", "wal_level"]);
  });
});

describe("steps take from the plan", () => {
  test("the configuration with its generations", () => {
    const resource = resourceOf("database.instance");
    expect(instanceConfig(resource, 7, false)).toMatchObject({
      generation: 7,
      restart_generation: 0,
    });
    const config = instanceConfig(resource, 7, true);
    expect(config.restart_generation).toBe(7);
    expect(Object.keys(config)).not.toContain("tuned_for");
    expect(() => instanceInputs(resourceOf("database.roles"))).toThrow(
      "is not a database.instance",
    );
  });

  test("who may use the REST API, with the verifier from the spec and never from the plan", () => {
    const ops = { username: "ops", password: verifier("ops") };
    const spec = { ...shopSpec, patroni_authentication: ops };
    const plan = planned(emptyDatabase([host("host-1")]), spec);
    expect(JSON.stringify(plan)).not.toContain(ops.password);
    const instance = plan.steps.find(({ resource }) => resource.kind === "database.instance");
    if (!instance) throw new Error("no step of an instance");
    const { resource } = instance;
    expect(instanceConfig(resource, 1, false)).not.toHaveProperty("rest_authentication");
    expect(restAuthentication(resource, spec)).toEqual({ username: "ops", verifier: ops.password });
    const other = { ...spec, patroni_authentication: { ...ops, password: verifier("other") } };
    expect(() => restAuthentication(resource, other)).toThrow("of another spec");
    const changed = planned(created(spec, [host("host-1")]), other);
    expect(changed.steps.map(({ changes }) => changes.map(({ path }) => path))).toEqual([
      ["/rest_authentication/verifier_digest"],
    ]);
    expect(changed.restarts).toEqual([]);
  });

  test("requests, with secrets from the spec that the plan was made from", () => {
    expect(rolesRequest(resourceOf("database.roles"), shopSpec)).toEqual({
      kind: "roles",
      disabled: [],
      roles: [
        { name: "admin", attributes: ["LOGIN"], member_of: [], verifier: verifier("admin") },
        { name: "app", attributes: ["LOGIN"], member_of: ["admin"], verifier: verifier("app") },
      ],
    });
    expect(scriptRequest(resourceOf("database.script"), shopSpec)).toEqual({
      kind: "script",
      key: "post_init",
      database: "postgres",
      statements: ["CREATE ROLE reporting"],
    });
    expect(databaseRequest(resourceOf("database.postgres_database"))).toEqual({
      kind: "database",
      name: "shop",
      owner: "admin",
      extensions: [],
    });
  });

  test("nothing from another spec", () => {
    const other = { ...shopSpec, database_users: [{ username: "admin" }, { username: "app" }] };
    expect(() => rolesRequest(resourceOf("database.roles"), other)).toThrow("another spec");
    const scripts = { post_init: ["DROP TABLE a"] };
    const script = resourceOf("database.script");
    expect(() => scriptRequest(script, { ...shopSpec, scripts })).toThrow("another spec");
  });
});

test("the view has no secret and tells the same as the plan", () => {
  const plan = planned(empty, shopSpec);
  const view = viewPlan(plan);
  expect(view.steps).toHaveLength(plan.steps.length);
  expect(view.text).toContain("create database.roles::shop-n1 on host-1");
  expect(JSON.stringify({ view, plan })).not.toContain("SCRAM-SHA-256$");
  expect(JSON.stringify({ view, plan })).not.toContain("CREATE TABLE");
});

test("a machine that is only known by loopback addresses is not opened to the network", () => {
  const local = host("host-1", { client_addresses: ["localhost"], peer_addresses: ["127.0.0.1"] });
  const plan = planned(emptyDatabase([local]), shopSpec);
  const instance = plan.steps.find(({ resource }) => resource.kind === "database.instance");
  expect(instance?.resource.inputs.listen_addresses).toEqual(["127.0.0.1"]);
});
