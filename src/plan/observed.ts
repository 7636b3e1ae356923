// What was seen of a database that a plan must know. Nothing seen is a legal answer: then nothing is assumed gone.

export interface ObservedDatabase {
  /** Instances whose keeper or fencer is absent from a host that answered. */
  readonly absentKeepers: ReadonlySet<string>;
  /** Instances whose PostgreSQL waits for a restart. */
  readonly pendingRestart: ReadonlySet<string>;
  /** Instance id of the primary, by node name. */
  readonly primaries: ReadonlyMap<string, string>;
}

export const nothingObserved: ObservedDatabase = {
  absentKeepers: new Set(),
  pendingRestart: new Set(),
  primaries: new Map(),
};
