// What one keeper can do about being a standby or becoming the primary, seen from its controller. Works on one
// PostgreSQL and its data directory and decides nothing about the group: who leads and which timeline is whose comes
// from the caller. Every method may be cut at any point and called again; what a cut leaves behind is found by
// `inspectLeftovers` at the next start. Methods throw AppError (`retryable`: again later; `terminal`: it will not
// work this way) and reject with the signal's reason when it aborts. Made by `createStandbyMechanics` of standby.ts.
import type { ControlData } from "../../../src/postgres/controldata.ts";
import type { UpstreamAddress } from "../../../src/postgres/recovery.ts";
import type {
  Kinship,
  TimelineHistory,
  TimelinePosition,
} from "../../../src/postgres/timeline-history.ts";
import type { SqlSession } from "../sql.ts";

/** Another member of the node. */
export interface Peer extends UpstreamAddress {
  readonly instanceId: string;
}

/** Of a long work, for `creating replica` and its like. */
export interface Progress {
  readonly phase: "checking" | "copying" | "verifying" | "recovering" | "rewinding" | "finishing";
  readonly doneBytes?: number;
  readonly totalBytes?: number;
  /** One sentence. */
  readonly text: string;
}

export interface WorkOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** What an earlier keeper left in the middle. Nothing may be started on the data while one is there. */
export type Leftover =
  /** A copy was not completed; the data directory, if there is one, is what it was before. `cloneFrom` goes on. */
  | { readonly kind: "clone"; readonly stage: "copying" | "copied" | "verified" }
  /** A rewind was cut: the data is half old and half new. Only `cloneFrom` helps. */
  | { readonly kind: "rewind"; readonly upstreamId: string };

/** The data directory while PostgreSQL is stopped. */
export interface OfflineState {
  readonly control: ControlData;
  /** It was a standby when it ran last: standby.signal is there. */
  readonly standbySignal: boolean;
  /** A base backup that was not recovered yet. */
  readonly backupLabel: boolean;
  readonly recoverySignal: boolean;
  /**
   * Where the data ends. Known after the clean shutdown of a primary only: the end of its last record, to the byte.
   * A crashed primary must be recovered first (`recoverAlone`); a standby is started without an upstream and asked.
   */
  readonly end: TimelinePosition | undefined;
  /** Why `end` is not known. */
  readonly endUnknown?: "crashed_primary" | "standby" | "unreadable_log";
  /** Of the data's timeline; without ancestors when its file is gone. */
  readonly history: TimelineHistory;
}

/** Positions of a running PostgreSQL. */
export interface Positions {
  readonly inRecovery: boolean;
  /**
   * Where its data ends: the flush position of a primary; of a standby the larger of received and replayed, because
   * what was received will be replayed. The timeline is that of the history at this position, never `received_tli`
   * alone: that one runs ahead.
   */
  readonly end: TimelinePosition;
  readonly replayLsn: bigint | undefined;
  readonly receiveLsn: bigint | undefined;
  /** Whether a receiver process is there; after `letGo` it must not be. */
  readonly receiving: boolean;
  /** Host that the receiver is connected to. */
  readonly sender: { readonly host: string; readonly port: number } | undefined;
  readonly replayPaused: boolean;
  readonly history: TimelineHistory;
}

/** What is known of the server that should be followed. */
export interface UpstreamState {
  readonly systemIdentifier: string;
  readonly inRecovery: boolean;
  readonly major: number;
  readonly versionNumber: number;
  readonly history: TimelineHistory;
  /** It checkpointed on its timeline: only then does pg_rewind see where it is (hazard H7). */
  readonly checkpointed: boolean;
  readonly endLsn: bigint;
}

/** Whether the own data can follow an upstream as it is. */
export type Judgement =
  | { readonly kind: "follow"; readonly upstream: UpstreamState }
  /** It has records of its own. `rewindable` says whether `rewind` can work, `obstacles` why not. */
  | {
      readonly kind: "diverged";
      readonly upstream: UpstreamState;
      readonly kinship: Extract<Kinship, { kind: "diverged" }>;
      readonly rewindable: boolean;
      readonly obstacles: readonly string[];
    }
  /**
   * The numbers agree and the logs do not: two histories under one timeline number. Following would mix them, and
   * pg_rewind would say that there is nothing to do.
   */
  | { readonly kind: "forked"; readonly upstream: UpstreamState; readonly why: string }
  /** Another database, or nothing common. `cloneFrom` only when the caller is sure. */
  | { readonly kind: "foreign"; readonly why: string }
  /** The upstream no longer has the log that the own data needs next. */
  | { readonly kind: "too_old"; readonly upstream: UpstreamState; readonly why: string }
  /** The upstream cannot be judged now: it is starting, or has not checkpointed. Ask again. */
  | { readonly kind: "wait"; readonly why: string };

export interface LostLog {
  readonly timeline: number;
  readonly fromLsn: bigint;
  readonly toLsn: bigint;
  /** Directory in which the segments were kept, if any were. */
  readonly keptIn: string | undefined;
}

export type RewindOutcome =
  | { readonly kind: "rewound"; readonly lost: LostLog | undefined }
  /** Nothing was changed. A fresh copy may help. */
  | { readonly kind: "impossible"; readonly why: string }
  /** It failed in the middle: the data must not be started, and only a fresh copy helps. */
  | { readonly kind: "broken"; readonly why: string };

/** What a promotion goes by. */
export interface PromotionSurvey {
  readonly inRecovery: boolean;
  /** Of the data. */
  readonly timeline: number;
  /** Timelines that have a history file here. */
  readonly taken: readonly number[];
}

export interface Allotted {
  readonly timeline: number;
  readonly stallMs: number;
  readonly survey?: PromotionSurvey;
}

export type PromoteOutcome =
  | {
      readonly kind: "promoted";
      readonly timeline: number;
      readonly lsn: bigint;
      readonly tookMs: number;
    }
  /** Nothing was done: the number is taken or behind. */
  | { readonly kind: "refused"; readonly why: string }
  /** It was told to promote and made no progress in the time; it may still do so. End it and start it as a standby. */
  | { readonly kind: "timed_out"; readonly why: string }
  /** It is a primary, on another timeline than the allotted one. Must be fenced. */
  | { readonly kind: "wrong_timeline"; readonly timeline: number };

export interface StandbyMechanics {
  /** What an earlier keeper left in the middle; also ends programs that it left running. Call it at start. */
  inspectLeftovers(): Promise<Leftover | undefined>;

  /** Reads the stopped data directory. Undefined when there is none. */
  inspectOffline(): Promise<OfflineState | undefined>;

  /**
   * Makes the data directory a copy of a member's: slot there first, pg_basebackup over TLS into a place beside,
   * checked against its manifest, then renamed. Data that was there is kept as `<data>.kept-<time>`. PostgreSQL must
   * be stopped. Afterwards the data starts as a standby.
   */
  cloneFrom(peer: Peer, options: WorkOptions): Promise<void>;

  /** The clone streams: what was kept aside for it can go. Cheap when there is nothing. Answers what was removed. */
  confirmClone(signal: AbortSignal): Promise<readonly string[]>;

  /**
   * Makes the stopped data directory start as a standby, and as nothing else: standby.signal, no recovery.signal, no
   * recovery settings in postgresql.auto.conf, no reserved timeline that nobody took behind the own one.
   */
  prepareStandby(): Promise<void>;

  /**
   * Whether the data ran as a primary and was not compared with the server that it is to follow: until `judge` said
   * `follow`, only its timeline's number says that it can. It should be started with nobody to follow, and judged.
   */
  needsProof(): Promise<boolean>;

  /** Makes it start as a primary, without a promotion: for the holder that crashed. Only with the lease. */
  preparePrimary(): Promise<void>;

  /** Crash recovery of a former primary with no client, no archiver and nobody to follow. Ends cleanly shut down. */
  recoverAlone(options: WorkOptions): Promise<void>;

  /** Whether the own data can follow this member. `own`: from `inspectOffline().end` or `positions()`. */
  judge(
    peer: Peer,
    own: TimelinePosition & { readonly history: TimelineHistory },
    signal: AbortSignal,
  ): Promise<Judgement>;

  /** pg_rewind of the stopped data to a member that was judged. Afterwards the data starts as a standby. */
  rewind(peer: Peer, judgement: Judgement, options: WorkOptions): Promise<RewindOutcome>;

  /** Positions of the running server. */
  positions(session: SqlSession): Promise<Positions>;

  /**
   * Waits until the receiver is gone, after the configuration with an empty primary_conninfo was reloaded; answers
   * the positions, which are final then.
   */
  letGo(session: SqlSession, signal: AbortSignal): Promise<Positions>;

  /** Reads what a promotion has to know, and changes nothing: it may be done before it is certain that there is one. */
  surveyPromotion(session: SqlSession): Promise<PromotionSurvey>;

  /**
   * Promotes to exactly this timeline. `stallMs`: give up after so long without replay progress. `survey`: one that
   * was made a moment ago; made anew when absent. Where it is outdated, the outcome says so: `wrong_timeline`.
   */
  promote(session: SqlSession, allotted: Allotted, signal: AbortSignal): Promise<PromoteOutcome>;

  /** CHECKPOINT after a promotion; resolves when the control file shows the new timeline. */
  checkpoint(session: SqlSession, signal: AbortSignal): Promise<void>;
}
