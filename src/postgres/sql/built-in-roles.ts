// Statements for the roles that every database has: the group for users' administrators and the one for standbys.
import { replicatorName } from "../hba.ts";
import { quoteIdentifier } from "../identifier.ts";
import { groupName } from "../roles.ts";

/** Settings that only a superuser may change, and that tune or trace without giving access to anything. */
export const GROUP_PARAMETERS = [
  "commit_delay",
  "deadlock_timeout",
  "lc_messages",
  "log_duration",
  "log_error_verbosity",
  "log_executor_stats",
  "log_lock_waits",
  "log_min_duration_sample",
  "log_min_duration_statement",
  "log_min_error_statement",
  "log_min_messages",
  "log_parser_stats",
  "log_planner_stats",
  "log_replication_commands",
  "log_statement",
  "log_statement_sample_rate",
  "log_statement_stats",
  "log_temp_files",
  "log_transaction_sample_rate",
  "pg_stat_statements.track",
  "pg_stat_statements.track_planning",
  "pg_stat_statements.track_utility",
  "session_replication_role",
  "temp_file_limit",
  "track_activities",
  "track_counts",
  "track_functions",
  "track_io_timing",
] as const;

/** Predefined roles and the major version they came with (manual, "Predefined Roles"). */
const PREDEFINED = [
  ["pg_read_all_data", 14],
  ["pg_write_all_data", 14],
  ["pg_read_all_settings", 14],
  ["pg_read_all_stats", 14],
  ["pg_stat_scan_tables", 14],
  ["pg_monitor", 14],
  ["pg_signal_backend", 14],
  ["pg_checkpoint", 15],
  ["pg_use_reserved_connections", 16],
  ["pg_create_subscription", 16],
  ["pg_maintain", 17],
  ["pg_signal_autovacuum_worker", 18],
] as const;

/** The predefined roles that the group may use and hand on, for a major version. */
export function groupMemberships(major: number): readonly string[] {
  return PREDEFINED.filter(([, since]) => major >= since).map(([name]) => name);
}

/** Names of the built-in roles that exist: one row each. */
export const selectBuiltInRoles =
  "SELECT rolname::text AS name FROM pg_catalog.pg_roles WHERE rolname IN ('pgedge_superuser', 'patroni_replicator')";

/** Statements for the built-in roles that do not exist yet. */
export function builtInRoleStatements(
  existing: readonly string[],
  major: number,
): readonly string[] {
  const replicator = existing.includes(replicatorName)
    ? []
    : [`CREATE ROLE ${quoteIdentifier(replicatorName)} WITH LOGIN REPLICATION`];
  if (existing.includes(groupName)) return replicator;
  const group = quoteIdentifier(groupName);
  const admin = major >= 16 ? "WITH ADMIN TRUE, INHERIT TRUE" : "WITH ADMIN OPTION";
  return [
    ...replicator,
    `CREATE ROLE ${group} WITH NOLOGIN`,
    `GRANT ${groupMemberships(major).join(", ")} TO ${group} ${admin}`,
    `GRANT SET ON PARAMETER ${GROUP_PARAMETERS.join(", ")} TO ${group}`,
  ];
}
