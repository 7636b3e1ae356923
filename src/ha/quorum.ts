// The arithmetic of synchronous replication: when does every standby that may be promoted, or enough of those that
// vote for it, have every acknowledged commit? Knows sets and counts only; the order of changes is in sync.ts.
//
// A *setting* P = (S, k) is what the primary waits for: a commit is acknowledged when k of the standbys S have
// flushed it. A *record* R = (V, q) is what the store says about promotion: a standby may be promoted when q of
// the voters V, itself included, are known to be no further than it is.
//
// Claim. If k + q > |V ∪ S|, then every commit acknowledged under P is on at least one member of every q-subset
// of V. Proof: at least k members of S have it, so at most |S| - k members of S lack it. Members of V that are
// not in S may lack it too. So at most (|S| - k) + |V \ S| = |V ∪ S| - k members of V ∪ S lack it, and a subset
// of V in which all lack it has at most |V ∪ S| - k < q members. ∎
//
// Claim. If every commit so far is on every q-subset of V, and q' - |V' \ V| ≥ q, then every commit so far is on
// every q'-subset of V'. Proof: such a subset has at most |V' \ V| members outside V, hence at least
// q' - |V' \ V| ≥ q inside, and those contain a q-subset of V. ∎
//
// Claim. If n members of V' have flushed everything up to L, and n + q' > |V'|, then every commit up to L is on
// every q'-subset of V'. Proof: the subset and the n members cannot be disjoint within V'. ∎
//
// With priority (n of n) every voter alone may be promoted: k = |S|, q = 1. With a quorum, ANY k of S:
// q = |S| - k + 1. The two are one form here; nothing below asks which it is.

/** What the primary waits for before it acknowledges a commit: `count` of `standbys`. */
export interface SyncSetting {
  /** Instance ids, sorted. Empty with `count` 0 = asynchronous. */
  readonly standbys: readonly string[];
  readonly count: number;
  /** No commit is acknowledged whatever the standbys do: the name of nobody is waited for. */
  readonly blocked: boolean;
}

/** Who may be promoted: `quorum` of `voters`. In the lease row as JSON, changed only by the holder. */
export interface SyncRecord {
  /** Grows with every change. */
  readonly version: number;
  /** off: commits are not claimed to be anywhere, and every standby within the limit of lag may be promoted. */
  readonly mode: "off" | "on";
  /** Instance ids, sorted; the holder is never one of them. */
  readonly voters: readonly string[];
  /** More than there are voters = nobody but the last holder may be promoted without a word of the user. */
  readonly quorum: number;
  /** Standbys that a commit waits for, for display. */
  readonly count: number;
}

export const asynchronous: SyncSetting = { standbys: [], count: 0, blocked: false };
export const blocked: SyncSetting = { standbys: [], count: 0, blocked: true };

/** Commits are acknowledged without a standby. */
export function isAsynchronous({ count, blocked: blocks }: SyncSetting): boolean {
  return count === 0 && !blocks;
}

export function sameSetting(a: SyncSetting, b: SyncSetting): boolean {
  return a.count === b.count && a.blocked === b.blocked && sameSet(a.standbys, b.standbys);
}

export function sameRecord(a: SyncRecord, b: SyncRecord): boolean {
  return a.mode === b.mode && a.quorum === b.quorum && sameSet(a.voters, b.voters);
}

/** Whether anybody can be promoted by this record at all. */
export function isElectable({ mode, voters, quorum }: SyncRecord): boolean {
  return mode === "off" || quorum <= voters.length;
}

/** Whether commits acknowledged under this setting are safe with this record (first claim). */
export function isSafe(setting: SyncSetting, record: SyncRecord): boolean {
  if (record.mode === "off" || setting.blocked || !isElectable(record)) return true;
  return setting.count + record.quorum > union(record.voters, setting.standbys).length;
}

/** Whether what is safe with `from` is safe with `to` as well, whatever the standbys have (second claim). */
export function isImplied(from: SyncRecord, to: SyncRecord): boolean {
  if (!isElectable(to)) return true;
  if (to.mode === "off") return from.mode === "off";
  if (from.mode === "off") return false;
  return to.quorum - without(to.voters, from.voters).length >= from.quorum;
}

/** Whether what is flushed by these standbys is safe with the record (third claim). */
export function isCovered(record: SyncRecord, caughtUp: readonly string[]): boolean {
  if (record.mode === "off" || !isElectable(record)) return true;
  const known = record.voters.filter((voter) => caughtUp.includes(voter)).length;
  return known + record.quorum > record.voters.length;
}

/** Whether a voter with these answers, its own included, has every acknowledged commit. */
export function isElected(record: SyncRecord, self: string, notAhead: readonly string[]): boolean {
  if (record.mode === "off") return true;
  const votes = record.voters.filter((voter) => voter === self || notAhead.includes(voter));
  return votes.length >= record.quorum;
}

/** The record that belongs to a setting once its standbys have caught up. */
export function recordOf(setting: SyncSetting, version: number): SyncRecord {
  const { standbys, count } = setting;
  return { version, mode: "on", voters: standbys, quorum: standbys.length - count + 1, count };
}

/** The setting on the way between two: safe with both records. Waits for more than either. */
export function between(from: SyncSetting, record: SyncRecord, to: SyncSetting): SyncSetting {
  const standbys = union(from.standbys, to.standbys);
  const least = Math.min(record.quorum, recordOf(to, 0).quorum);
  const all = union(record.voters, standbys).length;
  const count = all - least + 1;
  return { standbys, count: Math.min(count, standbys.length), blocked: count > standbys.length };
}

export function union(a: readonly string[], b: readonly string[]): readonly string[] {
  return [...new Set([...a, ...b])].sort();
}

export function without(a: readonly string[], b: readonly string[]): readonly string[] {
  return a.filter((item) => !b.includes(item));
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}
