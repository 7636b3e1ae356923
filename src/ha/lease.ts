// The lease of a node: who may be primary, as one row of the store that changes only by compare-and-set, and the
// rules of time that make it exclusive. Changes are values here; the store's client applies them. All times are
// milliseconds of the local boot clock (src/base/boot-clock.ts); no clock of another machine is ever compared.
import type { SyncRecord } from "./quorum.ts";
import type { HaSettings } from "./settings.ts";

/** How far the holder of an epoch has come. */
export const LEASE_PHASES = [
  /** Taken; nothing was done yet. */
  "acquiring",
  /** PostgreSQL is being promoted, or started as primary. */
  "promoting",
  /** Primary, but users are kept out until its commits are where they have to be. */
  "gated",
  /** Primary and open for users. */
  "open",
  /** Closing: PostgreSQL stops in order and the lease will be released. */
  "draining",
  /** Nobody holds it; `ending` says how that came about. */
  "released",
] as const;
export type LeasePhase = (typeof LEASE_PHASES)[number];

/** A row of ha_leases, its JSON columns parsed. LSNs are texts such as "0/3000060". */
export interface LeaseRow {
  readonly epoch: number;
  readonly seq: number;
  readonly nonce: string;
  /** Instance id; null = released. */
  readonly holder: string | null;
  /** Of the holder's keeper: new with every start. */
  readonly incarnation: string;
  /** The promise T of this lease: nobody takes it before it was seen unchanged for this long. */
  readonly ttl_ms: number;
  readonly phase: LeasePhase;
  /** The timeline that belongs to this epoch, and to no other. */
  readonly timeline: number;
  /** The smallest number that was never given out. */
  readonly next_timeline: number;
  /** Of the node's data; null until it was made. */
  readonly system_identifier: string | null;
  /** Instances that may take the lease, sorted. A failsafe round asks all of them. */
  readonly members: readonly string[];
  readonly sync: SyncRecord;
  /** Flush position of the primary at its last renewal. */
  readonly optime: string | null;
  /** The primary of this epoch finished a checkpoint on its timeline: pg_rewind may use it as source. */
  readonly checkpoint_done: boolean;
  readonly ending: Ending | null;
}

/** How a lease was given back. */
export interface Ending {
  /**
   * clean: PostgreSQL stopped in order at `lsn`. crash: it ended by itself and every process is gone.
   * manual: as clean, for a switchover. cannot_promote: the holder never became primary.
   */
  readonly kind: "clean" | "crash" | "manual" | "cannot_promote";
  readonly holder: string;
  /** End of the write-ahead log after a stop in order; null = not known. */
  readonly lsn: string | null;
  readonly timeline: number;
  /** Who is meant to take over; the others leave it some time. */
  readonly successor: string | null;
}

/** What makes one state of the row unmistakable. Every change is guarded by the one that was seen. */
export interface LeaseVersion {
  readonly epoch: number;
  readonly seq: number;
  readonly nonce: string;
}

/** A change of the row: apply `row` only if the stored row still has the version `expected`. */
export interface LeaseWrite {
  readonly kind: "create" | "renew" | "adopt" | "acquire" | "release";
  /** null = there must be no row yet. */
  readonly expected: LeaseVersion | null;
  /** Of a lease that was announced as given back: as good as `expected`, which may be there a moment later. */
  readonly orExpected?: LeaseVersion;
  readonly row: LeaseRow;
  /** What happens to ha_epochs in the same request, under the same condition. */
  readonly history: HistoryWrite | null;
}

export type HistoryWrite =
  | { readonly kind: "append"; readonly row: EpochRow }
  /** Fill `from_timeline` and `switch_lsn` of the rows with these timelines where they are null. */
  | { readonly kind: "complete"; readonly forks: readonly Fork[] };

/** Where a timeline left its predecessor. */
export interface Fork {
  readonly timeline: number;
  readonly from_timeline: number;
  readonly switch_lsn: string;
}

/** A row of ha_epochs: who was primary since when and why. */
export interface EpochRow {
  readonly epoch: number;
  readonly instance_id: string;
  readonly incarnation: string;
  readonly timeline: number;
  /** The timeline and position that this epoch's timeline begins from; null until it is known, and for the first. */
  readonly from_timeline: number | null;
  readonly switch_lsn: string | null;
  readonly reason: string;
  /** What a user agreed to lose, or what is known to be lost; null = nothing. */
  readonly lost: string | null;
}

/** A row of ha_epochs as it is read back. */
export interface PastEpoch extends EpochRow {
  /** Wall clock, for people. */
  readonly at_ms: number;
}

/** What the holder changes together with a renewal; absent fields stay. */
export interface LeaseChange {
  readonly phase?: "promoting" | "gated" | "open" | "draining";
  readonly sync?: SyncRecord;
  readonly members?: readonly string[];
  readonly checkpoint_done?: true;
  readonly system_identifier?: string;
  /** Where this epoch's timeline and those before it left their predecessors; completes ha_epochs. */
  readonly forks?: readonly Fork[];
}

/** Who writes. */
export interface Writer {
  readonly self: string;
  readonly incarnation: string;
  /** Fresh for every write, kept when the same write is sent again. */
  readonly nonce: string;
  readonly settings: HaSettings;
}

export function versionOf({ epoch, seq, nonce }: LeaseRow): LeaseVersion {
  return { epoch, seq, nonce };
}

export function sameVersion(a: LeaseVersion, b: LeaseVersion): boolean {
  return a.epoch === b.epoch && a.seq === b.seq && a.nonce === b.nonce;
}

/** Whether a write may be applied to the row that is stored; null = none. */
export function fits(
  { expected, orExpected }: Pick<LeaseWrite, "expected" | "orExpected">,
  stored: LeaseVersion | null,
): boolean {
  if (stored === null || expected === null) return stored === expected;
  return sameVersion(stored, expected) || (!!orExpected && sameVersion(stored, orExpected));
}

/** What the first row of a node says beside who writes it. */
export interface Beginning {
  readonly members: readonly string[];
  readonly sync: SyncRecord;
  /** Of data that is there already; null = it will be made, on timeline 1. */
  readonly data: { readonly timeline: number; readonly systemIdentifier: string } | null;
}

/** The first row of a node, written by its initial primary only. */
export function created(writer: Writer, { members, sync, data }: Beginning): LeaseWrite {
  const timeline = data?.timeline ?? 1;
  const row: LeaseRow = {
    epoch: 1,
    seq: 0,
    nonce: writer.nonce,
    holder: writer.self,
    incarnation: writer.incarnation,
    ttl_ms: promiseMs(writer.settings),
    phase: "acquiring",
    timeline,
    next_timeline: timeline + 1,
    system_identifier: data?.systemIdentifier ?? null,
    members: [...members].sort(),
    sync,
    optime: null,
    checkpoint_done: false,
    ending: null,
  };
  return { kind: "create", expected: null, row, history: appended(row, "created", null) };
}

/** The row after a renewal by its holder, with what changes at the same time. */
export function renewed(
  row: LeaseRow,
  writer: Writer,
  { optime, change = {} }: { optime?: string; change?: LeaseChange },
): LeaseWrite {
  const { forks, ...columns } = change;
  const next: LeaseRow = {
    ...row,
    ...columns,
    seq: row.seq + 1,
    nonce: writer.nonce,
    ttl_ms: promiseMs(writer.settings),
    optime: optime ?? row.optime,
  };
  const history: HistoryWrite | null = forks?.length ? { kind: "complete", forks } : null;
  return { kind: "renew", expected: versionOf(row), row: next, history };
}

/** The same holder under a new incarnation of its keeper. */
export function adopted(row: LeaseRow, writer: Writer): LeaseWrite {
  const next = renewed(row, writer, {}).row;
  const own = { ...next, incarnation: writer.incarnation };
  return { kind: "adopt", expected: versionOf(row), row: own, history: null };
}

/** How an instance takes a lease that ended. */
export interface Taking {
  /** Of the data it has. */
  readonly timeline: number;
  /** It was the last primary, has that data, and goes on without a promotion, on its own timeline. */
  readonly resumes: boolean;
  readonly sync: SyncRecord;
  readonly reason: string;
  readonly lost: string | null;
}

/**
 * The row after `self` took it, in a new epoch with a timeline of its own. `heldAs`: the version that its holder gives
 * back, where the store may still have it; whichever of the two is there makes the same row.
 */
export function acquired(
  row: LeaseRow,
  writer: Writer,
  taking: Taking,
  heldAs?: LeaseVersion,
): LeaseWrite {
  const timeline = taking.resumes
    ? taking.timeline
    : Math.max(row.next_timeline, taking.timeline + 1);
  const next: LeaseRow = {
    ...row,
    epoch: row.epoch + 1,
    seq: 0,
    nonce: writer.nonce,
    holder: writer.self,
    incarnation: writer.incarnation,
    ttl_ms: promiseMs(writer.settings),
    phase: "acquiring",
    timeline,
    next_timeline: Math.max(row.next_timeline, timeline + 1),
    sync: taking.sync,
    checkpoint_done: taking.resumes && row.checkpoint_done,
    ending: null,
  };
  const history = appended(next, taking.reason, taking.lost);
  const expected = versionOf(row);
  const or = heldAs ? { orExpected: heldAs } : {};
  return { kind: "acquire", expected, ...or, row: next, history };
}

/** The row after its holder gave it back. */
export function released(row: LeaseRow, writer: Writer, ending: Ending): LeaseWrite {
  const next: LeaseRow = {
    ...row,
    seq: row.seq + 1,
    nonce: writer.nonce,
    holder: null,
    phase: "released",
    ending,
    optime: ending.lsn ?? row.optime,
  };
  return { kind: "release", expected: versionOf(row), row: next, history: null };
}

function appended(row: LeaseRow, reason: string, lost: string | null): HistoryWrite {
  return {
    kind: "append",
    row: {
      epoch: row.epoch,
      instance_id: row.holder ?? "",
      incarnation: row.incarnation,
      timeline: row.timeline,
      from_timeline: null,
      switch_lsn: null,
      reason,
      lost,
    },
  };
}

/** Assumed bound of the difference in rate between the clocks of two hosts; NTP slews by half of it. */
export const clockRateErrorMax = 0.001;

/** The promise T: the ttl at most, and never longer than a holder that cannot renew goes on. */
export function promiseMs({ ttl_ms, loop_ms, retry_ms, guard_ms }: HaSettings): number {
  return Math.min(ttl_ms, loop_ms + retry_ms + guard_ms);
}

/** A write of the holder that was sent at `sentAtMs` (taken before it left) and promises `ttlMs`. */
export interface SentRenewal {
  readonly sentAtMs: number;
  readonly ttlMs: number;
}

/**
 * When the holder's PostgreSQL has to be gone at the latest, minus the guard: the fencer's deadline. `sent` is the
 * last renewal that certainly succeeded and every later one whose fate is not known, because one of those with a
 * shorter promise may be what the others go by.
 */
export function deadlineMs(sent: readonly SentRenewal[], { guard_ms }: HaSettings): number {
  return Math.min(...sent.map(({ sentAtMs, ttlMs }) => sentAtMs + ttlMs - guard_ms));
}

/**
 * From when on a lease that was first seen at `seenAtMs` (when the answer had arrived) and never changed since may
 * be taken: the promise is over even if this clock is as fast, and the holder's as slow, as they may be.
 */
export function contestableAtMs(seenAtMs: number, ttlMs: number): number {
  return seenAtMs + longestMs(ttlMs);
}

/** Until when a member that agreed at `answeredAtMs` to a holder without the store keeps away from the lease. */
export function promisedUntilMs(answeredAtMs: number, ttlMs: number): number {
  return answeredAtMs + longestMs(ttlMs);
}

/** How long a time that another clock measures can be on this one. */
function longestMs(ms: number): number {
  return (ms * (1 + clockRateErrorMax)) / (1 - clockRateErrorMax);
}
