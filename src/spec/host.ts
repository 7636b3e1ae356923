// A host as users see it, and the record that its own server keeps about it in the store.
import { type Static, Type } from "@sinclair/typebox";
import { anyMap, closed, mapOf, oneOf } from "./closed.ts";
import { Identifier, Strings, Timestamp } from "./fields.ts";

/** Letters, digits, `-`, `_` and `.`, or nothing. */
export const LABEL_VALUE = "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$";

const Address = Type.String({ minLength: 1, maxLength: 253, pattern: "^[A-Za-z0-9.:_-]+$" });

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

/** Words that users file a host under. */
export const HostLabels = mapOf(Type.String({ maxLength: 63, pattern: LABEL_VALUE }));

/** Since when a host gets no new instances, and why. */
export const HostMaintenance = closed({
  since: Timestamp,
  reason: Type.Optional(Type.String()),
});

/** How a host without a server is reached, as users see it. */
export const HostSsh = closed({
  address: Type.String(),
  port: Type.Integer(),
  user: Type.String(),
  /** The only key that the machine may show. */
  host_key: Type.String(),
  /** `user@address:port` of the host in between. */
  jump: Type.Optional(Type.String()),
});
export type HostSsh = Static<typeof HostSsh>;

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
  labels: Type.Optional(HostLabels),
  /** Absent = in service. */
  maintenance: Type.Optional(HostMaintenance),

  /** Only where the host has no server. */
  ssh: Type.Optional(HostSsh),
});
export type Host = Static<typeof Host>;

export const ListHostsResponse = closed({ hosts: Type.Array(Host) });
export type ListHostsResponse = Static<typeof ListHostsResponse>;

/** PATCH of a host. What is absent stays as it is. */
export const UpdateHostRequest = closed({
  labels: Type.Optional(
    mapOf(Type.Union([Type.String({ maxLength: 63, pattern: LABEL_VALUE }), Type.Null()]), {
      description: "Added to those there are; null takes a label away.",
    }),
  ),
  client_addresses: Type.Optional(
    Type.Union([Type.Array(Address, { minItems: 1, maxItems: 16 }), Type.Null()], {
      description: "Where clients reach the host. null = what its own configuration says.",
    }),
  ),
});
export type UpdateHostRequest = Static<typeof UpdateHostRequest>;

export const MaintenanceRequest = closed({
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  drain: Type.Optional(
    Type.Boolean({
      description: "Also have primaries leave the host, by switchovers; refused where one cannot.",
    }),
  ),
});
export type MaintenanceRequest = Static<typeof MaintenanceRequest>;

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

const sshPlace = {
  address: Type.String(),
  port: Type.Integer(),
  user: Type.String(),
  host_key: Type.String(),
};

/** How a host without a server is reached. */
export const SshRecord = closed({
  ...sshPlace,
  /** Everything is done by sudo. */
  sudo: Type.Boolean(),
  jump: Type.Optional(closed(sshPlace)),
  /** Keys, passphrases and agents, sealed for this host. */
  sealed: Type.String(),
  bin_dirs: Strings,
});
export type SshRecord = Static<typeof SshRecord>;

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
  /** Fingerprints of the keys of its certificates: the one that it uses, and the one that comes next. */
  certificate_keys: Type.Optional(Strings),
  /** Absent where the host has no server. */
  store: Type.Optional(StoreMember),
  /** Only where the host has no server. */
  ssh: Type.Optional(SshRecord),
  /** Votes and runs no databases. */
  witness: Type.Optional(Type.Boolean()),
  /** Gets no new instances. Said by users, never part of what the server stores; see store/host-settings.ts. */
  maintenance: Type.Optional(
    closed({ since_ms: Type.Integer(), reason: Type.Optional(Type.String()) }),
  ),
});
export type HostRecord = Static<typeof HostRecord>;
