// A host as users see it, and the record that its own server keeps about it in the store.
import { type Static, Type } from "@sinclair/typebox";
import { anyMap, closed, mapOf, oneOf } from "./closed.ts";
import { Identifier, Strings, Timestamp } from "./fields.ts";

export const PgEdgeVersion = closed({
  postgres_version: Type.String(),
  /** Empty where the installation has no Spock. */
  spock_version: Type.String(),
});
export type PgEdgeVersion = Static<typeof PgEdgeVersion>;

export const ComponentStatus = closed({
  healthy: Type.Boolean(),
  error: Type.Optional(Type.String()),
  details: Type.Optional(anyMap()),
});
export type ComponentStatus = Static<typeof ComponentStatus>;

export const HostStatus = closed({
  state: oneOf(["healthy", "unreachable", "degraded", "unknown"]),
  updated_at: Timestamp,
  components: mapOf(ComponentStatus),
});
export type HostStatus = Static<typeof HostStatus>;

export const HostCohort = closed({
  type: Type.String(),
  member_id: Type.String(),
  control_available: Type.Boolean(),
});
export type HostCohort = Static<typeof HostCohort>;

export const Host = closed({
  id: Identifier,
  orchestrator: Type.String(),
  data_dir: Type.String(),
  peer_addresses: Strings,
  client_addresses: Strings,
  cohort: Type.Optional(HostCohort),
  cpus: Type.Optional(Type.Integer({ format: "int64" })),
  memory: Type.Optional(Type.String()),
  status: HostStatus,
  default_pgedge_version: Type.Optional(PgEdgeVersion),
  supported_pgedge_versions: Type.Optional(Type.Array(PgEdgeVersion)),
  etcd_mode: Type.Optional(oneOf(["server", "client"])),
});
export type Host = Static<typeof Host>;

export const ListHostsResponse = closed({ hosts: Type.Array(Host) });
export type ListHostsResponse = Static<typeof ListHostsResponse>;

/** One installed PostgreSQL of a host. */
export const Installation = closed({
  major: Type.Integer({ minimum: 10 }),
  /** Major and minor, e.g. `17.11`. */
  version: Type.String(),
  bin_dir: Type.String(),
  spock_version: Type.Union([Type.String(), Type.Null()]),
});
export type Installation = Static<typeof Installation>;

/** A host's member of the store. */
export const StoreMember = closed({
  /** Base URL of its HTTP interface. */
  url: Type.String(),
  /** `host:port` */
  raft: Type.String(),
  /** Counts for the quorum; others only follow. */
  voter: Type.Boolean(),
});
export type StoreMember = Static<typeof StoreMember>;

/** What a server says about its own host; stored, never sent to users as it is. */
export const HostRecord = closed({
  id: Identifier,
  orchestrator: Type.String(),
  data_dir: Type.String(),
  run_dir: Type.String(),
  /** Parent of the instances' directories. */
  instance_dir: Type.String(),
  /** User that PostgreSQL runs as; null = the server's own. */
  postgres_user: Type.Union([Type.String(), Type.Null()]),
  peer_addresses: Strings,
  client_addresses: Strings,
  cpus: Type.Integer(),
  memory_bytes: Type.Integer(),
  etcd_mode: oneOf(["server", "client"]),
  installations: Type.Array(Installation),
  capabilities: closed({
    limits: Type.Boolean(),
    survives_server_down: Type.Boolean(),
    services: Type.Boolean(),
  }),
  /** Range of ports given where a spec asks for port 0; both ends included. */
  random_ports: closed({ min: Type.Integer(), max: Type.Integer() }),
  server_version: Type.String(),
  /** Port of its server's internal listener. Absent where the host has no server, or never joined others. */
  peer_port: Type.Optional(Type.Integer()),
  /** Absent where the host has no server. */
  store: Type.Optional(StoreMember),
  /** Votes and runs no databases. */
  witness: Type.Optional(Type.Boolean()),
});
export type HostRecord = Static<typeof HostRecord>;
