// JSON as Patroni writes it: positions are plain integers, also beyond 2^53. Pure.
import type { ReplicationConnection } from "../../src/postgres/sql/status.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import type { PendingSetting } from "./configuration.ts";
import type { PostgresState, Role } from "./report.ts";

/** The version of Patroni whose API this is; tools compare it. */
export const patroniVersion = "4.1.4";

/** A value that JSON can show, or a 64-bit integer. */
export type RestJson =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly RestJson[]
  | { readonly [key: string]: RestJson | undefined };

/** All that the REST API answers from; made from memory when a request comes. */
export interface RestView {
  readonly state: PostgresState;
  readonly role: Role;
  /** Name of the cluster in Patroni's sense, i.e. `<database>:<node>`, and of this member. */
  readonly scope: string;
  readonly name: string;
  readonly config: InstanceConfig | undefined;
  /** Facts of a PostgreSQL that answered recently. */
  readonly server:
    | {
        readonly startedAt: string;
        readonly startedAtEpoch: string;
        readonly versionNumber: number;
        readonly timeline: number | undefined;
        readonly flushLsn: bigint | undefined;
        readonly receiveLsn: bigint | undefined;
        readonly replayLsn: bigint | undefined;
        readonly replayTimestamp: string | undefined;
        readonly replayPaused: boolean;
        readonly replicationState: string | undefined;
        readonly replication: readonly ReplicationConnection[];
      }
    | undefined;
  readonly systemIdentifier: string | undefined;
  readonly pendingRestart: readonly PendingSetting[];
  /** When the store answered last, seconds since 1970. */
  readonly storeSeenAt: number | undefined;
  /** Age of the last finished cycle of the keeper. */
  readonly cycleAgeMs: number;
  readonly scheduledRestart: { readonly schedule: string } | undefined;
  readonly appliedGeneration: number;
}

export function toJson(value: RestJson): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "bigint" ? rawInteger(inner) : inner,
  );
}

/** The body of /patroni and of every health check. */
export function statusJson(view: RestView): RestJson {
  const { server, systemIdentifier, storeSeenAt } = view;
  return {
    state: view.state,
    ...(server ? serverJson(view, server) : { role: view.role }),
    ...(storeSeenAt === undefined ? {} : { dcs_last_seen: storeSeenAt }),
    ...(systemIdentifier === undefined ? {} : { database_system_identifier: systemIdentifier }),
    ...pendingJson(view),
    patroni: { version: patroniVersion, scope: view.scope, name: view.name },
    ...(view.scheduledRestart ? { scheduled_restart: view.scheduledRestart } : {}),
  };
}

/** The body of /cluster: the members of this node that this keeper knows. */
export function clusterJson(view: RestView): RestJson {
  const { config, server } = view;
  const host = config?.connect_addresses[0] ?? config?.listen_addresses[0] ?? "localhost";
  const member = {
    name: view.name,
    role: view.role === "primary" ? "leader" : "replica",
    state: server?.replicationState ?? view.state,
    api_url: `http://${bracketed(host)}:${config?.rest_port ?? 0}/patroni`,
    host,
    port: config?.port ?? 0,
    ...(server?.timeline === undefined ? {} : { timeline: server.timeline }),
    ...pendingJson(view),
    ...(view.scheduledRestart ? { scheduled_restart: view.scheduledRestart } : {}),
    ...(view.role === "primary" ? {} : lagJson(server)),
  };
  return { members: [member], scope: view.scope };
}

/** The body of /config: settings in the shape of Patroni's dynamic configuration. */
export function configJson(config: InstanceConfig): RestJson {
  return {
    ttl: 30,
    loop_wait: 10,
    retry_timeout: 10,
    maximum_lag_on_failover: 1_048_576,
    postgresql: { parameters: config.parameters, pg_hba: config.hba, pg_ident: config.ident },
  };
}

/** Bytes between what the standby may have and what it replayed. */
export function replayLag(server: RestView["server"]): bigint | undefined {
  if (server?.replayLsn === undefined) return undefined;
  const lag = (server.receiveLsn ?? server.replayLsn) - server.replayLsn;
  return lag > 0n ? lag : 0n;
}

function serverJson(view: RestView, server: NonNullable<RestView["server"]>) {
  const primary = view.role === "primary";
  return {
    postmaster_start_time: server.startedAt,
    role: view.role,
    server_version: server.versionNumber,
    xlog: primary
      ? { location: server.flushLsn ?? 0n }
      : {
          received_location: server.receiveLsn ?? server.replayLsn ?? 0n,
          replayed_location: server.replayLsn ?? 0n,
          replayed_timestamp: server.replayTimestamp ?? null,
          paused: server.replayPaused,
        },
    ...(server.timeline === undefined ? {} : { timeline: server.timeline }),
    ...(primary || server.replicationState === undefined
      ? {}
      : { replication_state: server.replicationState }),
    ...(server.replication.length === 0
      ? {}
      : { replication: server.replication.map((connection) => ({ ...connection })) }),
  };
}

function pendingJson(view: RestView) {
  if (view.pendingRestart.length === 0) return {};
  const reasons = view.pendingRestart.map((setting) => [
    setting.name,
    { old_value: setting.oldValue, new_value: setting.newValue },
  ]);
  return { pending_restart: true, pending_restart_reason: Object.fromEntries(reasons) };
}

function lagJson(server: RestView["server"]) {
  const lsn = server?.replayLsn;
  return {
    lsn: lsn === undefined ? "unknown" : lsnText(lsn),
    lag: replayLag(server) ?? "unknown",
  };
}

function lsnText(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** JSON.rawJSON (ECMAScript 2026) is not in the compiler's library yet. */
function rawInteger(value: bigint): unknown {
  const raw: unknown = Reflect.get(JSON, "rawJSON");
  return typeof raw === "function" ? Reflect.apply(raw, JSON, [value.toString()]) : Number(value);
}
