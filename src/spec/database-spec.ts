// What a user wants of one database. Shape only: rules between fields are in validate.ts, defaults in defaults.ts.
import { type Static, Type } from "@sinclair/typebox";
import { BackupConfigSpec, RestoreConfigSpec } from "./backup-spec.ts";
import { anyMap, closed } from "./closed.ts";
import {
  Cpus,
  DatabaseName,
  Identifier,
  ListenPort,
  Memory,
  NodeName,
  PostgresVersion,
  Strings,
} from "./fields.ts";
import { HaSpec } from "./ha-spec.ts";
import { OrchestratorOpts, ServiceSpec } from "./service-spec.ts";
import { SlotSpec } from "./slots.ts";

export const DatabaseUserSpec = closed({
  username: Type.String({ minLength: 1 }),
  /** Absent on creation = a role without a password. */
  password: Type.Optional(Type.String({ minLength: 1 })),
  db_owner: Type.Optional(Type.Boolean()),
  attributes: Type.Optional(Type.Array(Type.String(), { maxItems: 16 })),
  roles: Type.Optional(Type.Array(Type.String(), { maxItems: 16 })),
});
export type DatabaseUserSpec = Static<typeof DatabaseUserSpec>;

/** Who may change things through the REST API of the instances. */
export const RestAuthenticationSpec = closed({
  username: Type.String({ minLength: 1, maxLength: 63 }),
  /** Never shown; absent in an update = as before. */
  password: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
});
export type RestAuthenticationSpec = Static<typeof RestAuthenticationSpec>;

/** Statements of one transaction, each a single one. */
export const SQLScript = Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), {
  minItems: 0,
  maxItems: 256,
});
export type SQLScript = Static<typeof SQLScript>;

/** Run on creation only, until they have succeeded once. */
export const DatabaseScripts = closed({
  post_init: Type.Optional(SQLScript),
  post_database_create: Type.Optional(SQLScript),
});
export type DatabaseScripts = Static<typeof DatabaseScripts>;

/** What a node may set for itself and otherwise takes from the database. */
const overridable = {
  postgres_version: Type.Optional(PostgresVersion),
  /** Absent = not reachable over TCP, or, with several hosts, as 0: a free port that then stays. */
  port: Type.Optional(ListenPort),
  /** Port of the REST API of the instances; absent = none, or, with several hosts, as 0. */
  patroni_port: Type.Optional(ListenPort),
  /** Absent = whoever comes from a host of the database may. */
  patroni_authentication: Type.Optional(RestAuthenticationSpec),
  /** Absent = no limit. */
  cpus: Type.Optional(Cpus),
  /** Absent = no limit. */
  memory: Type.Optional(Memory),
  pg_hba_conf: Type.Optional(Strings),
  pg_ident_conf: Type.Optional(Strings),
  backup_config: Type.Optional(BackupConfigSpec),
  restore_config: Type.Optional(RestoreConfigSpec),
  orchestrator_opts: Type.Optional(OrchestratorOpts),
  /** Nodes take single fields of it for themselves. */
  ha: Type.Optional(HaSpec),
};

export const DatabaseNodeSpec = closed({
  name: NodeName,
  /** The first is where the primary is created; the others are standbys. */
  host_ids: Type.Array(Identifier, { minItems: 1 }),
  ...overridable,
  postgresql_conf: Type.Optional(anyMap()),
  /** Node that a new node copies its data from. */
  source_node: Type.Optional(Type.String()),
  /** Replication slots that are there whoever is primary. */
  slots: Type.Optional(
    Type.Array(SlotSpec, {
      maxItems: 64,
      description: "Replication slots that are there whoever is primary.",
    }),
  ),
});
export type DatabaseNodeSpec = Static<typeof DatabaseNodeSpec>;

export const DatabaseSpec = closed({
  database_name: DatabaseName,
  ...overridable,
  /** Major version only. */
  spock_version: Type.Optional(Type.String({ pattern: "^\\d{1}$" })),
  nodes: Type.Array(DatabaseNodeSpec, { minItems: 1, maxItems: 9 }),
  database_users: Type.Optional(Type.Array(DatabaseUserSpec, { maxItems: 16 })),
  services: Type.Optional(Type.Array(ServiceSpec)),
  postgresql_conf: Type.Optional(anyMap({ maxLength: 64, maxProperties: 64 })),
  scripts: Type.Optional(DatabaseScripts),
  /** Extensions to create in the application database. */
  extensions: Type.Optional(
    Type.Array(Type.String({ pattern: "^[a-z_][a-z0-9_-]{0,62}$" }), {
      maxItems: 64,
      description: "Extensions to create in the application database.",
    }),
  ),
  /** Otherwise a user that leaves the spec keeps its role as it is. */
  disable_removed_users: Type.Optional(
    Type.Boolean({
      default: false,
      description: "Take LOGIN from the roles of users that are removed from database_users.",
    }),
  ),
});
export type DatabaseSpec = Static<typeof DatabaseSpec>;
