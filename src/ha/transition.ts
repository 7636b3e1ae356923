// One row of the table, and what rows are put together from.
import { formatLsn } from "../postgres/lsn.ts";
import type { Decision, HaAction, RunGoal } from "./action.ts";
import type { Ending, LeaseChange, LeaseRow } from "./lease.ts";
import type { PrimaryView } from "./observed.ts";
import { isIsolated, type Situation } from "./situation.ts";
import type { MemberState, OwnLease } from "./state.ts";
import { mayOpen, nextSyncStep, possibleRecords, startSetting } from "./sync.ts";

/** What a row does: the parts of a decision that it makes. */
export type Outcome = Pick<Decision, "goal" | "action" | "sentence">;

/** From one state towards others, under a condition. */
export interface Transition {
  /** Unique; in logs and in the diagram. */
  readonly name: string;
  readonly from: MemberState;
  /** Where it leads when it succeeds; the state itself where it rests. */
  readonly to: readonly MemberState[];
  readonly when: (s: Situation) => boolean;
  readonly decide: (s: Situation) => Outcome;
  /** The kind of its action and of its goal; held against what `decide` returns. */
  readonly action: HaAction["kind"];
  readonly goal: RunGoal["kind"] | "any";
  /** Fires by time alone, when what is waited for does not come. */
  readonly timeout?: true;
  /** Why, where the name does not say it. */
  readonly comment?: string;
}

const none: HaAction = { kind: "none" };

export function rest(goal: RunGoal, sentence: string): Outcome {
  return { goal, action: none, sentence };
}

export function act(goal: RunGoal, action: HaAction, sentence: string): Outcome {
  return { goal, action, sentence };
}

export function wait(why: string): Outcome {
  return rest({ kind: "wait", why }, why);
}

export const always = (): boolean => true;

/** The lease, where it is held. */
export function mine({ lease }: Situation): { row: LeaseRow; own: OwnLease } | null {
  return lease.kind === "mine" ? lease : null;
}

export function isMine(s: Situation): boolean {
  return s.lease.kind === "mine";
}

/** Run as the primary of the lease that is held: as open and as synchronous as it may be at this moment. */
export function primaryGoal(s: Situation, own: OwnLease): RunGoal {
  const { primary } = s;
  const { epoch, timeline, sync } = own.row;
  const records = possibleRecords(own);
  const common = { kind: "primary", epoch, timeline } as const;
  if (!primary) {
    const gate = records.some(({ mode }) => mode === "on") ? "closed" : "open";
    return { ...common, gate, sync: startSetting(records, s.view.settings.synchronous) };
  }
  const steady = own.changing !== null || isIsolated(s, own);
  const setting = steady ? primary.sync.setting : nextSyncStep(s, sync, primary).setting;
  return { ...common, gate: mayOpen(records, primary) ? "open" : "closed", sync: setting };
}

/** Stay as it is while it is not known whether anything should change. */
export function steadyGoal(s: Situation): RunGoal {
  if (s.standby) return { kind: "standby", upstream: s.standby.upstream };
  return { kind: "wait", why: "nothing should change" };
}

/** What the next renewal should carry; null = nothing, or a change is under way. */
export function pendingChange(
  s: Situation,
  own: OwnLease,
  primary: PrimaryView,
): LeaseChange | null {
  if (own.changing !== null) return null;
  const { row } = own;
  const step = nextSyncStep(s, row.sync, primary);
  const members = s.view.members.map(({ instance_id }) => instance_id).sort();
  const { data } = s.local;
  const opened = mayOpen([row.sync], primary);
  const phase = opened ? "open" : row.phase === "open" ? "open" : "gated";
  const change: LeaseChange = {
    ...(step.record ? { sync: step.record } : {}),
    ...(row.members.join() === members.join() ? {} : { members }),
    ...(primary.checkpointDone && !row.checkpoint_done ? { checkpoint_done: true } : {}),
    ...(row.system_identifier === null && data.kind === "ready"
      ? { system_identifier: data.systemIdentifier }
      : {}),
    ...(row.phase === phase ? {} : { phase }),
    ...(lacksForks(s, primary) ? { forks: primary.forks } : {}),
  };
  return Object.keys(change).length > 0 ? change : null;
}

/** The history does not say yet where this timeline, or one before it, began. */
function lacksForks({ view }: Situation, { forks }: PrimaryView): boolean {
  return forks.some(({ timeline }) =>
    view.history.some((row) => row.timeline === timeline && row.from_timeline === null),
  );
}

/** How this holder gives the lease back. */
export function endingOf(s: Situation, kind: Ending["kind"], successor: string | null): Ending {
  const { data } = s.local;
  const known = (kind === "clean" || kind === "manual") && data.kind === "ready" && data.clean;
  const lsn = known && data.end !== null ? formatLsn(data.end) : null;
  const timeline = s.position?.timeline ?? mine(s)?.row.timeline ?? 0;
  return { kind, holder: s.view.self, lsn, timeline, successor };
}

export function releaseWith(
  s: Situation,
  kind: Ending["kind"],
  successor: string | null,
  sentence: string,
): Outcome {
  const goal: RunGoal = { kind: "wait", why: "the lease is being given back" };
  return act(goal, { kind: "release", ending: endingOf(s, kind, successor) }, sentence);
}
