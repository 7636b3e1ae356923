// A small world for tests of plans: hosts, specs and a database that only exists as stored resources.
import { assert } from "../../src/base/assert.ts";
import { FakeDriver } from "../../src/orchestrator/fake/driver.ts";
import type { PortAllocation } from "../../src/plan/draft.ts";
import { instanceInputs } from "../../src/plan/inputs.ts";
import { nothingObserved, type ObservedDatabase } from "../../src/plan/observed.ts";
import { afterStep } from "../../src/plan/outcome.ts";
import { makePlan, type PlanInput } from "../../src/plan/plan.ts";
import type { Plan, StoredResource } from "../../src/plan/resource.ts";
import { nodesWithLeaving } from "../../src/plan/stages.ts";
import type { DatabaseSpec } from "../../src/spec/database-spec.ts";
import type { HostRecord } from "../../src/spec/host.ts";
import { instanceId } from "../../src/spec/ids.ts";
import { type ResolvedNode, resolveNodes } from "../../src/spec/normalise.ts";

export const driver = new FakeDriver();

/** A verifier of the shape that PostgreSQL stores; `salt` makes it another one. */
export function verifier(salt: string): string {
  return `SCRAM-SHA-256$4096:${Buffer.from(salt).toString("base64")}$c3RvcmVk:c2VydmVy`;
}

/** A host with PostgreSQL 15 and 17, 4 CPUs and 16 GiB. */
export function host(id: string, change: Partial<HostRecord> = {}): HostRecord {
  const octet = Number.parseInt(id.replaceAll(/\D/g, ""), 10);
  return {
    id,
    orchestrator: "fake",
    data_dir: "/var/lib/pgherd",
    run_dir: "/run/pgherd",
    instance_dir: "/var/lib/postgresql",
    postgres_user: "postgres",
    peer_addresses: [`10.0.0.${octet}`],
    client_addresses: [`${id}.example.com`, `10.0.0.${octet}`],
    cpus: 4,
    memory_bytes: 16 * 1024 ** 3,
    etcd_mode: "server",
    installations: [
      { major: 17, version: "17.11", bin_dir: "/usr/lib/postgresql/17/bin", spock_version: null },
      { major: 15, version: "15.18", bin_dir: "/usr/lib/postgresql/15/bin", spock_version: null },
    ],
    capabilities: { limits: true, survives_server_down: true, services: false },
    random_ports: { min: 5432, max: 15432 },
    server_version: "0.1.0",
    ...change,
  };
}

/** One node on host-1 with two users and both scripts. */
export const shopSpec: DatabaseSpec = {
  database_name: "shop",
  postgres_version: "17.11",
  port: 5432,
  patroni_port: 8888,
  nodes: [{ name: "n1", host_ids: ["host-1"] }],
  database_users: [
    { username: "admin", password: verifier("admin"), db_owner: true, attributes: ["LOGIN"] },
    { username: "app", password: verifier("app"), attributes: ["login"], roles: ["admin"] },
  ],
  scripts: {
    post_init: ["CREATE ROLE reporting"],
    post_database_create: ["CREATE TABLE a (id int)", "INSERT INTO a VALUES (1)"],
  },
};

/** Ports for every requested 0, far away from fixed ones. */
export function allocate(
  databaseId: string,
  nodes: readonly ResolvedNode[],
): readonly PortAllocation[] {
  return nodes.flatMap(({ name, hostIds }, node) =>
    hostIds.flatMap((hostId): PortAllocation[] => {
      const id = instanceId(databaseId, name, hostId);
      const port = 20_000 + node * 100 + Number.parseInt(hostId.replaceAll(/\D/g, ""), 10) * 2;
      return [
        { instanceId: id, port, purpose: "postgres" },
        { instanceId: id, port: port + 1, purpose: "rest" },
      ];
    }),
  );
}

/** A database as far as plans know it: what its resources are and which generation it has. */
export interface ModelDatabase {
  readonly databaseId: string;
  readonly generation: number;
  readonly wasAvailable: boolean;
  readonly stored: readonly StoredResource[];
  readonly hosts: readonly HostRecord[];
  /** Nodes that have a lease. */
  readonly leased: ReadonlySet<string>;
}

export function emptyDatabase(hosts: readonly HostRecord[]): ModelDatabase {
  return {
    databaseId: "shop",
    generation: 0,
    wasAvailable: false,
    stored: [],
    hosts,
    leased: new Set(),
  };
}

export interface Circumstances {
  readonly observed?: Partial<ObservedDatabase>;
  readonly forceUpdate?: boolean;
}

export function planInput(
  database: ModelDatabase,
  spec: DatabaseSpec,
  { observed = {}, forceUpdate = false }: Circumstances = {},
): PlanInput {
  const { databaseId, generation, wasAvailable, stored, hosts, leased } = database;
  return {
    kind: generation === 0 ? "create" : "update",
    databaseId,
    parentGeneration: generation,
    spec,
    nodes: resolveNodes(spec),
    hosts,
    ports: allocate(databaseId, nodesWithLeaving(resolveNodes(spec), stored, hosts)),
    placerOf: () => driver,
    wasAvailable,
    stored,
    leased,
    observed: { ...nothingObserved, ...observed },
    forceUpdate,
  };
}

/** The plan, which must not be refused. */
export function planned(
  database: ModelDatabase,
  spec: DatabaseSpec,
  circumstances: Circumstances = {},
): Plan {
  const result = makePlan(planInput(database, spec, circumstances));
  assert(result.ok, `refused: ${JSON.stringify(result)}`);
  return result.value;
}

/** The database after all steps of the plan succeeded. */
export function applied(database: ModelDatabase, plan: Plan): ModelDatabase {
  const stored = plan.steps.reduce(afterStep, database.stored);
  return {
    ...database,
    stored,
    generation: plan.generation,
    wasAvailable: true,
    leased: new Set([...database.leased, ...groupsIn(stored)]),
  };
}

/** Nodes with several instances: their keepers have made a lease. */
export function groupsIn(stored: readonly StoredResource[]): readonly string[] {
  return stored.flatMap((resource) =>
    resource.kind === "database.instance" && instanceInputs(resource).ha !== undefined
      ? [resource.nodeName ?? ""]
      : [],
  );
}

/** A database that was created from the spec. */
export function created(spec: DatabaseSpec, hosts: readonly HostRecord[]): ModelDatabase {
  const empty = emptyDatabase(hosts);
  return applied(empty, planned(empty, spec));
}
