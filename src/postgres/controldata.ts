// Reads global/pg_control (source, pg_control.h). The layout has been the same from PostgreSQL 13 to 18 up to the
// checksum version, which two known numbers in it prove for the file at hand.
import { crc32c } from "./crc32c.ts";

/** The head of the file: what it needs to know whose data this is. */
export interface ControlFile {
  /** Unsigned 64 bits as decimal text. */
  readonly systemIdentifier: string;
  /** e.g. 1300, 1700, 1800 */
  readonly controlVersion: number;
  readonly catalogVersion: number;
  readonly state: ClusterState;
  /** Of the last checkpoint; lags behind the real one after a promotion. */
  readonly checkpointTimeline: number;
}

/** Everything that decides whether and how data can be started, followed or rewound. */
export interface ControlData extends ControlFile {
  /** Where the last checkpoint record begins; with `shut down` it is the last record of all. */
  readonly checkpointLsn: bigint;
  readonly redoLsn: bigint;
  /** Seconds since 1970. */
  readonly checkpointTime: number;
  /** How far recovery must come before the data is consistent; 0 on a primary. */
  readonly minRecoveryLsn: bigint;
  readonly minRecoveryTimeline: number;
  /** A base backup that has not been recovered to its end. */
  readonly backupStartLsn: bigint;
  readonly backupEndRequired: boolean;
  /** As the primary had them when they were last written to the log. */
  readonly settings: PrimarySettings;
  readonly walLogHints: boolean;
  readonly checksums: boolean;
  readonly walBlockBytes: number;
  readonly walSegmentBytes: number;
}

/** Settings that a standby must not have smaller than its primary (manual 26.4.1). */
export interface PrimarySettings {
  readonly max_connections: number;
  readonly max_worker_processes: number;
  readonly max_wal_senders: number;
  readonly max_prepared_transactions: number;
  readonly max_locks_per_transaction: number;
}

export const CLUSTER_STATES = [
  "starting up",
  "shut down",
  "shut down in recovery",
  "shutting down",
  "in crash recovery",
  "in archive recovery",
  "in production",
] as const;
export type ClusterState = (typeof CLUSTER_STATES)[number] | "unrecognised";

/** How many bytes the head has. */
export const controlFileBytes = 64;

/** `maxAlign` and `floatFormat` prove that the fields are where they are looked for. */
const ALIGNMENT = 8;
const FLOAT_FORMAT = 1_234_567;
/** Where the checksum of the file is: after the nonce, which 18 moved by one word. */
const CRC_OFFSETS = [288, 292];

/** The facts, or undefined when this cannot be a control file of a machine of this byte order. */
export function parseControlFile(bytes: Uint8Array): ControlFile | undefined {
  if (bytes.length < controlFileBytes) return undefined;
  const view = viewOf(bytes);
  const controlVersion = view.getUint32(8, true);
  if (controlVersion < 1_300 || controlVersion > 9_999) return undefined;
  return {
    systemIdentifier: view.getBigUint64(0, true).toString(),
    controlVersion,
    catalogVersion: view.getUint32(12, true),
    state: CLUSTER_STATES[view.getUint32(16, true)] ?? "unrecognised",
    checkpointTimeline: view.getUint32(48, true),
  };
}

/**
 * All of the file, or undefined when it is not whole: read while the server wrote it (read it again), damaged, or of
 * a version with another layout.
 */
export function parseControlData(bytes: Uint8Array): ControlData | undefined {
  const head = parseControlFile(bytes);
  if (!head || bytes.length < 296) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(204, true) !== ALIGNMENT || view.getFloat64(208, true) !== FLOAT_FORMAT) {
    return undefined;
  }
  const whole = CRC_OFFSETS.some(
    (offset) => view.getUint32(offset, true) === crc32c(bytes.subarray(0, offset)),
  );
  if (!whole) return undefined;
  return {
    ...head,
    checkpointLsn: view.getBigUint64(32, true),
    redoLsn: view.getBigUint64(40, true),
    checkpointTime: Number(view.getBigInt64(104, true)),
    minRecoveryLsn: view.getBigUint64(136, true),
    minRecoveryTimeline: view.getUint32(144, true),
    backupStartLsn: view.getBigUint64(152, true),
    backupEndRequired: view.getUint8(168) !== 0,
    settings: {
      max_connections: view.getInt32(180, true),
      max_worker_processes: view.getInt32(184, true),
      max_wal_senders: view.getInt32(188, true),
      max_prepared_transactions: view.getInt32(192, true),
      max_locks_per_transaction: view.getInt32(196, true),
    },
    walLogHints: view.getUint8(176) !== 0,
    checksums: view.getUint32(252, true) !== 0,
    walBlockBytes: view.getUint32(224, true),
    walSegmentBytes: view.getUint32(228, true),
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
