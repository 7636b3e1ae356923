// One plan per behaviour, as the text that a dry run shows. Read test/golden/plans/*.txt.
import { describe, expect, test } from "bun:test";
import { assert, must } from "../../src/base/assert.ts";
import { checkPlan } from "../../src/plan/check.ts";
import { explainPlan } from "../../src/plan/explain.ts";
import { instanceInputs } from "../../src/plan/inputs.ts";
import { planRestart, planStart, planStop } from "../../src/plan/instance-plans.ts";
import { nothingObserved } from "../../src/plan/observed.ts";
import { storedAfterFailure } from "../../src/plan/outcome.ts";
import { makeDeletePlan } from "../../src/plan/plan.ts";
import { type Plan, resourceKey, type StoredResource } from "../../src/plan/resource.ts";
import type { DatabaseSpec } from "../../src/spec/database-spec.ts";
import { instanceId } from "../../src/spec/ids.ts";
import {
  applied,
  created,
  emptyDatabase,
  host,
  type ModelDatabase,
  planned,
  shopSpec,
  verifier,
} from "../support/planning.ts";
import { expectGolden } from "./golden.ts";

const hosts = [host("host-1"), host("host-2")];
const twoNodes: DatabaseSpec = {
  ...shopSpec,
  port: 0,
  patroni_port: 0,
  nodes: [
    { name: "n1", host_ids: ["host-1"] },
    { name: "n2", host_ids: ["host-1"] },
  ],
};
const withSettings = (settings: Record<string, unknown>): DatabaseSpec => ({
  ...shopSpec,
  postgresql_conf: settings,
});

function golden(name: string, plan: Plan, before: ModelDatabase): void {
  expect(checkPlan(plan, before.stored)).toEqual([]);
  expectGolden(`plans/${name}.txt`, explainPlan(plan));
}

/** The database after the step failed, whose key begins as given, and all before it succeeded. */
function failedAt(before: ModelDatabase, plan: Plan, kind: string): ModelDatabase {
  const at = plan.steps.findIndex(({ resource }) => resource.kind === kind);
  const step = must(plan.steps[at], `step of ${kind}`);
  const done = applied(before, { ...plan, steps: plan.steps.slice(0, at) });
  const key = resourceKey(step.resource);
  const previous = before.stored.find((resource) => resourceKey(resource) === key);
  const failed = storedAfterFailure(step, previous, "the host did not answer");
  const others = done.stored.filter((resource) => resourceKey(resource) !== key);
  const stored: readonly StoredResource[] = failed === undefined ? others : [...others, failed];
  return { ...done, stored, wasAvailable: before.wasAvailable };
}

describe("create", () => {
  const empty = emptyDatabase(hosts);

  test("one node", () => {
    golden("create-one-node", planned(empty, shopSpec), empty);
  });

  test("two nodes on one host", () => {
    golden("create-two-nodes-on-one-host", planned(empty, twoNodes), empty);
  });

  test("again after a step failed", () => {
    const failed = failedAt(empty, planned(empty, shopSpec), "database.instance");
    golden("create-again-after-a-failure", planned(failed, shopSpec), failed);
  });
});

describe("update", () => {
  const shop = created(shopSpec, hosts);

  test("with the same spec", () => {
    golden("update-nothing", planned(shop, shopSpec), shop);
  });

  test("a setting that is reloaded", () => {
    golden("update-setting-by-reload", planned(shop, withSettings({ work_mem: "64MB" })), shop);
  });

  test("a setting that needs a restart", () => {
    const spec = withSettings({ max_connections: 300, work_mem: "64MB" });
    golden("update-setting-by-restart", planned(shop, spec), shop);
  });

  test("a setting that needs a restart, on two nodes", () => {
    const two = created(twoNodes, hosts);
    const spec = { ...twoNodes, postgresql_conf: { max_connections: 300 } };
    golden("update-setting-rolling", planned(two, spec), two);
  });

  test("the port", () => {
    golden("update-port", planned(shop, { ...shopSpec, port: 5433 }), shop);
  });

  test("pg_hba.conf", () => {
    const spec = { ...shopSpec, pg_hba_conf: ["host all all 192.168.0.0/16 scram-sha-256"] };
    golden("update-hba", planned(shop, spec), shop);
  });

  test("memory", () => {
    golden("update-memory", planned(shop, { ...shopSpec, memory: "4GiB" }), shop);
  });

  test("add a user", () => {
    const users = [
      ...(shopSpec.database_users ?? []),
      { username: "audit", password: verifier("audit"), attributes: ["LOGIN"] },
    ];
    golden("update-add-user", planned(shop, { ...shopSpec, database_users: users }), shop);
  });

  test("remove a user who shall lose LOGIN", () => {
    const users = (shopSpec.database_users ?? []).slice(0, 1);
    const spec = { ...shopSpec, database_users: users, disable_removed_users: true };
    const plan = planned(shop, spec);
    golden("update-remove-user", plan, shop);
    expect(planned(applied(shop, plan), spec).steps).toEqual([]);
  });

  test("add a node", () => {
    const nodes = [...shopSpec.nodes, { name: "n2", host_ids: ["host-2"] }];
    golden("update-add-node", planned(shop, { ...shopSpec, nodes }), shop);
  });

  test("remove a node", () => {
    const two = created(twoNodes, hosts);
    golden(
      "update-remove-node",
      planned(two, { ...twoNodes, nodes: twoNodes.nodes.slice(0, 1) }),
      two,
    );
  });

  test("forced", () => {
    golden("update-forced", planned(shop, shopSpec, { forceUpdate: true }), shop);
  });

  test("forced while settings wait for a restart", () => {
    const [id] = shop.stored.flatMap(({ instanceId }) => instanceId ?? []);
    const observed = { pendingRestart: new Set([must(id, "instance")]) };
    const plan = planned(shop, shopSpec, { forceUpdate: true, observed });
    golden("update-forced-with-pending-restart", plan, shop);
  });

  test("again after a step failed", () => {
    const spec = withSettings({ max_connections: 300 });
    const failed = failedAt(shop, planned(shop, spec), "database.instance");
    golden("update-again-after-a-failure", planned(failed, spec), failed);
  });

  test("a keeper that is gone", () => {
    const [id] = shop.stored.flatMap(({ instanceId }) => instanceId ?? []);
    const observed = { absentKeepers: new Set([must(id, "instance")]) };
    golden("update-keeper-is-gone", planned(shop, shopSpec, { observed }), shop);
  });

  test("a new address of the host", () => {
    const moved = host("host-1", { client_addresses: ["db1.example.com"] });
    const renamed = { ...shop, hosts: [moved, host("host-2")] };
    golden("update-host-address", planned(renamed, shopSpec), renamed);
  });

  test("a host that reports a little less memory restarts nothing", () => {
    const shrunk = host("host-1", { memory_bytes: 16 * 1024 ** 3 - 100_000_000 });
    expect(planned({ ...shop, hosts: [shrunk] }, shopSpec).steps).toEqual([]);
  });
});

describe("standbys", () => {
  const three = [...hosts, host("host-3")];
  const four = [...three, host("host-4")];
  const withHosts = (...host_ids: string[]): DatabaseSpec => ({
    ...shopSpec,
    nodes: [{ name: "n1", host_ids }],
  });
  const group = created(withHosts("host-1", "host-2", "host-3"), three);

  test("create with two", () => {
    const empty = emptyDatabase(three);
    const spec = withHosts("host-1", "host-2", "host-3");
    golden("create-with-standbys", planned(empty, spec), empty);
    expect(planned(group, spec).steps).toEqual([]);
    expect(planned(group, withHosts("host-3", "host-1", "host-2")).restarts).toEqual([]);
  });

  test("add one to a node that had none", () => {
    const lone = created(shopSpec, three);
    golden("update-add-standby", planned(lone, withHosts("host-1", "host-2")), lone);
  });

  test("remove one, and the last one", () => {
    const two = withHosts("host-1", "host-2");
    const plan = planned(group, two);
    golden("update-remove-standby", plan, group);
    const left = applied(group, plan);
    golden("update-remove-last-standby", planned(left, shopSpec), left);
    expect(planned(left, shopSpec).restarts).toEqual([]);
  });

  test("remove the host of the primary", () => {
    const spec = withHosts("host-2", "host-3");
    const plan = planned(group, spec);
    golden("update-remove-primary", plan, group);
    const left = applied(group, plan);
    expect(planned(left, spec).steps).toEqual([]);
    const [, second] = ["host-1", "host-2"].map((id) => instanceId("shop", "n1", id));
    const observed = { primaries: new Map([["n1", second ?? ""]]) };
    expect(planned(group, spec, { observed }).switchovers).toEqual([]);
  });

  test("move to other hosts", () => {
    const two = created(withHosts("host-1", "host-2"), four);
    const spec = withHosts("host-3", "host-4");
    const plan = planned(two, spec);
    golden("update-move-group", plan, two);
    expect(planned(applied(two, plan), spec).steps).toEqual([]);
  });

  test("move a node of one instance, which has no port for its keeper", () => {
    const { patroni_port: _, ...plain } = shopSpec;
    const lone = created(plain, three);
    const spec = { ...plain, nodes: [{ name: "n1", host_ids: ["host-2"] }] };
    const plan = planned(lone, spec);
    golden("update-move-lone", plan, lone);
    expect(planned(applied(lone, plan), spec).steps).toEqual([]);
  });

  test("settings by reload, and by restart", () => {
    const spec = withHosts("host-1", "host-2");
    const two = created(spec, three);
    const reload = { ...spec, postgresql_conf: { work_mem: "64MB" } };
    golden("update-group-setting-by-reload", planned(two, reload), two);
    const restart = { ...spec, postgresql_conf: { shared_buffers: "1GB", max_connections: 3000 } };
    golden("update-group-setting-by-restart", planned(two, restart), two);
    const [, second] = ["host-1", "host-2"].map((id) => instanceId("shop", "n1", id));
    const observed = { primaries: new Map([["n1", second ?? ""]]) };
    const other = planned(two, restart, { observed });
    expect(other.restarts).toEqual([instanceId("shop", "n1", "host-1"), second ?? ""]);
  });

  test("settings that standbys may not have below their primary", () => {
    const spec = withHosts("host-1", "host-2");
    const two = created(spec, three);
    const lower = { ...spec, postgresql_conf: { max_connections: 100 } };
    golden("update-group-lower", planned(two, lower), two);
    const both = { ...spec, postgresql_conf: { max_connections: 100, max_worker_processes: 64 } };
    const plan = planned(two, both);
    golden("update-group-raise-and-lower", plan, two);
    expect(planned(applied(two, plan), both).steps).toEqual([]);
  });

  test("slots, which come when every keeper knows them", () => {
    const spec = withHosts("host-1", "host-2");
    const two = created(spec, three);
    const with_ = (...slots: NonNullable<DatabaseSpec["nodes"][number]["slots"]>) => ({
      ...spec,
      nodes: spec.nodes.map((node) => ({ ...node, slots })),
    });
    const more = with_({ name: "feed", type: "logical" }, { name: "archive", type: "physical" });
    const [first, second] = ["host-1", "host-2"].map((id) => instanceId("shop", "n1", id));
    for (const primary of [first ?? "", second ?? ""]) {
      const observed = { primaries: new Map([["n1", primary]]) };
      expect(planned(two, more, { observed }).steps.at(-1)?.resource.kind).toBe("database.slots");
    }
    const plan = planned(two, more);
    golden("update-group-slots", plan, two);
    const kept = applied(two, plan);
    const none = planned(kept, spec);
    golden("update-group-slots-gone", none, kept);
    expect(planned(applied(kept, none), spec).steps).toEqual([]);
  });

  test("a minor version", () => {
    const installations = [
      { major: 17, version: "17.11", bin_dir: "/opt/pg17.11/bin", spock_version: null },
      { major: 17, version: "17.10", bin_dir: "/opt/pg17.10/bin", spock_version: null },
    ];
    const equipped = ["host-1", "host-2"].map((id) => host(id, { installations }));
    const spec = { ...withHosts("host-1", "host-2"), postgres_version: "17.10" };
    const two = created(spec, equipped);
    const plan = planned(two, { ...spec, postgres_version: "17.11" });
    golden("update-group-minor", plan, two);
  });

  test("delete", () => {
    const { databaseId, stored, generation } = group;
    const plan = makeDeletePlan({
      databaseId,
      stored,
      parentGeneration: generation,
      observed: nothingObserved,
    });
    golden("delete-with-standbys", plan, group);
  });
});

describe("delete", () => {
  test("everything", () => {
    const shop = created(shopSpec, hosts);
    const { databaseId, stored, generation } = shop;
    const plan = makeDeletePlan({
      databaseId,
      stored,
      parentGeneration: generation,
      observed: nothingObserved,
    });
    golden("delete", plan, shop);
    expect(applied(shop, plan).stored).toEqual([]);
  });
});

describe("one instance", () => {
  const shop = created(shopSpec, hosts);
  const instance = must(
    shop.stored.find(({ kind }) => kind === "database.instance"),
    "instance",
  );
  const asked = {
    databaseId: shop.databaseId,
    instanceId: instance.id,
    parentGeneration: shop.generation,
    stored: shop.stored,
    observed: nothingObserved,
  };

  test("restart", () => {
    const plan = planRestart(asked);
    assert(plan.ok, "planned");
    golden("restart-instance", plan.value, shop);
  });

  test("stop, and start again", () => {
    const stop = planStop(asked);
    assert(stop.ok, "planned");
    golden("stop-instance", stop.value, shop);
    const stopped = applied(shop, stop.value);
    const start = planStart({ ...asked, stored: stopped.stored, parentGeneration: 2 });
    assert(start.ok, "planned");
    golden("start-instance", start.value, stopped);
    golden("update-starts-a-stopped-instance", planned(stopped, shopSpec), stopped);
  });

  test("an unknown one", () => {
    expect(planStop({ ...asked, instanceId: "shop-n9-00000000" })).toEqual({
      ok: false,
      error: "not_found",
    });
  });
});

describe("configuration of an instance", () => {
  const text = (database: ModelDatabase): string => {
    const [first] = database.stored.filter(({ kind }) => kind === "database.instance");
    return `${JSON.stringify(instanceInputs(must(first, "instance")), null, 2)}\n`;
  };

  test("without Spock", () => {
    expectGolden("plans/configuration-plain.txt", text(created(shopSpec, hosts)));
  });

  test("with Spock on PostgreSQL 18 and everything else set", () => {
    const pg18 = {
      major: 18,
      version: "18.4",
      bin_dir: "/usr/pgsql-18/bin",
      spock_version: "5.0.4",
    };
    const big = host("host-1", { memory_bytes: 512 * 1024 ** 3, cpus: 64, installations: [pg18] });
    const spec: DatabaseSpec = {
      ...twoNodes,
      postgres_version: "18.4",
      cpus: "500m",
      memory: "512MB",
      pg_hba_conf: ["host all all 10.1.0.0/16 md5"],
      pg_ident_conf: ["staff alice app"],
      postgresql_conf: { work_mem: "64MB", Log_Connections: true },
      nodes: [
        {
          name: "n7",
          host_ids: ["host-1"],
          postgresql_conf: { work_mem: "8MB", random_page_cost: 1.1, max_wal_size: 4096 },
          pg_hba_conf: ["host all all 10.2.0.0/16 reject"],
        },
      ],
    };
    expectGolden("plans/configuration-spock.txt", text(created(spec, [big])));
  });
});
