// The settings of one instance: fixed ones, those for its size, of Spock, TLS and log; the user's win.
// Port and addresses are fields of the instance and not among them.
import { tunables } from "../postgres/tunables.ts";
import type { InstanceLayout } from "../spec/instance-config.ts";
import type { SettingValue } from "../spec/normalise.ts";

export interface ParameterInput {
  readonly major: number;
  readonly memoryBytes: number;
  readonly cpus: number;
  /** Nodes of the database. */
  readonly nodes: number;
  /** Number of this node: 1 of `n1`. */
  readonly ordinal: number;
  /** The installation has Spock. */
  readonly spock: boolean;
  readonly layout: InstanceLayout;
  /** Seconds of silence after which a replication connection is dead; absent = the node has no standbys. */
  readonly replicationTimeoutS?: number;
  /** postgresql_conf of database and node, merged. */
  readonly user: Readonly<Record<string, SettingValue>>;
}

const FIXED: Readonly<Record<string, string>> = {
  archive_command: "/bin/true",
  archive_mode: "on",
  checkpoint_completion_target: "0.9",
  checkpoint_timeout: "15min",
  dynamic_shared_memory_type: "posix",
  hot_standby_feedback: "on",
  log_destination: "stderr",
  log_filename: "postgresql-%a.log",
  log_line_prefix: "%m [%p] ",
  log_rotation_age: "1d",
  log_rotation_size: "0",
  log_truncate_on_rotation: "on",
  logging_collector: "on",
  password_encryption: "scram-sha-256",
  track_commit_timestamp: "on",
  track_io_timing: "on",
  wal_level: "logical",
  wal_log_hints: "on",
  wal_sender_timeout: "5s",
};

const SPOCK: Readonly<Record<string, string>> = {
  "spock.allow_ddl_from_functions": "on",
  "spock.conflict_log_level": "DEBUG",
  "spock.conflict_resolution": "last_update_wins",
  "spock.enable_ddl_replication": "on",
  "spock.include_ddl_repset": "on",
  "spock.save_resolutions": "on",
};

/** Settings of postgresql.conf, names in lower case and sorted. The keeper adds port, addresses and its own paths. */
export function instanceParameters(input: ParameterInput): Readonly<Record<string, string>> {
  const ordinal = String(input.ordinal);
  const generated: Record<string, string> = {
    ...FIXED,
    ...tunables(
      { memoryBytes: input.memoryBytes, cpus: input.cpus, nodes: input.nodes },
      input.major,
    ),
    shared_preload_libraries: input.spock ? "pg_stat_statements,spock" : "pg_stat_statements",
    ...(input.spock ? SPOCK : {}),
    ...tls(input.layout),
    ...replication(input.replicationTimeoutS),
    log_directory: input.layout.log_dir,
    "snowflake.node": ordinal,
    "lolor.node": ordinal,
  };
  for (const [name, value] of Object.entries(input.user)) {
    generated[name.toLowerCase()] = renderSetting(value);
  }
  return sortedByName(generated);
}

/** A setting's value as the text that the configuration file wants. */
export function renderSetting(value: SettingValue): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "number" ? plainNumber(value) : value;
}

/** Without exponent, which the configuration file's reader takes for floating-point settings only. */
function plainNumber(value: number): string {
  return Number.isInteger(value) ? BigInt(value).toString() : String(value);
}

/** A crash is the keeper's to answer: only it knows whether this may still be the primary. */
function replication(timeoutS: number | undefined): Record<string, string> {
  if (timeoutS === undefined) return {};
  return {
    restart_after_crash: "off",
    wal_receiver_timeout: `${timeoutS}s`,
    wal_sender_timeout: `${timeoutS}s`,
  };
}

function tls(layout: InstanceLayout): Record<string, string> {
  return {
    ssl: "on",
    ssl_ca_file: `${layout.certificate_dir}/ca.crt`,
    ssl_cert_file: `${layout.certificate_dir}/server.crt`,
    ssl_key_file: `${layout.certificate_dir}/server.key`,
  };
}

function sortedByName(record: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const names = Object.keys(record).sort();
  return Object.fromEntries(names.map((name) => [name, record[name] ?? ""]));
}
