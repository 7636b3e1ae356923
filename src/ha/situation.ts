// What a view means: how the lease stands towards this member, and which state the member is in. Nothing is
// remembered here; a keeper that starts again comes to the same answer.
import { contestableAtMs, type LeaseRow } from "./lease.ts";
import type { LocalView, PrimaryView, StandbyView } from "./observed.ts";
import { belongsTo, ownPosition, type Position } from "./position.ts";
import {
  type GroupView,
  type HaIntent,
  isDue,
  type MemberSight,
  type MemberState,
  type OwnLease,
} from "./state.ts";

/** How the lease stands towards this member. */
export type LeaseStanding =
  /** Never read since the keeper started, or only as it was once: the store went back. */
  | { readonly kind: "unread" }
  /** The node has no row yet. */
  | { readonly kind: "none" }
  /** Held, and the deadline has not passed. */
  | { readonly kind: "mine"; readonly row: LeaseRow; readonly own: OwnLease }
  /** Held as far as this keeper knows, but the deadline has passed. */
  | { readonly kind: "lapsed"; readonly row: LeaseRow }
  /** Held by an earlier keeper of this instance. */
  | { readonly kind: "earlier"; readonly row: LeaseRow }
  /** Held by another keeper of this instance that came after this one. */
  | { readonly kind: "usurped"; readonly row: LeaseRow }
  | { readonly kind: "other"; readonly row: LeaseRow; readonly holder: string }
  /** Nobody holds it: released, or seen unchanged for longer than its promise. */
  | { readonly kind: "free"; readonly row: LeaseRow; readonly released: boolean };

/** A view with what follows from it; what every guard of the table gets. */
export interface Situation {
  readonly view: GroupView;
  readonly local: LocalView;
  readonly nowMs: number;
  readonly lease: LeaseStanding;
  readonly position: Position | null;
  readonly standby: StandbyView | null;
  readonly primary: PrimaryView | null;
  /** A pause is in force, or the store went back in time: nothing happens by itself. */
  readonly hold: string | null;
}

export function situationOf(view: GroupView, local: LocalView, nowMs: number): Situation {
  const { postgres } = local;
  return {
    view,
    local,
    nowMs,
    lease: standingOf(view, local, nowMs),
    position: ownPosition(local),
    standby: postgres.kind === "standby" ? postgres : null,
    primary: postgres.kind === "primary" ? postgres : null,
    hold: holdOf(view),
  };
}

function standingOf(view: GroupView, local: LocalView, nowMs: number): LeaseStanding {
  const { own, lease, self, incarnation } = view;
  if (own) {
    const kind = nowMs < own.deadlineMs ? "mine" : "lapsed";
    return kind === "mine" ? { kind, row: own.row, own } : { kind, row: own.row };
  }
  // What an older store says of the lease is no reason to take, make or adopt one.
  if (!lease || lease.wentBack) return { kind: "unread" };
  const { row } = lease;
  if (!row) return { kind: "none" };
  if (row.holder === null) return { kind: "free", row, released: true };
  if (row.holder === self) {
    const taken = row.incarnation !== incarnation && local.heldEpoch === row.epoch;
    return { kind: taken ? "usurped" : "earlier", row };
  }
  if (nowMs >= freeFromMs(view, row)) return { kind: "free", row, released: false };
  return { kind: "other", row, holder: row.holder };
}

/**
 * From when on nobody holds the lease. A holder that this member promised to keep away from goes on without the store:
 * it is still the primary, and a standby that stopped receiving would stop its synchronous commits.
 */
export function freeFromMs({ lease, promise }: GroupView, row: LeaseRow): number {
  const seenAtMs = lease?.seenAtMs ?? 0;
  if (row.holder === null) return seenAtMs;
  const promised = promise?.holder === row.holder && promise.epoch === row.epoch;
  return Math.max(contestableAtMs(seenAtMs, row.ttl_ms), promised ? promise.untilMs : 0);
}

function holdOf(view: GroupView): string | null {
  if (view.lease?.wentBack) return "the store shows an older lease than was seen before";
  return dueIntent(view, "pause") ? "automation is paused" : null;
}

/** The oldest intent of a kind that is in force. */
export function dueIntent<Kind extends HaIntent["payload"]["kind"]>(
  { intents, wallMs }: Pick<GroupView, "intents" | "wallMs">,
  kind: Kind,
): (HaIntent & { readonly payload: { readonly kind: Kind } }) | undefined {
  return intents.find(
    (intent): intent is HaIntent & { readonly payload: { readonly kind: Kind } } =>
      intent.payload.kind === kind && isDue(intent, wallMs),
  );
}

/** The row that the lease stands for, where there is one. */
export function rowOf({ lease }: Situation): LeaseRow | null {
  return "row" in lease ? lease.row : null;
}

/** The state of a member; the first that holds. */
export function stateOf(s: Situation): MemberState {
  const { local, lease } = s;
  if (refusal(s) !== null) return "refused";
  const { kind } = local.postgres;
  if (kind === "primary" && !isLeased(s)) return "unleased";
  if (local.doing) return stateWhileDoing(s);
  if (lease.kind === "unread" || lease.kind === "earlier" || kind === "unknown") return "unknown";
  if (kind === "starting" || kind === "stopping" || kind === "hung") return "changing";
  if (kind === "primary") return stateOfPrimary(s);
  if (kind === "standby") return stateOfStandby(s);
  if (local.data.kind === "absent") return "empty";
  if (local.data.kind !== "ready" || hasLeftTheLine(s)) return "diverged";
  return "stopped";
}

/** Whether PostgreSQL may run as primary. Before the first lease, and before one was read, nobody else can. */
export function isLeased({ lease, view }: Situation): boolean {
  switch (lease.kind) {
    case "mine":
    case "unread":
    case "earlier":
      return true;
    case "none":
      return view.initialPrimary === view.self;
    default:
      return false;
  }
}

function stateWhileDoing({ local }: Situation): MemberState {
  switch (local.doing?.kind) {
    case "bootstrap":
      return "bootstrapping";
    case "clone":
      return "cloning";
    case "rewind":
      return "rewinding";
    case "promote":
      return "promoting";
    default:
      return "changing";
  }
}

function stateOfPrimary(s: Situation): MemberState {
  const { lease, primary } = s;
  if (lease.kind !== "mine") return "unknown";
  if (isIsolated(s, lease.own)) return "isolated";
  if (lease.row.phase === "draining") return "draining";
  return lease.row.phase === "open" && primary?.gate === "open" ? "primary" : "gated";
}

function stateOfStandby(s: Situation): MemberState {
  switch (s.lease.kind) {
    case "mine":
    case "lapsed":
      return "promoting";
    case "free":
      return "candidate";
    default:
      return hasLeftTheLine(s) || s.standby?.stranded ? "diverged" : "standby";
  }
}

/** A renewal is overdue so long that the store has to be counted out. */
export function isIsolated({ view, nowMs }: Situation, own: OwnLease): boolean {
  const { loop_ms, retry_ms } = view.settings;
  return nowMs - own.renewedAtMs > loop_ms + retry_ms / 2;
}

/** Whether the data has something that is not in the history of the one who is primary now. */
export function hasLeftTheLine({ view, lease, position }: Situation): boolean {
  if (lease.kind !== "other" || position === null) return false;
  return belongsTo(position, lease.row.timeline, view.history) === "diverged";
}

/** Why nothing must be done to this instance before a person looked; null = nothing is wrong. */
export function refusal(s: Situation): string | null {
  const { data } = s.local;
  if (s.lease.kind === "usurped") return "another keeper of this instance holds the lease";
  if (data.kind === "refused") return data.reason;
  const known = rowOf(s)?.system_identifier;
  if (data.kind === "ready" && known && data.systemIdentifier !== known) {
    return `the data belongs to system ${data.systemIdentifier}, the node's is ${known}`;
  }
  return null;
}

/** Members that said something lately: they can be counted on to act. */
export function livingOthers({
  view,
  nowMs,
}: Pick<Situation, "view" | "nowMs">): readonly MemberSight[] {
  const freshMs = Math.max(3 * view.settings.loop_ms, 6_000);
  return [...view.others.values()].filter(({ heardAtMs }) => nowMs - heardAtMs <= freshMs);
}
