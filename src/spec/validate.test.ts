import { expect, test } from "bun:test";
import { sampleNode, sampleService, sampleSpec } from "../../test/support/spec-samples.ts";
import type { Diagnostic } from "../base/result.ts";
import type { BackupConfigSpec, RestoreConfigSpec } from "./backup-spec.ts";
import type { DatabaseSpec, DatabaseUserSpec } from "./database-spec.ts";
import type { ServiceSpec } from "./service-spec.ts";
import { type ValidationContext, validateDatabaseSpec, validateIds } from "./validate.ts";

const metal: ValidationContext = {
  services: false,
  spock: false,
  parseStatement: (sql) => (sql.includes(";") ? "holds 2 statements instead of one" : null),
};
const withServices: ValidationContext = { ...metal, services: true, databaseId: "d".repeat(36) };

/** `path code` of every problem, in order. */
function found(problems: readonly Diagnostic[]): readonly string[] {
  return problems.map(({ path, code }) => `${path} ${code}`);
}

function check(fields: Partial<DatabaseSpec>, context = metal): readonly string[] {
  return found(validateDatabaseSpec(sampleSpec(fields), context));
}

const n1 = sampleNode();
const n2 = sampleNode({ name: "n2", host_ids: ["h2"] });
const restore: RestoreConfigSpec = {
  source_database_id: "old",
  source_node_name: "n1",
  source_database_name: "shop",
  repository: { type: "posix", base_path: "/backups" },
};
const backup = (fields: Partial<BackupConfigSpec>): BackupConfigSpec => ({
  repositories: [{ type: "posix", base_path: "/backups" }],
  ...fields,
});
const users = (...list: readonly DatabaseUserSpec[]) => ({ database_users: [...list] });
const app = { username: "app", password: "x", db_owner: true };

test("ids of a request are identifiers", () => {
  expect(validateIds({})).toEqual([]);
  expect(validateIds({ id: "shop", tenant_id: "t-1" })).toEqual([]);
  expect(found(validateIds({ id: "Shop", tenant_id: "t--1" }))).toEqual([
    "id malformed",
    "tenant_id malformed",
  ]);
});

const good: readonly (readonly [string, Partial<DatabaseSpec>])[] = [
  ["the smallest spec", {}],
  ["quantities", { cpus: "0.5", memory: "1GiB", nodes: [sampleNode({ cpus: "0", memory: "0" })] }],
  [
    "random ports everywhere",
    { port: 0, patroni_port: 0, nodes: [n1, { ...n2, host_ids: ["h1"] }] },
  ],
  ["one fixed port on different hosts", { port: 5432, patroni_port: 8888, nodes: [n1, n2] }],
  [
    "different ports on one host",
    {
      nodes: [
        { ...n1, port: 1 },
        { ...n2, host_ids: ["h1"], port: 2, patroni_port: 3 },
      ],
    },
  ],
  ["no port at all", { nodes: [n1, n2] }],
  ["a copy of another node", { nodes: [n1, { ...n2, source_node: "n1" }] }],
  ["a restored node", { nodes: [n1, { ...n2, restore_config: restore }] }],
  ["an owner and other users", users(app, { username: "b", attributes: ["login", "NOSUPERUSER"] })],
  ["roles", users({ username: "a", roles: ["b", "pg_read_all_data", "Über"] })],
  ["scripts", { scripts: { post_init: ["SELECT 1"], post_database_create: [] } }],
  [
    "settings",
    { postgresql_conf: { work_mem: "4MB", fsync: true, max_connections: 50, "spock.x": "1" } },
  ],
  ["any preloaded libraries without Spock", { postgresql_conf: { shared_preload_libraries: "x" } }],
  ["lines", { pg_hba_conf: ["# c", "host all all all md5"], pg_ident_conf: ["m a b"] }],
  ["extensions", { extensions: ["hstore", "uuid-ossp"] }],
  [
    "schedules",
    {
      backup_config: backup({
        schedules: [
          { id: "a", type: "full", cron_expression: "0 3 * * 0" },
          { id: "b", type: "incr", cron_expression: "*/15 1-5 * * mon-fri" },
        ],
      }),
    },
  ],
  [
    "object stores",
    {
      backup_config: backup({
        repositories: [
          { id: "a", type: "s3", s3_bucket: "bucket" },
          { id: "b", type: "gcs", gcs_bucket: "bucket", gcs_key: "line\nline" },
          { id: "c", type: "azure", azure_account: "acc", azure_container: "con", azure_key: "k" },
        ],
      }),
    },
  ],
  ["labels", { orchestrator_opts: { swarm: { extra_labels: { "traefik.enable": "true" } } } }],
  ["empty options of an orchestrator", { orchestrator_opts: {} }],
];

test.each(good)("nothing is wrong with %s", (_, fields) => {
  expect(check(fields)).toEqual([]);
});

const bad: readonly (readonly [string, Partial<DatabaseSpec>, readonly string[]])[] = [
  ["a template's name", { database_name: "template1" }, ["database_name reserved"]],
  ["a name with a control character", { database_name: "a\nb" }, ["database_name malformed"]],
  ["a name of too many bytes", { database_name: "é".repeat(32) }, ["database_name malformed"]],
  [
    "quantities",
    { memory: "lots", nodes: [sampleNode({ cpus: "9999999999", memory: "1XB" })] },
    ["memory malformed", "nodes[0].cpus malformed", "nodes[0].memory malformed"],
  ],
  [
    "two nodes on one host with the database's port",
    { port: 5432, nodes: [n1, { ...n2, host_ids: ["h1"] }] },
    ["nodes[1].port conflict"],
  ],
  [
    "the same port for two purposes",
    { nodes: [sampleNode({ port: 5432, patroni_port: 5432 })] },
    ["nodes[0].patroni_port conflict"],
  ],
  [
    "one of several hosts that has the port twice",
    { port: 1, nodes: [sampleNode({ host_ids: ["h1", "h2"] }), { ...n2, host_ids: ["h3", "h2"] }] },
    ["nodes[1].port conflict"],
  ],
  [
    "malformed names of nodes",
    { nodes: [sampleNode({ name: "xn1y" }), sampleNode({ name: "n01", host_ids: ["h2"] })] },
    ["nodes[0].name malformed", "nodes[1].name malformed"],
  ],
  ["a node's name twice", { nodes: [n1, { ...n2, name: "n1" }] }, ["nodes[1].name duplicate"]],
  [
    "hosts",
    { nodes: [sampleNode({ host_ids: ["H1", "h2", "h2"] })] },
    ["nodes[0].host_ids[0] malformed", "nodes[0].host_ids[2] duplicate"],
  ],
  [
    "an unknown source",
    { nodes: [n1, { ...n2, source_node: "n9" }] },
    ["nodes[1].source_node unknown"],
  ],
  [
    "a node as its own source",
    { nodes: [{ ...n1, source_node: "n1" }] },
    ["nodes[0].source_node conflict"],
  ],
  [
    "a source and a restore",
    { nodes: [n1, { ...n2, source_node: "n1", restore_config: restore }] },
    ["nodes[1].source_node conflict"],
  ],
  [
    "a chain of sources",
    { nodes: [n1, { ...n2, source_node: "n1" }, { ...n1, name: "n3", source_node: "n2" }] },
    ["nodes[2].source_node conflict"],
  ],
  ["a user twice", users(app, { username: "app" }), ["database_users[1].username duplicate"]],
  [
    "several owners",
    users(app, { ...app, username: "b" }, { ...app, username: "c" }),
    ["database_users[1].db_owner conflict", "database_users[2].db_owner conflict"],
  ],
  ...[
    "pg_x",
    "pgedge",
    "patroni_replicator",
    "pgedge_superuser",
    "pgherd",
    "pgherd_x",
    "public",
  ].map(
    (username) =>
      [
        `the user ${username}`,
        users({ username }),
        ["database_users[0].username reserved"],
      ] as const,
  ),
  ...["a\0b", "a\nb", "x".repeat(64), "é".repeat(32)].map(
    (username) =>
      [
        `the user ${JSON.stringify(username)}`,
        users({ username }),
        ["database_users[0].username malformed"],
      ] as const,
  ),
  [
    "passwords",
    users(
      { username: "a", password: "a\0" },
      { username: "b", password: `md5${"a".repeat(32)}` },
      {
        username: "c",
        password: `SCRAM-SHA-256$2000000:AAAA$${"A".repeat(43)}=:${"A".repeat(43)}=`,
      },
    ),
    [
      "database_users[0].password malformed",
      "database_users[1].password unsupported",
      "database_users[2].password unsupported",
    ],
  ],
  [
    "attributes",
    users({ username: "a", attributes: ["LOGIN", "nologin", "LOGIN", "PASSWORD 'x'", "NO"] }),
    [
      "database_users[0].attributes[1] conflict",
      "database_users[0].attributes[2] duplicate",
      "database_users[0].attributes[3] unknown",
      "database_users[0].attributes[4] unknown",
    ],
  ],
  [
    "roles",
    users({ username: "a", roles: ["b", "b", "", "a", "x".repeat(64)] }),
    [
      "database_users[0].roles[1] duplicate",
      "database_users[0].roles[2] malformed",
      "database_users[0].roles[3] conflict",
      "database_users[0].roles[4] malformed",
    ],
  ],
  [
    "scripts",
    { scripts: { post_init: ["SELECT 1", "a; b"], post_database_create: ["x\0", "c;d"] } },
    [
      "scripts.post_init[1] malformed",
      "scripts.post_database_create[0] malformed",
      "scripts.post_database_create[1] malformed",
    ],
  ],
  [
    "settings that are ours",
    {
      postgresql_conf: {
        hba_file: "x",
        IDENT_FILE: "x",
        data_directory: "x",
        config_file: "x",
        external_pid_file: "x",
        unix_socket_directories: "x",
        Port: 1,
        listen_addresses: "*",
      },
    },
    [
      "postgresql_conf.hba_file owned",
      "postgresql_conf.IDENT_FILE owned",
      "postgresql_conf.data_directory owned",
      "postgresql_conf.config_file owned",
      "postgresql_conf.external_pid_file owned",
      "postgresql_conf.unix_socket_directories owned",
      "postgresql_conf.Port owned",
      "postgresql_conf.listen_addresses owned",
    ],
  ],
  [
    "settings that would break out of their line",
    {
      nodes: [
        sampleNode({
          postgresql_conf: {
            "work_mem = 1\nfsync": "off",
            include: "/etc/passwd",
            "": 1,
            a: "x\ny",
            b: "x\0",
            c: null,
            d: [1],
            e: { f: 1 },
          },
        }),
      ],
    },
    [
      "nodes[0].postgresql_conf.work_mem = 1\nfsync malformed",
      "nodes[0].postgresql_conf.include malformed",
      "nodes[0].postgresql_conf. malformed",
      "nodes[0].postgresql_conf.a malformed",
      "nodes[0].postgresql_conf.b malformed",
      "nodes[0].postgresql_conf.c malformed",
      "nodes[0].postgresql_conf.d malformed",
      "nodes[0].postgresql_conf.e malformed",
    ],
  ],
  [
    "a setting in two cases",
    { postgresql_conf: { work_mem: "1MB", Work_Mem: "2MB" } },
    ["postgresql_conf.Work_Mem duplicate"],
  ],
  [
    "lines",
    {
      pg_hba_conf: ["# good", "host all all"],
      nodes: [sampleNode({ pg_hba_conf: ["x"], pg_ident_conf: ["a b"] })],
    },
    [
      "pg_hba_conf[1] malformed",
      "nodes[0].pg_hba_conf[0] malformed",
      "nodes[0].pg_ident_conf[0] malformed",
    ],
  ],
  ["an extension twice", { extensions: ["hstore", "hstore"] }, ["extensions[1] duplicate"]],
  [
    "repositories",
    {
      backup_config: backup({
        repositories: [
          { id: "A", type: "s3" },
          { type: "gcs" },
          { type: "azure" },
          { type: "posix" },
          { type: "cifs", base_path: "relative" },
          { type: "posix", base_path: "/a/../etc" },
          { type: "posix", base_path: "/a", custom_options: { "a b": "x", c: "x\ny" } },
        ],
      }),
    },
    [
      "backup_config.repositories[0].id malformed",
      "backup_config.repositories[0].s3_bucket required",
      "backup_config.repositories[1].gcs_bucket required",
      "backup_config.repositories[2].azure_account required",
      "backup_config.repositories[2].azure_container required",
      "backup_config.repositories[2].azure_key required",
      "backup_config.repositories[3].base_path required",
      "backup_config.repositories[4].base_path malformed",
      "backup_config.repositories[5].base_path malformed",
      "backup_config.repositories[6].custom_options.a b malformed",
      "backup_config.repositories[6].custom_options.c malformed",
    ],
  ],
  [
    "a repository's field that would break out of its line",
    { backup_config: backup({ repositories: [{ type: "s3", s3_bucket: "b\n[global]" }] }) },
    ["backup_config.repositories[0].s3_bucket malformed"],
  ],
  [
    "schedules",
    {
      nodes: [
        sampleNode({
          backup_config: backup({
            schedules: [
              { id: "a", type: "full", cron_expression: "0 3 * *" },
              { id: "a", type: "full", cron_expression: "99 3 * * *" },
              { id: "", type: "incr", cron_expression: "@daily" },
              { id: "s", type: "incr", cron_expression: "0 0 3 * * *" },
            ],
          }),
        }),
      ],
    },
    [
      "nodes[0].backup_config.schedules[1].id duplicate",
      "nodes[0].backup_config.schedules[0].cron_expression malformed",
      "nodes[0].backup_config.schedules[1].cron_expression malformed",
      "nodes[0].backup_config.schedules[2].id required",
      "nodes[0].backup_config.schedules[2].cron_expression malformed",
      "nodes[0].backup_config.schedules[3].cron_expression malformed",
    ],
  ],
  [
    "a restore",
    {
      restore_config: {
        ...restore,
        source_database_id: "Old",
        source_node_name: "xn1",
        repository: { type: "s3" },
        restore_options: { Set: "x", target: "a\nb" },
      },
    },
    [
      "restore_config.source_database_id malformed",
      "restore_config.source_node_name malformed",
      "restore_config.repository.s3_bucket required",
      "restore_config.restore_options.Set malformed",
      "restore_config.restore_options.target malformed",
    ],
  ],
  [
    "labels that are ours",
    { nodes: [sampleNode({ orchestrator_opts: { swarm: { extra_labels: { "pgedge.x": "" } } } })] },
    ["nodes[0].orchestrator_opts.swarm.extra_labels.pgedge.x reserved"],
  ],
  ["services where none can run", { services: [sampleService()] }, ["services[0] unsupported"]],
];

test.each(bad)("says what is wrong with %s", (_, fields, expected) => {
  expect(check(fields)).toEqual([...expected]);
});

test("everything is said at once, each problem with its path and a message", () => {
  const problems = validateDatabaseSpec(
    sampleSpec({
      memory: "x",
      nodes: [sampleNode({ name: "n0", host_ids: ["H"] })],
      ...users({ username: "pgedge" }),
    }),
    metal,
  );
  expect(found(problems)).toEqual([
    "memory malformed",
    "nodes[0].name malformed",
    "nodes[0].host_ids[0] malformed",
    "database_users[0].username reserved",
  ]);
  for (const { message } of problems) expect(message.length).toBeGreaterThan(5);
});

test("no message repeats a password", () => {
  const [problem] = validateDatabaseSpec(
    sampleSpec(users({ username: "a", password: "hunter2\0" })),
    metal,
  );
  expect(JSON.stringify(problem)).not.toContain("hunter2");
});

test("Spock must stay loaded where nodes replicate with it", () => {
  const spock = { ...metal, spock: true };
  const libraries = (value: unknown) =>
    check({ postgresql_conf: { shared_preload_libraries: value } }, spock);
  expect(libraries("pg_stat_statements, spock")).toEqual([]);
  expect(libraries('"spock"')).toEqual([]);
  expect(libraries("pg_stat_statements")).toEqual([
    "postgresql_conf.shared_preload_libraries required",
  ]);
  expect(libraries("spocket")).toEqual(["postgresql_conf.shared_preload_libraries required"]);
});

const serviceCases: readonly (readonly [string, Partial<ServiceSpec>, readonly string[]])[] = [
  ["a good one", {}, []],
  ["an id", { service_id: "API" }, ["services[0].service_id malformed"]],
  [
    "ids that are too long together",
    { service_id: "s".repeat(18) },
    ["services[0].service_id too_long"],
  ],
  ["hosts", { host_ids: ["h1", "h1"] }, ["services[0].host_ids[1] duplicate"]],
  ["memory", { memory: "x" }, ["services[0].memory malformed"]],
  ["a user", { connect_as: "nobody" }, ["services[0].connect_as unknown"]],
  [
    "no target",
    { database_connection: { target_nodes: [] } },
    ["services[0].database_connection.target_nodes required"],
  ],
  [
    "targets",
    { database_connection: { target_nodes: ["n1", "n1", "n9"] } },
    [
      "services[0].database_connection.target_nodes[1] duplicate",
      "services[0].database_connection.target_nodes[2] unknown",
    ],
  ],
  [
    "writes on a standby",
    {
      service_type: "mcp",
      config: { allow_writes: true },
      database_connection: { target_session_attrs: "standby" },
    },
    ["services[0].database_connection.target_session_attrs conflict"],
  ],
  [
    "options of the orchestrator",
    {
      orchestrator_opts: {
        swarm: {
          extra_volumes: [{ host_path: "/a", destination_path: "/b" }],
          extra_networks: [{ id: "a" }, { id: "b", driver_opts: {} }],
        },
      },
    },
    [
      "services[0].orchestrator_opts.swarm.extra_volumes unsupported",
      "services[0].orchestrator_opts.swarm.extra_networks[1].driver_opts unsupported",
    ],
  ],
];

test.each(serviceCases)("services: %s", (_, fields, expected) => {
  const spec = { ...users(app), services: [sampleService(fields)] };
  expect(check(spec, withServices)).toEqual([...expected]);
});

test("services: two with one id, and a port that an instance has", () => {
  const spec = {
    ...users(app),
    nodes: [sampleNode({ port: 5432 })],
    services: [sampleService({ port: 5432 }), sampleService({ host_ids: ["h2"] })],
  };
  expect(check(spec, withServices)).toEqual([
    "services[0].port conflict",
    "services[1].service_id duplicate",
  ]);
});
