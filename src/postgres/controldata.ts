// Reads the head of global/pg_control, whose layout has not moved since PostgreSQL 13 (source, pg_control.h).

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

/** How many bytes of the file are needed. */
export const controlFileBytes = 64;

/** The facts, or undefined when this cannot be a control file of a machine of this byte order. */
export function parseControlFile(bytes: Uint8Array): ControlFile | undefined {
  if (bytes.length < controlFileBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
