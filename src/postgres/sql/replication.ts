// What is asked and ordered about replication: positions, promotion, slots.

/**
 * Positions of one server; one row. `received_timeline` is that of the receiver and runs ahead of what was replayed.
 * LSNs are text.
 */
export const selectPositions = `
SELECT pg_catalog.pg_is_in_recovery() AS in_recovery,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE pg_catalog.pg_current_wal_flush_lsn()::text END AS flush_lsn,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
       END AS write_timeline,
       pg_catalog.pg_last_wal_receive_lsn()::text AS receive_lsn,
       pg_catalog.pg_last_wal_replay_lsn()::text AS replay_lsn,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused()
            ELSE false END AS replay_paused,
       (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver) AS received_timeline,
       (SELECT pid FROM pg_catalog.pg_stat_wal_receiver) AS receiver_pid,
       (SELECT status FROM pg_catalog.pg_stat_wal_receiver) AS receiver_status,
       (SELECT sender_host FROM pg_catalog.pg_stat_wal_receiver) AS sender_host,
       (SELECT sender_port FROM pg_catalog.pg_stat_wal_receiver) AS sender_port`;

/** Identity and history's end of a server that is to be followed; one row. */
export const selectUpstream = `
SELECT pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.current_setting('server_version_num')::int AS version_num,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
       (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()) AS checkpoint_timeline,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN COALESCE(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::text
            ELSE pg_catalog.pg_current_wal_flush_lsn()::text END AS end_lsn,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery())
            ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
       END AS timeline,
       (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver) AS received_timeline,
       pg_catalog.current_setting('data_directory_mode') AS directory_mode`;

/** A file of pg_wal as hex, or no row when there is none: $1 its name, $2 offset, $3 length. */
export const selectLogFile = `
SELECT encode(pg_catalog.pg_read_binary_file('pg_wal/' || $1::text, $2::bigint, $3::bigint, true), 'hex') AS bytes`;

/** Tablespaces outside the data directory; one row each. */
export const selectTablespaces = `
SELECT spcname::text AS name, pg_catalog.pg_tablespace_location(oid) AS location
  FROM pg_catalog.pg_tablespace WHERE pg_catalog.pg_tablespace_location(oid) LIKE '/%'`;

/** Bytes of all databases, which a copy has to move. */
export const selectSize =
  "SELECT COALESCE(sum(pg_catalog.pg_database_size(oid)), 0)::bigint::text AS bytes FROM pg_catalog.pg_database";

/** Orders the promotion and does not wait for it. */
export const promote = "SELECT pg_catalog.pg_promote(false) AS asked";

/** How the promotion goes; one row. */
export const selectPromotion = `
SELECT pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.pg_last_wal_replay_lsn()::text AS replay_lsn`;

export const checkpoint = "CHECKPOINT";

/** Timeline of the last checkpoint in the control file. */
export const selectCheckpointTimeline =
  "SELECT timeline_id AS timeline FROM pg_catalog.pg_control_checkpoint()";

/** Every slot; one row each. `failover` and `synced` came with 17. `retained`: bytes of log from its start to here. */
export const selectSlots = `
SELECT slot_name::text AS name, slot_type, plugin::text AS plugin, database::text AS database, active,
       restart_lsn::text AS restart_lsn, confirmed_flush_lsn::text AS confirmed_lsn, wal_status, temporary,
       xmin IS NOT NULL OR catalog_xmin IS NOT NULL AS holds_rows,
       (to_jsonb(s) ->> 'failover')::boolean AS failover, (to_jsonb(s) ->> 'synced')::boolean AS synced,
       GREATEST(0, pg_catalog.pg_wal_lsn_diff(
         CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
              ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn))::bigint::text AS retained,
       s.active_pid, a.usename::text AS user_name, a.application_name, host(a.client_addr) AS client_address
  FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
 ORDER BY slot_name`;

/** Makes the physical slot $1, which keeps the log from now on. */
export const createPhysicalSlot =
  "SELECT pg_catalog.pg_create_physical_replication_slot($1::text::name, true) AS made";

/** Makes the physical slot $1 that ends with the session; its start is that of the last checkpoint. */
export const createInterimSlot =
  "SELECT lsn::text AS lsn FROM pg_catalog.pg_create_physical_replication_slot($1::text::name, true, true)";

/** Makes the physical slot $2, which keeps what the slot $1 keeps. */
export const copyPhysicalSlot =
  "SELECT pg_catalog.pg_copy_physical_replication_slot($1::text::name, $2::text::name, false) AS made";

/** Makes the logical slot $1 for the plugin $2 in the database of the session; from 17 on standbys copy it. */
export function createLogicalSlot(major: number): string {
  const failover = major >= 17 ? ", false, false, true" : "";
  return `SELECT pg_catalog.pg_create_logical_replication_slot($1::text::name, $2::text::name${failover}) AS made`;
}

/** Writes down which transactions run: a logical slot that a standby makes begins there (16+). */
export const logStandbySnapshot = "SELECT pg_catalog.pg_log_standby_snapshot()";

/** Drops the slot $1. */
export const dropSlot = "SELECT pg_catalog.pg_drop_replication_slot($1::text::name) AS dropped";

/** Moves the slot $1 to the position $2; never back. */
export const advanceSlot =
  "SELECT (pg_catalog.pg_replication_slot_advance($1::text::name, $2::text::pg_lsn)).end_lsn::text AS lsn";

/** One slot as PostgreSQL shows it. */
export interface SlotRow {
  readonly name: string;
  readonly kind: "physical" | "logical";
  /** Of a logical slot. */
  readonly plugin: string | undefined;
  readonly database: string | undefined;
  readonly active: boolean;
  /** Who uses it, in words; undefined = nobody. */
  readonly usedBy: string | undefined;
  readonly temporary: boolean;
  /** Rows that somebody saw through it are not vacuumed: its xmin or catalog_xmin. */
  readonly holdsRows: boolean;
  readonly restartLsn: string | undefined;
  /** Of a logical slot: up to where its consumer has everything. */
  readonly confirmedLsn: string | undefined;
  /** Bytes of log that it keeps; undefined when it keeps nothing. */
  readonly retainedBytes: number | undefined;
  /** reserved, extended, unreserved or lost; absent when it keeps nothing. */
  readonly walStatus: string | undefined;
  /** A logical slot that standbys are to have too (17+). */
  readonly failover: boolean;
  /** It is the copy that a standby has of one. */
  readonly synced: boolean;
}

/** One row of `selectSlots`. */
export function parseSlot(row: Readonly<Record<string, unknown>>): SlotRow {
  return {
    name: String(row.name),
    kind: row.slot_type === "logical" ? "logical" : "physical",
    plugin: textOf(row.plugin),
    database: textOf(row.database),
    active: row.active === true,
    usedBy: row.active === true ? consumerOf(row) : undefined,
    temporary: row.temporary === true,
    holdsRows: row.holds_rows === true,
    restartLsn: textOf(row.restart_lsn),
    confirmedLsn: textOf(row.confirmed_lsn),
    retainedBytes: typeof row.retained === "string" ? Number(row.retained) : undefined,
    walStatus: textOf(row.wal_status),
    failover: row.failover === true,
    synced: row.synced === true,
  };
}

/** e.g. "cdc (debezium) from 10.0.0.7, process 4711". */
function consumerOf(row: Readonly<Record<string, unknown>>): string {
  const [user, application, address] = [row.user_name, row.application_name, row.client_address];
  const name = application ? ` (${application})` : "";
  const from = address ? ` from ${address}` : "";
  return `${user ?? "somebody"}${name}${from}, process ${row.active_pid}`;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
