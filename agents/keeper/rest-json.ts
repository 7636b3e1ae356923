// The bodies of Patroni's API, made from one view of the instance. Pure.
import { formatLsn, maxLsn } from "../../src/postgres/lsn.ts";
import type { ReplicationConnection } from "../../src/postgres/sql/status.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import type { PendingSetting } from "./configuration.ts";
import type { PostgresState, Role } from "./report.ts";
import {
  isFailsafe,
  isPaused,
  isUnlocked,
  lagsJson,
  membersJson,
  optimeOf,
  type RestGroup,
  scheduledSwitchover,
  settingsJson,
  syncKind,
  tagsOf,
} from "./rest-group.ts";
import type { RestJson } from "./rest-value.ts";

/** The version of Patroni whose API this is; tools compare it. */
export const patroniVersion = "4.1.4";

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
  /** Absent for an instance that is alone. */
  readonly group?: RestGroup;
}

/** The body of /patroni and of every health check. */
export function statusJson(view: RestView): RestJson {
  const { server, systemIdentifier, storeSeenAt, group } = view;
  return {
    state: view.state,
    ...(server ? serverJson(view, server) : { role: view.role }),
    ...(group ? groupJson(view, group) : {}),
    ...(storeSeenAt === undefined ? {} : { dcs_last_seen: storeSeenAt }),
    ...(systemIdentifier === undefined ? {} : { database_system_identifier: systemIdentifier }),
    ...pendingJson(view),
    patroni: { version: patroniVersion, scope: view.scope, name: view.name },
    ...(view.scheduledRestart ? { scheduled_restart: view.scheduledRestart } : {}),
  };
}

function groupJson(view: RestView, group: RestGroup) {
  const kind = view.role === "replica" ? syncKind(group, view.name) : undefined;
  const tags = tagsOf(group);
  return {
    ...(kind ? { [`${kind}_standby`]: true } : {}),
    ...(isPaused(group) ? { pause: true } : {}),
    ...(isUnlocked(group) ? { cluster_unlocked: true } : {}),
    ...(isFailsafe(group) ? { failsafe_mode_is_active: true } : {}),
    ...(Object.keys(tags).length === 0 ? {} : { tags: { ...tags } }),
  };
}

/** The body of /cluster: the members of this node that this keeper knows. */
export function clusterJson(view: RestView): RestJson {
  const { config, server, group } = view;
  const common = {
    state: server?.replicationState ?? view.state,
    ...(server?.timeline === undefined ? {} : { timeline: server.timeline }),
    ...pendingJson(view),
    ...(view.scheduledRestart ? { scheduled_restart: view.scheduledRestart } : {}),
  };
  if (group) {
    const leads = group.view.lease?.row?.holder === view.name;
    const lags = leads ? {} : lagsJson(group, server?.receiveLsn, server?.replayLsn);
    const scheduled = scheduledSwitchover(group);
    return {
      members: membersJson(group, { ...common, ...lags }),
      ...(isPaused(group) ? { pause: true } : {}),
      ...(scheduled === undefined ? {} : { scheduled_switchover: scheduled }),
      scope: view.scope,
    };
  }
  const host = config?.connect_addresses[0] ?? config?.listen_addresses[0] ?? "localhost";
  const member = {
    name: view.name,
    role: view.role === "primary" ? "leader" : "replica",
    api_url: `http://${bracketed(host)}:${config?.rest_port ?? 0}/patroni`,
    host,
    port: config?.port ?? 0,
    ...common,
    ...(view.role === "primary" ? {} : lagJson(server)),
  };
  return { members: [member], scope: view.scope };
}

/** The body of /config: settings in the shape of Patroni's dynamic configuration. */
export function configJson(config: InstanceConfig, group: RestGroup | undefined): RestJson {
  const alone = {
    ttl: 30,
    loop_wait: 10,
    retry_timeout: 10,
    maximum_lag_on_failover: 1_048_576,
  };
  return {
    ...(group ? settingsJson(group.view.settings, isPaused(group)) : alone),
    postgresql: { parameters: config.parameters, pg_hba: config.hba, pg_ident: config.ident },
  };
}

/** Bytes between what the standby may have, which the leader may have told, and what it replayed or received. */
export function standbyLag(
  { server, group }: RestView,
  position: "replayed" | "received" = "replayed",
): bigint | undefined {
  const { replayLsn, receiveLsn } = server ?? {};
  if (replayLsn === undefined) return undefined;
  const received = maxLsn(receiveLsn ?? replayLsn, replayLsn);
  const end = maxLsn(received, (group && optimeOf(group)) ?? 0n);
  return end - (position === "replayed" ? replayLsn : received);
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
  if (lsn === undefined) return { lsn: "unknown", lag: "unknown" };
  return { lsn: formatLsn(lsn), lag: maxLsn(server?.receiveLsn ?? lsn, lsn) - lsn };
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
