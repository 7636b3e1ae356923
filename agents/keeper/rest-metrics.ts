// The metrics of Patroni's /metrics, under its names, and a few of our own. Pure.
import { parseTimestamp } from "../../src/base/clock.ts";
import { POSTGRES_STATES } from "./report.ts";
import {
  holdsLease,
  isFailsafe,
  isPaused,
  isUnlocked,
  type RestGroup,
  syncKind,
  tagsOf,
} from "./rest-group.ts";
import { patroniVersion, type RestView } from "./rest-json.ts";

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  readonly value: number | bigint | string;
  readonly comment?: string;
}

/** Text in the Prometheus exposition format 0.0.4; every line has the labels scope and name. */
export function metricsText(view: RestView): string {
  const labels = `{scope="${escaped(view.scope)}",name="${escaped(view.name)}"}`;
  return metrics(view)
    .flatMap((metric) => [
      `# HELP ${metric.name} ${metric.help}`,
      `# TYPE ${metric.name} ${metric.type}`,
      ...(metric.comment ? [metric.comment] : []),
      `${metric.name}${labels} ${metric.value}`,
    ])
    .concat("")
    .join("\n");
}

function metrics(view: RestView): readonly Metric[] {
  return [
    ...serverMetrics(view),
    ...replicaMetrics(view),
    ...clusterMetrics(view),
    ...ownMetrics(view),
  ];
}

function serverMetrics(view: RestView): readonly Metric[] {
  const { server } = view;
  const running = view.state === "running";
  const primary = running && view.role === "primary";
  const states = POSTGRES_STATES.map((state, index) => `${index}=${state}`).join(", ");
  const index = view.state === "unknown" ? -1 : POSTGRES_STATES.indexOf(view.state);
  return [
    gauge("patroni_version", "Version of the API.", versionDigits(patroniVersion)),
    flag("patroni_postgres_running", "1 while PostgreSQL is running.", running),
    gauge(
      "patroni_postmaster_start_time",
      "When PostgreSQL was started, seconds since 1970.",
      server?.startedAtEpoch ?? 0,
    ),
    flag("patroni_primary", "1 on the primary.", primary),
    counter(
      "patroni_xlog_location",
      "Position of the primary in the write-ahead log; 0 elsewhere.",
      primary ? (server?.flushLsn ?? 0n) : 0,
    ),
    gauge(
      "patroni_postgres_server_version",
      "Version of PostgreSQL as server_version_num; 0 when it does not answer.",
      server?.versionNumber ?? 0,
    ),
    gauge("patroni_postgres_timeline", "Timeline of PostgreSQL.", server?.timeline ?? 0),
    flag(
      "patroni_pending_restart",
      "1 while settings wait for a restart.",
      view.pendingRestart.length > 0,
    ),
    {
      ...gauge("patroni_postgres_state", "State of PostgreSQL.", index),
      comment: `# Values: ${states}, -1=unknown`,
    },
  ];
}

function replicaMetrics(view: RestView): readonly Metric[] {
  const { server } = view;
  const replica = view.state === "running" && view.role === "replica";
  const doing = replica ? server?.replicationState : undefined;
  const kind = replica && view.group ? syncKind(view.group, view.name) : undefined;
  return [
    flag("patroni_standby_leader", "1 on the leader of a standby cluster.", false),
    flag("patroni_replica", "1 on a replica.", replica),
    flag("patroni_sync_standby", "1 on a synchronous standby.", kind === "sync"),
    flag("patroni_quorum_standby", "1 on a standby of the quorum.", kind === "quorum"),
    counter(
      "patroni_xlog_received_location",
      "Position up to which a replica received; 0 elsewhere.",
      replica ? (server?.receiveLsn ?? server?.replayLsn ?? 0n) : 0,
    ),
    counter(
      "patroni_xlog_replayed_location",
      "Position up to which a replica replayed; 0 elsewhere.",
      replica ? (server?.replayLsn ?? 0n) : 0,
    ),
    gauge(
      "patroni_xlog_replayed_timestamp",
      "Commit time of the last replayed transaction, seconds since 1970; 0 when there is none.",
      epochSeconds(server?.replayTimestamp),
    ),
    flag("patroni_xlog_paused", "1 while replay is paused.", replica && !!server?.replayPaused),
    flag("patroni_postgres_streaming", "1 while a replica streams.", doing === "streaming"),
    flag(
      "patroni_postgres_in_archive_recovery",
      "1 while a replica reads from the archive.",
      doing === "in archive recovery",
    ),
  ];
}

function clusterMetrics(view: RestView): readonly Metric[] {
  const { group } = view;
  const failsafe = group?.view.settings.failsafe === true;
  const unlocked = group !== undefined && isUnlocked(group);
  const active = group !== undefined && isFailsafe(group);
  return [
    flag("patroni_cluster_unlocked", "1 while nobody leads.", unlocked),
    flag("patroni_failsafe_mode_is_active", "1 while failsafe mode is active.", active),
    flag("patroni_failsafe_mode_enabled", "1 when failsafe mode is configured.", failsafe),
    flag("patroni_failsafe_member", "1 for members of failsafe mode.", failsafe),
    gauge(
      "patroni_dcs_last_seen",
      "When the store answered last, seconds since 1970.",
      view.storeSeenAt ?? 0,
    ),
    flag(
      "patroni_is_paused",
      "1 while automatic failover is paused.",
      group !== undefined && isPaused(group),
    ),
    gauge("patroni_failover_priority", "Priority in a failover.", failoverPriority(group)),
  ];
}

function failoverPriority(group: RestGroup | undefined): number {
  const tags = group ? tagsOf(group) : {};
  if (tags.nofailover === true) return 0;
  return typeof tags.failover_priority === "number" ? tags.failover_priority : 1;
}

function ownMetrics(view: RestView): readonly Metric[] {
  return [
    ...leaseMetrics(view.group),
    gauge(
      "pgherd_keeper_applied_generation",
      "Generation of the configuration in effect.",
      view.appliedGeneration,
    ),
    gauge(
      "pgherd_keeper_wanted_generation",
      "Generation of the configuration that is wanted.",
      view.config?.generation ?? 0,
    ),
    gauge(
      "pgherd_keeper_cycle_age_seconds",
      "Time since the keeper finished a cycle.",
      (view.cycleAgeMs / 1_000).toFixed(3),
    ),
  ];
}

function leaseMetrics(group: RestGroup | undefined): readonly Metric[] {
  if (!group) return [];
  const { own, lease } = group.view;
  const leftMs = own ? Math.max(0, own.deadlineMs - group.bootMs) : 0;
  return [
    flag("pgherd_keeper_holds_lease", "1 while this member holds the lease.", holdsLease(group)),
    gauge("pgherd_keeper_epoch", "Epoch of the lease as last seen.", lease?.row?.epoch ?? 0),
    gauge(
      "pgherd_keeper_deadline_seconds",
      "Time until PostgreSQL is ended unless the lease is renewed; 0 without the lease.",
      (leftMs / 1_000).toFixed(3),
    ),
    gauge(
      "pgherd_keeper_lease_age_seconds",
      "Time since the lease was read.",
      lease ? ((group.bootMs - lease.readAtMs) / 1_000).toFixed(3) : 0,
    ),
  ];
}

function gauge(name: string, help: string, value: Metric["value"]): Metric {
  return { name, help, type: "gauge", value };
}

function counter(name: string, help: string, value: Metric["value"]): Metric {
  return { name, help, type: "counter", value };
}

function flag(name: string, help: string, value: boolean): Metric {
  return gauge(name, help, value ? 1 : 0);
}

/** 4.1.4 as 040104. */
function versionDigits(version: string): string {
  return version
    .split(".")
    .map((part) => part.padStart(2, "0"))
    .join("");
}

function epochSeconds(timestamp: string | undefined): number {
  const ms = timestamp === undefined ? undefined : parseTimestamp(timestamp.replace(" ", "T"));
  return ms === undefined ? 0 : ms / 1_000;
}

function escaped(label: string): string {
  return label.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
