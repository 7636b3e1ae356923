// Who may take a lease that ended, and who first. Every rule gives its reason, because the answer "nobody" has to be
// explained to the user.
import { type LeaseRow, promisedUntilMs, sameVersion, type Taking } from "./lease.ts";
import {
  comparePositions,
  describePosition,
  lsnOf,
  mayContinue,
  type Position,
  positionOf,
} from "./position.ts";
import { isElectable, isElected, type SyncRecord, without } from "./quorum.ts";
import type { HaMember } from "./settings.ts";
import { dueIntent, livingOthers, rowOf, type Situation } from "./situation.ts";
import type { GroupView, MemberStatus } from "./state.ts";

/** The next in rank tries this much later. */
export const rankStepMs = 600;
/** How long the others leave the lease to a successor that was named. */
export const successorGraceMs = 5_000;
/** After this many failed promotions within ten minutes a member is not promoted by itself. */
export const failedPromotionsMax = 2;

/** A lease that nobody took for this long may be taken by a member whose promotions failed. */
const desperateAfterMs = 60_000;

export type Verdict =
  | { readonly ok: true; readonly taking: Taking }
  /** `untilMs`: time alone ends this reason, at the latest then. */
  | { readonly ok: false; readonly why: string; readonly untilMs?: number };

const no = (why: string, untilMs?: number): Verdict => ({
  ok: false,
  why,
  ...(untilMs === undefined ? {} : { untilMs }),
});

/** Whether this member may take the lease that ended at `row` now. `freeSinceMs`: since when it may be taken at all. */
export function judge(s: Situation, row: LeaseRow, freeSinceMs: number): Verdict {
  const { position, view } = s;
  if (!row.members.includes(view.self)) return no("the lease does not name this member");
  const barred = promiseBar(s, row);
  if (barred) return barred;
  if (position === null) return no("how far the data reaches is not known yet");
  if (!mayContinue(position, view.history)) {
    return no(`${describePosition(position)} is not part of the newest history`);
  }
  const taking = takingOf(s, row, position);
  if (isForced(s)) return { ok: true, taking: forced(taking) };
  if (s.hold && !isAppointed(row, view.self)) return no(s.hold);
  const unfit = unfitness(s);
  const desperateMs = freeSinceMs + desperateAfterMs;
  if (unfit && (s.nowMs < desperateMs || !isQuarantined(s))) {
    return no(unfit, isQuarantined(s) ? desperateMs : undefined);
  }
  return (
    outOfTurn(s, row, freeSinceMs) ?? missing(s, row, position, freeSinceMs) ?? { ok: true, taking }
  );
}

/** A promise, or one that may have been lost in a reboot. */
function promiseBar({ view, nowMs }: Situation, row: LeaseRow): Verdict | null {
  const { promise, settings } = view;
  if (promise && nowMs < promise.untilMs) {
    return no(`promised ${promise.holder} to keep away from the lease`, promise.untilMs);
  }
  const forgottenUntilMs = promisedUntilMs(0, row.ttl_ms);
  if (settings.failsafe && nowMs < forgottenUntilMs) {
    return no("the host has just started, and a promise may be forgotten", forgottenUntilMs);
  }
  return null;
}

/** A user asked for a failover to this member and agreed to the loss. */
function isForced({ view }: Situation): boolean {
  return dueIntent(view, "failover")?.payload.to === view.self;
}

/** The lease was given away to this member because a user asked. */
function isAppointed({ ending }: LeaseRow, self: string): boolean {
  return ending?.kind === "manual" && ending.successor === self;
}

function forced(taking: Taking): Taking {
  const sync = { ...taking.sync, version: taking.sync.version + 1, voters: [], quorum: 1 };
  return {
    ...taking,
    sync,
    reason: "failover asked for by a user",
    lost: "whatever the new primary had not received",
  };
}

function takingOf(s: Situation, row: LeaseRow, position: Position): Taking {
  const resumes = resumesAsPrimary(s, row, position);
  return {
    timeline: position.timeline,
    resumes,
    sync: withoutSelf(row.sync, s.view.self),
    reason: reasonOf(row, resumes),
    lost: null,
  };
}

function reasonOf({ ending, holder }: LeaseRow, resumes: boolean): string {
  if (resumes) return "the last primary goes on";
  switch (ending?.kind) {
    case "clean":
      return `${ending.holder} stopped in order`;
    case "manual":
      return `switchover from ${ending.holder}`;
    case "crash":
      return `PostgreSQL of ${ending.holder} ended by itself`;
    case "cannot_promote":
      return `${ending.holder} could not be promoted`;
    default:
      return `${holder} did not renew its lease`;
  }
}

/** The last primary, with the data of its epoch: goes on without a new timeline. */
export function resumesAsPrimary({ view, local }: Situation, row: LeaseRow, at: Position): boolean {
  const wasPrimary = local.data.kind === "ready" && local.data.role === "primary";
  return wasPrimary && lastHolder(view, row) === view.self && at.timeline === row.timeline;
}

/** The record after `self` became the holder: it votes no longer. Whatever was safe stays so. */
export function withoutSelf(sync: SyncRecord, self: string): SyncRecord {
  if (!sync.voters.includes(self)) return sync;
  return { ...sync, version: sync.version + 1, voters: without(sync.voters, [self]) };
}

/** Who held the newest epoch. */
export function lastHolder({ history }: GroupView, row: LeaseRow): string | null {
  const held = history.find(({ epoch }) => epoch === row.epoch);
  return row.holder ?? row.ending?.holder ?? held?.instance_id ?? null;
}

/** Why this member should not be promoted now whatever it has; null = it can. Published in its status. */
export function unfitness(s: Situation): string | null {
  const { view, local, standby } = s;
  const tags = memberOf(view, view.self)?.tags ?? {};
  if (tags.nofailover === true || tags.failover_priority === 0) return "tagged nofailover";
  if (local.leavingSinceMs !== null) return "it is about to stop";
  if (local.disk === "full" || local.disk === "stalled") return `its disk is ${local.disk}`;
  if (standby?.replayPaused) return "its replay is paused";
  return isQuarantined(s) ? `${failedPromotionsMax} of its promotions failed lately` : null;
}

/** H11: it is not promoted again for a while. */
function isQuarantined({ local, nowMs }: Situation): boolean {
  const recent = local.attempts.failedPromotions.filter(({ atMs }) => nowMs - atMs < 600_000);
  return recent.length >= failedPromotionsMax;
}

/** Somebody else is meant to go first. */
function outOfTurn(s: Situation, row: LeaseRow, freeSinceMs: number): Verdict | null {
  const { view, nowMs } = s;
  const { ending } = row;
  const graceMs = freeSinceMs + successorGraceMs;
  const successor = ending?.successor;
  if (successor && successor !== view.self && nowMs < graceMs) {
    return no(`${successor} is meant to take over`, graceMs);
  }
  const gaveUp = ending?.holder === view.self && ending.kind !== "crash" && ending.kind !== "clean";
  const backoffMs = freeSinceMs + row.ttl_ms;
  if (gaveUp && nowMs < backoffMs) return no("it has just given the lease away", backoffMs);
  // Before its deadline every primary says so, also one that is lost in the next moment.
  const holderEndedMs = freeSinceMs - view.settings.guard_ms;
  const alive = livingOthers(s).find(
    ({ status, heardAtMs }) => heardAtMs > holderEndedMs && isStillPrimary(status, row),
  );
  const patienceMs = freeSinceMs + row.ttl_ms;
  if (!ending && alive && nowMs < patienceMs) {
    return no(`${alive.status.instance_id} says that it is still primary`, patienceMs);
  }
  return null;
}

function isStillPrimary({ role, seen }: MemberStatus, { epoch }: LeaseRow): boolean {
  return role === "primary" && (seen?.epoch ?? 0) <= epoch;
}

/** Commits that this member would lose, or somebody who would lose fewer. */
function missing(
  s: Situation,
  row: LeaseRow,
  position: Position,
  freeSinceMs: number,
): Verdict | null {
  const { view, nowMs } = s;
  const end = row.ending ? lsnOf(row.ending.lsn) : null;
  const hasAll = end !== null && position.lsn >= end && position.timeline === row.ending?.timeline;
  if (row.sync.mode === "on" && !hasAll && !isIntactLastHolder(s, row, position)) {
    const unsafe = lackOfVotes(s, row, position);
    if (unsafe) return no(unsafe);
  }
  if (row.sync.mode === "off") {
    const lag = lagOf(row, position);
    if (lag > BigInt(view.settings.maximum_lag_bytes)) {
      return no(`it is ${lag} bytes behind, more than may be lost`);
    }
  }
  if (end !== null && !hasAll && nowMs < freeSinceMs + successorGraceMs) {
    return no("it lacks the end of the last primary's log", freeSinceMs + successorGraceMs);
  }
  const rank = ranking(s, row, position).indexOf(view.self);
  const turnMs = freeSinceMs + rank * rankStepMs;
  return nowMs < turnMs ? no(`it is number ${rank + 1} in rank`, turnMs) : null;
}

/** Everything acknowledged in the last epoch is here, unless this disk forgot what the lease knows it had. */
function isIntactLastHolder(s: Situation, row: LeaseRow, position: Position): boolean {
  if (lastHolder(s.view, row) !== s.view.self) return false;
  return !resumesAsPrimary(s, row, position) || lagOf(row, position) === 0n;
}

function lagOf(row: LeaseRow, { lsn }: Position): bigint {
  const known = lsnOf(row.optime) ?? 0n;
  return known > lsn ? known - lsn : 0n;
}

/** Why acknowledged commits could be lost if this member were promoted; null = they cannot. */
function lackOfVotes(s: Situation, row: LeaseRow, position: Position): string | null {
  const { voters, quorum } = row.sync;
  const { self } = s.view;
  if (!isElectable(row.sync)) return `only ${lastHolder(s.view, row)} is known to have all commits`;
  if (quorum === 1 && voters.includes(self)) return null;
  if (quorum === 1 && voters.length === 1) return `only ${voters[0]} is known to have all commits`;
  const notAhead = voters.filter((voter) => {
    const vote = s.view.others.get(voter)?.status.vote;
    const lsn = vote && sameVersion(vote, row) ? lsnOf(vote.lsn) : null;
    if (!vote || lsn === null) return false;
    return comparePositions({ timeline: vote.timeline, lsn }, position) <= 0;
  });
  if (isElected(row.sync, self, notAhead)) return null;
  return `${quorum} of ${voters.join(", ")} have to be known to have no more than it`;
}

/** Members in the order in which they should try: best first. Only those that were heard of lately. */
export function ranking(s: Situation, row: LeaseRow, own: Position): readonly string[] {
  const rivals = livingOthers(s).flatMap(({ status }) => {
    const at = finalPosition(status, row);
    const counts = at !== null && status.unfit === null && status.role === "standby";
    return counts && row.members.includes(status.instance_id)
      ? [{ id: status.instance_id, at }]
      : [];
  });
  const all = [...rivals, { id: s.view.self, at: own }];
  const order = s.view.members.map(({ instance_id }) => instance_id);
  return all
    .sort(
      (a, b) =>
        votes(row, b.id) - votes(row, a.id) ||
        comparePositions(b.at, a.at) ||
        priorityOf(s.view, b.id) - priorityOf(s.view, a.id) ||
        order.indexOf(a.id) - order.indexOf(b.id),
    )
    .map(({ id }) => id);
}

function finalPosition(status: MemberStatus, row: LeaseRow): Position | null {
  const { vote } = status;
  const lsn = vote && sameVersion(vote, row) ? lsnOf(vote.lsn) : null;
  return vote && lsn !== null ? { timeline: vote.timeline, lsn } : positionOf(status);
}

function votes({ sync }: LeaseRow, id: string): number {
  return sync.mode === "on" && sync.voters.includes(id) ? 1 : 0;
}

export function priorityOf(view: GroupView, id: string): number {
  const priority = memberOf(view, id)?.tags.failover_priority;
  return typeof priority === "number" ? priority : 1;
}

export function memberOf(view: GroupView, id: string): HaMember | undefined {
  return view.members.find(({ instance_id }) => instance_id === id);
}

/** The member that would take over best if this primary gave the lease away; null = nobody could. */
export function successorOf(s: Situation, { anyLag = false } = {}): string | null {
  const row = rowOf(s);
  if (!row) return null;
  const able = livingOthers(s).filter(({ status }) => {
    const at = positionOf(status);
    if (!at || status.unfit !== null || status.role !== "standby") return false;
    if (!row.members.includes(status.instance_id) || !mayContinue(at, s.view.history)) return false;
    if (memberOf(s.view, status.instance_id)?.tags.nofailover === true) return false;
    return anyLag || lagOf(row, at) <= BigInt(s.view.settings.maximum_lag_bytes);
  });
  const names = able.map(({ status }) => status.instance_id);
  const own = s.position ?? { timeline: 0, lsn: 0n };
  return ranking(s, row, own).find((id) => names.includes(id)) ?? null;
}

/** Whether somebody could take over from a primary that ends without order. */
export function crashSuccessorOf(s: Situation): string | null {
  const row = rowOf(s);
  const best = successorOf(s);
  if (!row || !best || row.sync.mode === "off") return best;
  const { voters, quorum } = row.sync;
  const living = livingOthers(s).map(({ status }) => status.instance_id);
  const able = voters.filter((voter) => living.includes(voter));
  return isElectable(row.sync) && able.length >= quorum && voters.includes(best) ? best : null;
}
