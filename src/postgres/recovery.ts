// The settings that make a PostgreSQL follow another one (manual 20.5.8 "Recovery", 20.6.3 "Standby Servers"), and
// what of them must not be left behind elsewhere. Conninfo strings are written here and by nobody else: tools of a
// newer version write keywords that the server's own libpq does not know.

import type { PrimarySettings } from "./controldata.ts";
import { replicatorName, superuserName } from "./hba.ts";

/** A member as others reach its PostgreSQL. */
export interface UpstreamAddress {
  /** Tried in this order. */
  readonly addresses: readonly string[];
  readonly port: number;
}

export interface ConninfoInput {
  readonly upstream: UpstreamAddress;
  /** Directory with ca.crt and the pairs replication and superuser. */
  readonly certificateDir: string;
  readonly applicationName: string;
  /** The role that standbys replicate with, or the superuser for pg_rewind. */
  readonly role: "replication" | "superuser";
  /** Needed for slot synchronisation (17+) and for ordinary sessions. */
  readonly database?: string;
}

/** Seconds to wait for one address. */
const connectTimeoutS = 5;
/** A peer that is gone is noticed by the kernel after this time, milliseconds. */
const tcpUserTimeoutMs = 10_000;

/** A libpq connection string: TLS with the peer's name checked, and our certificate instead of a password. */
export function renderConninfo(input: ConninfoInput): string {
  const { upstream, certificateDir, role } = input;
  const pair = role === "replication" ? "replication" : "superuser";
  return joinConninfo({
    host: upstream.addresses.join(","),
    port: String(upstream.port),
    user: role === "replication" ? replicatorName : superuserName,
    ...(input.database === undefined ? {} : { dbname: input.database }),
    application_name: input.applicationName,
    sslmode: "verify-full",
    sslrootcert: `${certificateDir}/ca.crt`,
    sslcert: `${certificateDir}/${pair}.crt`,
    sslkey: `${certificateDir}/${pair}.key`,
    gssencmode: "disable",
    connect_timeout: String(connectTimeoutS),
    keepalives_idle: "5",
    keepalives_interval: "2",
    keepalives_count: "3",
    tcp_user_timeout: String(tcpUserTimeoutMs),
  });
}

/** Keywords and values, every value quoted (manual 34.1.1.1). */
export function joinConninfo(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}='${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`)
    .join(" ");
}

/** What an instance should do about replication; becomes settings in its configuration file. */
export interface ReplicationRole {
  readonly major: number;
  /** Whom to follow. Absent: nobody (a primary; or a standby that is to let go of its upstream). */
  readonly follow?: { readonly conninfo: string; readonly slot: string | null };
  /** synchronous_standby_names, complete. Absent: whatever the plan says. */
  readonly synchronousStandbyNames?: string;
  /**
   * Have copies of the upstream's logical slots (17+). The process that makes them gives up for ten seconds and more
   * when it meets an own slot of the same name (hazard H77).
   */
  readonly copySlots?: boolean;
  /** Physical slots that logical decoding waits for on the primary (17+). */
  readonly synchronizedStandbySlots?: readonly string[];
  /** What slots of absent members may keep of the log at most; see `slotLogBound`. */
  readonly slotLogBytes?: number;
  /** As the data was written; a standby must not have less. Absent on a primary. */
  readonly atLeast?: PrimarySettings;
}

/** Log that is kept for a rewind where the plan names no size. */
const rewindLogKept = "512MB";

/** Bounds of what slots keep for members that are away. */
const slotLogBytesMin = 1024 ** 3;
const slotLogBytesMax = 64 * 1024 ** 3;

/**
 * How much log slots may keep on a file system of this size: a fifth of it, in whole GiB. Without a bound a member
 * that never returns would fill the disk of the primary; beyond it the member is copied anew.
 */
export function slotLogBound(fileSystemBytes: number): number {
  const wanted = Math.floor(fileSystemBytes / 5 / slotLogBytesMin) * slotLogBytesMin;
  return Math.min(Math.max(wanted, slotLogBytesMin), slotLogBytesMax);
}

function megabytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 ** 2)}MB`;
}

/** Recovery targets belong to restores. One that is left over would end or refuse a standby's recovery. */
const NO_TARGETS: Readonly<Record<string, string>> = {
  recovery_target: "",
  recovery_target_lsn: "",
  recovery_target_name: "",
  recovery_target_time: "",
  recovery_target_xid: "",
};

/** Settings that only the keeper decides. In postgresql.auto.conf they would win over the configuration file. */
export const OWNED_SETTINGS: readonly string[] = [
  ...Object.keys(NO_TARGETS),
  "hot_standby",
  "primary_conninfo",
  "primary_slot_name",
  "promote_trigger_file",
  "recovery_end_command",
  "recovery_target_action",
  "recovery_target_inclusive",
  "recovery_target_timeline",
  "restore_command",
  "archive_cleanup_command",
  "synchronous_standby_names",
  "sync_replication_slots",
  "synchronized_standby_slots",
];

/**
 * The settings for a role, on top of the plan's. Changing whom to follow needs a reload only, and clearing it makes
 * the receiver stop at once (13+).
 */
export function replicationSettings(
  role: ReplicationRole,
  planned: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { follow, synchronousStandbyNames, major } = role;
  return {
    ...NO_TARGETS,
    hot_standby: "on",
    primary_conninfo: follow?.conninfo ?? "",
    primary_slot_name: follow?.slot ?? "",
    recovery_target_timeline: "latest",
    // pg_rewind reads the own log back to the last checkpoint before the fork.
    wal_keep_size: planned.wal_keep_size ?? rewindLogKept,
    max_slot_wal_keep_size:
      planned.max_slot_wal_keep_size ?? megabytes(role.slotLogBytes ?? slotLogBytesMin),
    // A crash must end in the keeper's hands: a restart inside the postmaster would skip its gates.
    restart_after_crash: "off",
    ...(synchronousStandbyNames === undefined
      ? {}
      : { synchronous_standby_names: synchronousStandbyNames }),
    ...(major >= 17 ? slotSettings(role) : {}),
    ...atLeast(role.atLeast, planned),
  };
}

function slotSettings(role: ReplicationRole): Readonly<Record<string, string>> {
  return {
    sync_replication_slots: role.copySlots ? "on" : "off",
    synchronized_standby_slots: (role.synchronizedStandbySlots ?? []).join(","),
  };
}

/** For each of the five settings the larger of what is planned and what the primary had (hazard H26). */
function atLeast(
  minimum: PrimarySettings | undefined,
  planned: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (!minimum) return {};
  const larger = Object.entries(minimum).filter(([name, value]) => {
    const wanted = Number(planned[name] ?? DEFAULTS[name] ?? 0);
    return !Number.isFinite(wanted) || wanted < value;
  });
  return Object.fromEntries(larger.map(([name, value]) => [name, String(value)]));
}

/** Values of a server whose configuration names none (manual 20). */
const DEFAULTS: Readonly<Record<string, number>> = {
  max_connections: 100,
  max_worker_processes: 8,
  max_wal_senders: 10,
  max_prepared_transactions: 0,
  max_locks_per_transaction: 64,
};

/**
 * postgresql.auto.conf without the settings that are the keeper's, and the names of those that were there; the text
 * is unchanged when there were none.
 */
export function cleanAutoConf(text: string): {
  readonly text: string;
  readonly removed: readonly string[];
} {
  const removed: string[] = [];
  const lines = text.split("\n").filter((line) => {
    const name = /^\s*([A-Za-z_][A-Za-z0-9_.$]*)\s*(=|\s)/.exec(line)?.[1]?.toLowerCase();
    if (name === undefined || !OWNED_SETTINGS.includes(name)) return true;
    removed.push(name);
    return false;
  });
  return { text: lines.join("\n"), removed: [...new Set(removed)] };
}
