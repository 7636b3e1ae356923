// The one query with which a keeper looks at its PostgreSQL.
import { parseLsn } from "../lsn.ts";

/** One row; see `parseServerStatus`. Needs no table and takes no lock. */
export const selectStatus = `
SELECT pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.current_setting('server_version_num')::int AS version_num,
       pg_catalog.current_setting('server_version') AS version,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
       (pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC')::text || '+00:00' AS started,
       (EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()))::text AS started_epoch,
       (EXTRACT(epoch FROM pg_catalog.pg_conf_load_time()) * 1000)::text AS loaded_ms,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE pg_catalog.pg_current_wal_flush_lsn()::text END AS flush_lsn,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver)
            ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
       END AS timeline,
       pg_catalog.pg_last_wal_receive_lsn()::text AS receive_lsn,
       pg_catalog.pg_last_wal_replay_lsn()::text AS replay_lsn,
       (pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC')::text || '+00:00' AS replay_timestamp,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused()
            ELSE false END AS replay_paused,
       (SELECT status FROM pg_catalog.pg_stat_wal_receiver) AS receiver_status,
       (SELECT json_agg(json_build_object('usename', usename, 'application_name', application_name,
                 'client_addr', client_addr, 'state', state, 'sync_state', sync_state,
                 'sync_priority', sync_priority))::text
          FROM pg_catalog.pg_stat_replication WHERE usename IS NOT NULL) AS replication`;

/** One connected standby or other receiver, as Patroni's API shows it. */
export interface ReplicationConnection {
  readonly usename: string;
  readonly application_name: string;
  readonly client_addr: string | null;
  readonly state: string;
  readonly sync_state: string;
  readonly sync_priority: number;
}

/** PostgreSQL as it answered. Positions are exact, times are text in UTC. */
export interface ServerStatus {
  readonly inRecovery: boolean;
  readonly versionNumber: number;
  /** "15.18", without what the packager added. */
  readonly version: string;
  readonly systemIdentifier: string;
  /** e.g. "2026-07-01 10:00:00.123456+00:00" */
  readonly startedAt: string;
  readonly startedAtEpoch: string;
  readonly configurationLoadedAtMs: number;
  readonly timeline: number | undefined;
  readonly flushLsn: bigint | undefined;
  readonly receiveLsn: bigint | undefined;
  readonly replayLsn: bigint | undefined;
  readonly replayTimestamp: string | undefined;
  readonly replayPaused: boolean;
  readonly receiverStatus: string | undefined;
  readonly replication: readonly ReplicationConnection[];
}

/** The row of `selectStatus`. */
export function parseServerStatus(row: Readonly<Record<string, unknown>>): ServerStatus {
  return {
    inRecovery: row.in_recovery === true,
    versionNumber: Number(row.version_num),
    version: String(row.version).split(" ")[0] ?? "",
    systemIdentifier: String(row.system_identifier),
    startedAt: String(row.started),
    startedAtEpoch: String(row.started_epoch),
    configurationLoadedAtMs: Number(row.loaded_ms),
    timeline: typeof row.timeline === "number" ? row.timeline : undefined,
    flushLsn: lsnOf(row.flush_lsn),
    receiveLsn: lsnOf(row.receive_lsn),
    replayLsn: lsnOf(row.replay_lsn),
    replayTimestamp: textOf(row.replay_timestamp),
    replayPaused: row.replay_paused === true,
    receiverStatus: textOf(row.receiver_status),
    replication: parseReplication(row.replication),
  };
}

function parseReplication(text: unknown): readonly ReplicationConnection[] {
  if (typeof text !== "string") return [];
  const rows: unknown = JSON.parse(text);
  if (!Array.isArray(rows)) return [];
  return rows.map((row: Readonly<Record<string, unknown>>) => ({
    usename: String(row.usename),
    application_name: String(row.application_name),
    client_addr: textOf(row.client_addr) ?? null,
    state: String(row.state),
    sync_state: String(row.sync_state),
    sync_priority: Number(row.sync_priority),
  }));
}

function lsnOf(value: unknown): bigint | undefined {
  return typeof value === "string" ? parseLsn(value) : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
