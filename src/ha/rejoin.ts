// How data that is here becomes the data of a standby of the primary that is: followed, turned back, or copied anew.
// Nothing is removed by any of these before what replaces it streams; that is the keeper's part.
import { type LeaseRow, sameVersion } from "./lease.ts";
import { type Belonging, belongsTo, describePosition, lsnOf } from "./position.ts";
import { livingOthers, rowOf, type Situation } from "./situation.ts";
import type { GroupView } from "./state.ts";

/** Rewinds that may fail in a row before a copy is made instead. */
export const rewindsMax = 2;

export type Rejoin =
  /** Run as standby of `upstream`; null = of nobody, to find out how far the data reaches. */
  | { readonly kind: "follow"; readonly upstream: string | null; readonly why: string }
  | { readonly kind: "rewind"; readonly source: string; readonly why: string }
  | { readonly kind: "clone"; readonly source: string; readonly why: string }
  | { readonly kind: "wait"; readonly why: string };

/** What to do with data that is not known to be in the history of `holder`, the primary of another epoch. */
export function planRejoin(s: Situation, row: LeaseRow, holder: string): Rejoin {
  const { data } = s.local;
  if (data.kind === "absent") return copy(s, row, holder, "there is no data");
  // H18: a rewind that was cut leaves data that is half old and half new, and looks whole.
  if (data.kind === "unfinished") return copy(s, row, holder, `a ${data.of} was cut`);
  if (data.kind === "refused") return { kind: "wait", why: data.reason };
  if (s.standby?.stranded) return copy(s, row, holder, s.standby.stranded);
  if (isBound(s, row)) {
    return { kind: "follow", upstream: null, why: "it voted on this lease" };
  }
  if (s.position === null) return followUnseen(s, row, holder);
  const belonging = belongsTo(s.position, row.timeline, s.view.history);
  if (belonging === "diverged") return turnBack(s, row, holder);
  return followOrWait(s, row, holder, belonging);
}

/** It said that it receives nothing more while the lease has exactly this version. */
export function isBound({ local }: Situation, row: LeaseRow): boolean {
  return local.vote !== null && sameVersion(local.vote, row);
}

/**
 * How far stopped data reaches is not known. A standby may simply follow: where it has something of its own, PostgreSQL
 * refuses, because every timeline number is one history. Where a primary crashed, some of its own is likely.
 */
function followUnseen({ local }: Situation, row: LeaseRow, holder: string): Rejoin {
  const wasStandby = local.data.kind === "ready" && local.data.role === "standby";
  const begun = row.phase === "gated" || row.phase === "open";
  if (wasStandby && begun) {
    return { kind: "follow", upstream: holder, why: `${holder} is the primary` };
  }
  return { kind: "follow", upstream: null, why: "to find out how far the data reaches" };
}

function turnBack(s: Situation, row: LeaseRow, holder: string): Rejoin {
  const { data, attempts } = s.local;
  const at = s.position ? describePosition(s.position) : "its data";
  const why = `${at} is not in the history of ${holder}`;
  if (data.kind === "ready" && !data.rewindable)
    return copy(s, row, holder, `${why}, and it cannot be rewound`);
  if (attempts.rejoin.rewinds >= rewindsMax) {
    return copy(s, row, holder, `${why}, and rewinding failed: ${attempts.rejoin.error}`);
  }
  const early = tooEarly(s, row);
  if (early) return { kind: "wait", why: early };
  if (!row.checkpoint_done) return { kind: "wait", why: `${holder} has not made a checkpoint yet` };
  return { kind: "rewind", source: holder, why };
}

function copy(s: Situation, row: LeaseRow, holder: string, why: string): Rejoin {
  const early = tooEarly(s, row);
  return early
    ? { kind: "wait", why: early }
    : { kind: "clone", source: sourceFor(s, holder), why };
}

/** The primary is not one yet, or the last attempt was a moment ago. */
function tooEarly({ local, nowMs }: Situation, row: LeaseRow): string | null {
  const { retryAtMs, error } = local.attempts.rejoin;
  if (nowMs < retryAtMs) return `waiting before the next attempt: ${error}`;
  const ready = row.phase === "gated" || row.phase === "open";
  return ready && row.system_identifier !== null ? null : "the primary is not ready yet";
}

/** A standby that is tagged clonefrom and keeps up, to spare the primary; else the primary. */
function sourceFor(s: Situation, holder: string): string {
  const tagged = livingOthers(s).find(({ status }) => {
    const member = s.view.members.find(({ instance_id }) => instance_id === status.instance_id);
    return member?.tags.clonefrom === true && status.streaming && status.role === "standby";
  });
  return tagged?.status.instance_id ?? holder;
}

function followOrWait(s: Situation, row: LeaseRow, holder: string, belonging: Belonging): Rejoin {
  const begun = row.phase !== "acquiring" && row.phase !== "promoting";
  if (begun || (belonging === "prefix" && isBehind(s, holder))) {
    return { kind: "follow", upstream: upstreamOf(s, holder), why: `${holder} is the primary` };
  }
  return { kind: "follow", upstream: null, why: `${holder} is not primary yet` };
}

/** The holder, still a standby, has at least as much on the same timeline: everything here will be in its history. */
function isBehind({ view, position }: Situation, holder: string): boolean {
  const status = view.others.get(holder)?.status;
  if (!status?.receive_lsn || status.timeline !== position?.timeline) return false;
  const vote = status.vote;
  const text = vote && vote.timeline === status.timeline ? vote.lsn : status.receive_lsn;
  const lsn = lsnOf(text);
  return position !== null && lsn !== null && position.lsn <= lsn;
}

/** The member that this one is told to follow, while it streams and the tags make no circle; else the primary. */
export function upstreamOf(s: Situation, holder: string): string {
  const chosen = toldToFollow(s.view, s.view.self);
  if (chosen === null) return holder;
  const visited = new Set([s.view.self]);
  for (let at: string | null = chosen; at !== null; at = toldToFollow(s.view, at)) {
    if (at === holder) break;
    if (visited.has(at)) return holder;
    visited.add(at);
  }
  const status = livingOthers(s).find((other) => other.status.instance_id === chosen)?.status;
  return status?.streaming && status.seen?.epoch === rowOf(s)?.epoch ? chosen : holder;
}

/** By its tag, which names an instance or its host. */
function toldToFollow({ members }: GroupView, id: string): string | null {
  const wanted = members.find(({ instance_id }) => instance_id === id)?.tags.replicatefrom;
  const named = members.find(
    ({ instance_id, host_id }) => instance_id === wanted || host_id === wanted,
  );
  return named?.instance_id ?? null;
}
