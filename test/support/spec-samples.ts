// Specs and hosts for tests: small ones by hand, many different ones by chance.
import * as fc from "fast-check";
import type { BackupConfigSpec, RestoreConfigSpec } from "../../src/spec/backup-spec.ts";
import type {
  DatabaseNodeSpec,
  DatabaseSpec,
  DatabaseUserSpec,
} from "../../src/spec/database-spec.ts";
import type { HostRecord } from "../../src/spec/host.ts";
import type { ServiceSpec } from "../../src/spec/service-spec.ts";

/** The smallest spec that is valid, with the given fields replaced. */
export function sampleSpec(fields: Partial<DatabaseSpec> = {}): DatabaseSpec {
  return { database_name: "shop", nodes: [sampleNode()], ...fields };
}

export function sampleNode(fields: Partial<DatabaseNodeSpec> = {}): DatabaseNodeSpec {
  return { name: "n1", host_ids: ["h1"], ...fields };
}

export function sampleService(fields: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    service_id: "api",
    service_type: "postgrest",
    version: "latest",
    host_ids: ["h1"],
    connect_as: "app",
    ...fields,
  };
}

/** A host with the given versions of PostgreSQL, e.g. `17.11`, or `17.11 5.0.4` with Spock. */
export function sampleHost(id: string, ...versions: readonly string[]): HostRecord {
  return {
    id,
    orchestrator: "fake",
    data_dir: "/data",
    run_dir: "/run",
    instance_dir: "/data/instances",
    postgres_user: null,
    peer_addresses: ["10.0.0.1"],
    client_addresses: ["10.0.0.1"],
    cpus: 4,
    memory_bytes: 8_000_000_000,
    etcd_mode: "server",
    installations: versions.map((text) => {
      const [version = "", spock] = text.split(" ");
      return {
        major: Number.parseInt(version, 10),
        version,
        bin_dir: `/usr/lib/postgresql/${version}/bin`,
        spock_version: spock ?? null,
      };
    }),
    capabilities: { limits: true, survives_server_down: true, services: false },
    random_ports: { min: 20_000, max: 29_999 },
    server_version: "0.1.0",
  };
}

const word = fc.stringMatching(/^[a-z][a-z0-9]{0,7}$/);
const text = fc.string({ minLength: 1, maxLength: 12 });
const port = fc.integer({ min: 0, max: 65_535 });

const options = fc.dictionary(
  fc.constantFrom("cipher-type", "cipher-pass", "s3-token", "bundle", "repo1-azure-key"),
  text,
);

const repository: fc.Arbitrary<BackupConfigSpec["repositories"][number]> = fc.record(
  {
    id: word,
    type: fc.constantFrom("s3", "gcs", "azure", "posix", "cifs"),
    s3_bucket: word,
    s3_key: text,
    s3_key_secret: text,
    gcs_key: text,
    azure_account: word,
    azure_key: text,
    base_path: word.map((name) => `/${name}`),
    custom_options: options,
    retention_full: fc.integer({ min: 1, max: 9 }),
  },
  { requiredKeys: ["type"] },
);

const backup: fc.Arbitrary<BackupConfigSpec> = fc.record({
  repositories: fc.array(repository, { minLength: 1, maxLength: 3 }),
});

const restore: fc.Arbitrary<RestoreConfigSpec> = fc.record(
  {
    source_database_id: word,
    source_node_name: fc.constant("n1"),
    source_database_name: word,
    repository,
    restore_options: options,
  },
  {
    requiredKeys: ["source_database_id", "source_node_name", "source_database_name", "repository"],
  },
);

const settingName = fc.constantFrom("work_mem", "Work_Mem", "max_connections", "spock.a", "fsync");
const conf = fc.dictionary(settingName, fc.oneof(text, fc.integer(), fc.boolean()));
const cpus = fc.constantFrom("1", "0.5", "500m", "0");
const memory = fc.constantFrom("1GiB", "512MB", "1.5GB", "0");

const user: fc.Arbitrary<DatabaseUserSpec> = fc.record(
  { username: word, password: text, db_owner: fc.boolean(), roles: fc.array(word) },
  { requiredKeys: ["username"] },
);

const config = fc.dictionary(
  fc.constantFrom("jwt_secret", "init_token", "pipelines", "db_schemas", "llm", "api_key"),
  fc.oneof(
    text,
    fc.array(fc.dictionary(fc.constantFrom("name", "api_key"), text)),
    fc.dictionary(fc.constantFrom("model", "private_key", "password"), text),
  ),
);

const service: fc.Arbitrary<ServiceSpec> = fc.record(
  {
    service_id: word,
    service_type: fc.constantFrom("mcp", "postgrest", "rag"),
    version: fc.constant("latest"),
    host_ids: fc.array(word, { minLength: 1, maxLength: 2 }),
    connect_as: word,
    port,
    config,
  },
  { requiredKeys: ["service_id", "service_type", "version", "host_ids", "connect_as"] },
);

const level = {
  postgres_version: fc.constantFrom("15.18", "17.11", "18.4"),
  port,
  patroni_port: port,
  patroni_authentication: fc.record({ username: word, password: text }),
  cpus,
  memory,
  postgresql_conf: conf,
  pg_hba_conf: fc.array(text, { maxLength: 2 }),
  pg_ident_conf: fc.array(text, { maxLength: 2 }),
  backup_config: backup,
  restore_config: restore,
};

const node: fc.Arbitrary<DatabaseNodeSpec> = fc.record(
  {
    ...level,
    name: fc.integer({ min: 1, max: 9 }).map((ordinal) => `n${ordinal}`),
    host_ids: fc.uniqueArray(fc.constantFrom("h1", "h2", "h3"), { minLength: 1 }),
  },
  { requiredKeys: ["name", "host_ids"] },
);

/** Specs of the right shape with secrets in every place that can have one; names of nodes, users and services are unique. */
export const specs: fc.Arbitrary<DatabaseSpec> = fc.record(
  {
    ...level,
    database_name: word,
    spock_version: fc.constant("5"),
    nodes: fc.uniqueArray(node, { minLength: 1, maxLength: 3, selector: ({ name }) => name }),
    database_users: fc.uniqueArray(user, { maxLength: 3, selector: ({ username }) => username }),
    services: fc.uniqueArray(service, { maxLength: 2, selector: ({ service_id }) => service_id }),
  },
  { requiredKeys: ["database_name", "nodes"] },
);
