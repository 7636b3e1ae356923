// The one query with which a keeper looks at its PostgreSQL as a member of a group.
import { parseLsn } from "../lsn.ts";

/** One row; see `parseGroupStatus`. Needs no table and takes no lock. `$1`: the role that standbys replicate with. */
export const selectGroupStatus = `
SELECT pg_catalog.pg_is_in_recovery() AS in_recovery,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE pg_catalog.pg_current_wal_flush_lsn()::text END AS flush_lsn,
       pg_catalog.pg_last_wal_receive_lsn()::text AS receive_lsn,
       pg_catalog.pg_last_wal_replay_lsn()::text AS replay_lsn,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused()
            ELSE false END AS replay_paused,
       pg_catalog.current_setting('primary_conninfo') AS conninfo,
       pg_catalog.current_setting('synchronous_standby_names') AS sync_names,
       (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()) AS checkpoint_timeline,
       (SELECT status FROM pg_catalog.pg_stat_wal_receiver) AS receiver_status,
       (SELECT json_agg(json_build_object('name', application_name, 'state', state,
                 'flush', flush_lsn::text, 'reply', reply_time::text, 'pid', pid))::text
          FROM pg_catalog.pg_stat_replication WHERE usename = $1::text) AS standbys`;

/** One connected receiver. */
export interface AttachedReceiver {
  readonly name: string;
  readonly pid: number;
  readonly streaming: boolean;
  readonly flushed: bigint;
  /** Changes with every reply; a time of the receiver's clock, so only its change means something. */
  readonly reply: string;
}

export interface GroupStatus {
  readonly inRecovery: boolean;
  readonly flushed: bigint | undefined;
  readonly received: bigint | undefined;
  readonly replayed: bigint | undefined;
  readonly replayPaused: boolean;
  readonly conninfo: string;
  readonly syncNames: string;
  readonly checkpointTimeline: number;
  /** undefined = there is no receiver. */
  readonly receiverStatus: string | undefined;
  readonly receivers: readonly AttachedReceiver[];
}

export function parseGroupStatus(row: Readonly<Record<string, unknown>>): GroupStatus {
  return {
    inRecovery: row.in_recovery === true,
    flushed: lsnOf(row.flush_lsn),
    received: lsnOf(row.receive_lsn),
    replayed: lsnOf(row.replay_lsn),
    replayPaused: row.replay_paused === true,
    conninfo: String(row.conninfo ?? ""),
    syncNames: String(row.sync_names ?? ""),
    checkpointTimeline: Number(row.checkpoint_timeline),
    receiverStatus: typeof row.receiver_status === "string" ? row.receiver_status : undefined,
    receivers: parseReceivers(row.standbys),
  };
}

function parseReceivers(text: unknown): readonly AttachedReceiver[] {
  if (typeof text !== "string") return [];
  const rows: unknown = JSON.parse(text);
  if (!Array.isArray(rows)) return [];
  return rows.map((row: Readonly<Record<string, unknown>>) => ({
    name: String(row.name),
    pid: Number(row.pid),
    streaming: row.state === "streaming",
    flushed: lsnOf(row.flush) ?? 0n,
    reply: String(row.reply),
  }));
}

function lsnOf(value: unknown): bigint | undefined {
  return typeof value === "string" ? parseLsn(value) : undefined;
}
