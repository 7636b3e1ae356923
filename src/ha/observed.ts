// What a member's keeper sees of its own PostgreSQL at one moment. Everything here is a fact of this host: read from
// processes, files and the server, never from the store. Times are milliseconds of the boot clock.
import type { Fork } from "./lease.ts";
import type { SyncSetting } from "./quorum.ts";
import type { Vote } from "./state.ts";

export interface LocalView {
  readonly data: LocalData;
  readonly postgres: PostgresView;
  /** The work that takes long and is under way: one at a time. */
  readonly doing: Doing | null;
  /** Of the current start of the keeper: the newest epoch that it held itself; 0 = none. */
  readonly heldEpoch: number;
  /** The last vote, from its file; the file is written before anybody else hears of it. */
  readonly vote: Vote | null;
  readonly attempts: Attempts;
  /** low: an instance with more room is the better primary. full: PostgreSQL cannot write. stalled: writing hangs. */
  readonly disk: "ok" | "low" | "full" | "stalled";
  /** Since when the host is going down or the service manager wants PostgreSQL to end; null = it is not. */
  readonly leavingSinceMs: number | null;
}

export type LocalData =
  | {
      readonly kind: "absent";
      /** This instance had data before (its record outside of the data directory says so): never initdb here again. */
      readonly hadData: boolean;
    }
  /** A bootstrap, a copy or a rewind was cut; the marker inside the directory says which. Must not be started. */
  | { readonly kind: "unfinished"; readonly of: "bootstrap" | "clone" | "rewind" }
  /** Not this instance's, or not readable. Is not touched. */
  | { readonly kind: "refused"; readonly reason: string }
  | ReadyData;

export interface ReadyData {
  readonly kind: "ready";
  readonly systemIdentifier: string;
  /** Timeline that the last record is on. Of a stopped standby: the newest that it has received. */
  readonly timeline: number;
  /** End of the last valid record, while PostgreSQL does not run; null = it was not found out yet. */
  readonly end: bigint | null;
  /** What it ran as last: a standby has a standby.signal. */
  readonly role: "primary" | "standby";
  /** It stopped in order ("shut down", "shut down in recovery"). */
  readonly clean: boolean;
  /** pg_rewind can work on it: checksums or wal_log_hints, and no backup label. */
  readonly rewindable: boolean;
}

export type PostgresView =
  /** The fencer cannot be asked. */
  | { readonly kind: "unknown" }
  | {
      readonly kind: "stopped";
      /** How it ended by itself since the last ordered stop; null = in order, or never started. */
      readonly crash: string | null;
      /** The fencer saw that not one process of it is left. */
      readonly empty: boolean;
    }
  /** Does not accept connections yet. `progressAtMs`: when recovery was last seen to move. */
  | { readonly kind: "starting"; readonly sinceMs: number; readonly progressAtMs: number }
  | { readonly kind: "stopping"; readonly sinceMs: number }
  /** Runs, but new connections have failed since `sinceMs` often enough to believe it, or the postmaster is stopped. */
  | { readonly kind: "hung"; readonly sinceMs: number }
  | StandbyView
  | PrimaryView;

export interface StandbyView {
  readonly kind: "standby";
  readonly sinceMs: number;
  /** Timeline of `received`. */
  readonly timeline: number;
  /** Flushed on disk. */
  readonly received: bigint;
  readonly replayed: bigint;
  /** Boot clock: when `replayed` was last seen to move. */
  readonly progressAtMs: number;
  /** Instance id in primary_conninfo; null = receives from nobody. */
  readonly upstream: string | null;
  /** A WAL receiver runs and streams. */
  readonly streaming: boolean;
  /** Since when there is no WAL receiver although there is an upstream; null = there is one. */
  readonly silentSinceMs: number | null;
  /** Why it can never catch up from any member, such as a segment that is gone; null = it can. */
  readonly stranded: string | null;
  readonly replayPaused: boolean;
  /** pg_promote() was called and has not come to an end. */
  readonly promotingSinceMs: number | null;
}

export interface PrimaryView {
  readonly kind: "primary";
  readonly sinceMs: number;
  readonly timeline: number;
  readonly flushed: bigint;
  /** From the history file of this timeline: where it and every one before it left its predecessor. */
  readonly forks: readonly Fork[];
  /** End of recovery at the last start, or the position of the promotion: what the gate waits for. */
  readonly gateLsn: bigint;
  /** Users may connect. */
  readonly gate: "open" | "closed";
  /** A checkpoint was completed on this timeline since this start or promotion. */
  readonly checkpointDone: boolean;
  readonly sync: SyncView;
  readonly standbys: readonly AttachedStandby[];
  /** Members that were attached since the start or are in the setting, and are not streaming now: since when. */
  readonly missing: readonly { readonly instance: string; readonly sinceMs: number }[];
}

/** synchronous_standby_names as the running server has it. */
export interface SyncView {
  readonly setting: SyncSetting;
  /**
   * Flush position from which on every commit certainly obeyed `setting`: read after every attached WAL sender was seen
   * to have taken the setting over (its reply_time moved twice since the reload), and, coming from an asynchronous
   * setting, after a probe commit was seen to wait. null = not proven yet.
   */
  readonly provenLsn: bigint | null;
}

/** A row of pg_stat_replication that belongs to a member. */
export interface AttachedStandby {
  readonly instance: string;
  readonly streaming: boolean;
  readonly flushed: bigint;
  /** Since its last reply; one that is silent for long does not count although it is connected. */
  readonly replyAgeMs: number;
}

/** A long piece of work. */
export interface Doing {
  readonly kind: "bootstrap" | "clone" | "rewind" | "promote" | "restart";
  /** Member that it works with; null = none. */
  readonly source: string | null;
  /** Epoch that it was ordered in. */
  readonly epoch: number;
  readonly sinceMs: number;
  readonly progressAtMs: number;
}

/** What was tried; the keeper remembers it across its own restarts. */
export interface Attempts {
  /** Promotions within the last ten minutes. */
  readonly failedPromotions: readonly FailedPromotion[];
  /** Boot clock: crashes of PostgreSQL within the last ten minutes. */
  readonly crashesAtMs: readonly number[];
  /** Rewinds and copies that failed one after the other; cleared by the first that streams. */
  readonly rejoin: {
    readonly rewinds: number;
    readonly clones: number;
    /** Boot clock: not before. */
    readonly retryAtMs: number;
    readonly error: string;
  };
}

export interface FailedPromotion {
  readonly epoch: number;
  readonly atMs: number;
}
