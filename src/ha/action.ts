// What a decision asks of the keeper: a *goal*, the level that its one-instance rules work towards, and at most one
// *action*, which is done once. Both are data. The keeper performs every kind of both (Performer below), so a new one
// does not compile before it can be performed.
import type { Beginning, Ending, LeaseChange, LeaseRow, LeaseVersion, Taking } from "./lease.ts";
import type { SyncSetting } from "./quorum.ts";
import type { FailsafeQuestion, MemberState } from "./state.ts";

/** The level to keep. Reached from anywhere, and harmless when it is reached already. */
export type RunGoal =
  /**
   * Run as primary. Starting is allowed when the data has this timeline already; becoming one from a standby is the
   * action `promote`. Right before every start the fencer has to confirm that it is armed with `epoch` and a deadline that
   * has not passed: one that fired, or that did not answer for a while, would let PostgreSQL run for ever. `gate` closed: users are kept
   * out, members and the keeper are let in. `sync` is to be in synchronous_standby_names, also before the start.
   */
  | {
      readonly kind: "primary";
      readonly epoch: number;
      readonly timeline: number;
      readonly gate: "open" | "closed";
      readonly sync: SyncSetting;
    }
  /** Run as standby that receives from `upstream`; null = from nobody. Never writable, whatever else happens. */
  | { readonly kind: "standby"; readonly upstream: string | null }
  /** Do not run: checkpoint, then a fast stop. */
  | { readonly kind: "stopped"; readonly why: string }
  /** Start nothing and stop nothing. */
  | { readonly kind: "wait"; readonly why: string };

/** What is done once. Each may be cut anywhere and ordered again. */
export type HaAction =
  | { readonly kind: "none" }
  /** Insert the first row of the node: created() of lease.ts. */
  | { readonly kind: "create_lease"; readonly beginning: Beginning }
  /** Take the lease that ended at `row`: acquired() of lease.ts. Refuse failsafe questions until its fate is known. */
  | {
      readonly kind: "acquire";
      readonly row: LeaseRow;
      readonly taking: Taking;
      readonly heldAs?: LeaseVersion;
    }
  /** Go on holding the lease after a restart of the keeper: adopted(). */
  | { readonly kind: "adopt"; readonly row: LeaseRow }
  /** Hand this to the renewer, which writes it with its next renewal, at once. */
  | { readonly kind: "change_lease"; readonly change: LeaseChange }
  /**
   * Give the lease back: released(). Once it is sent, `own` is null: the row goes to the successor at the same time, which
   * need not wait for the store to have it. Then wake the other members.
   */
  | { readonly kind: "release"; readonly ending: Ending }
  /** Ask every member of `members` at once; if all agree, the deadline becomes t_send + ttl - guard. */
  | {
      readonly kind: "ask_failsafe";
      readonly members: readonly string[];
      readonly question: FailsafeQuestion;
    }
  /** initdb. Long. */
  | { readonly kind: "bootstrap" }
  /**
   * Stop PostgreSQL and copy the data of `source`; what was there is moved aside. `intent`: who asked for it; it is
   * running from when the copy is in its place, and over when that streams. Long.
   */
  | { readonly kind: "clone"; readonly source: string; readonly intent: string | null }
  /**
   * Stop PostgreSQL, then pg_rewind against `source`, which is the primary of this epoch. `intent`: who asked for it,
   * and is told what came of it; then a failure leads to nothing else. Long.
   */
  | { readonly kind: "rewind"; readonly source: string; readonly intent: string | null }
  /**
   * Promote to exactly this timeline: history stubs for the numbers in between, then pg_promote(). `sync` and `gate`
   * are in effect before it, and the fencer has confirmed that it is armed. Long.
   */
  | {
      readonly kind: "promote";
      readonly epoch: number;
      readonly timeline: number;
      readonly gate: "open" | "closed";
      readonly sync: SyncSetting;
    }
  /** A checkpoint, in the background. */
  | { readonly kind: "checkpoint" }
  /**
   * Write down and publish the final position for this version of the lease. The keeper does it only when it sees that
   * no WAL receiver is left.
   */
  | { readonly kind: "vote"; readonly version: LeaseVersion }
  /** End every process of PostgreSQL now, and see that none is left. */
  | { readonly kind: "fence" }
  /** Stop and start PostgreSQL in the role that it has. Long. */
  | { readonly kind: "restart"; readonly intent: string }
  /** End the long work that is under way, and wait until it has ended. */
  | { readonly kind: "cancel" }
  /** Say that work on an intent began. */
  | { readonly kind: "start_intent"; readonly id: string }
  | {
      readonly kind: "finish_intent";
      readonly id: string;
      readonly state: "done" | "failed" | "canceled";
      readonly answer: string;
    };

export interface Decision {
  readonly state: MemberState;
  readonly goal: RunGoal;
  readonly action: HaAction;
  /** What was decided and why, in words. */
  readonly sentence: string;
  /** Name of the row of the table that decided. */
  readonly rule: string;
}

/** One function for every kind of action. The keeper has one of these, and so has the simulation. */
export type Performer<Result> = {
  readonly [Kind in HaAction["kind"]]: (
    action: Extract<HaAction, { readonly kind: Kind }>,
  ) => Result;
};

/** One function for every kind of goal. */
export type Enforcer<Result> = {
  readonly [Kind in RunGoal["kind"]]: (goal: Extract<RunGoal, { readonly kind: Kind }>) => Result;
};

/** Hands an action to the function of its kind. */
export function perform<Result>(performer: Performer<Result>, action: HaAction): Result {
  switch (action.kind) {
    case "none":
      return performer.none(action);
    case "create_lease":
      return performer.create_lease(action);
    case "acquire":
      return performer.acquire(action);
    case "adopt":
      return performer.adopt(action);
    case "change_lease":
      return performer.change_lease(action);
    case "release":
      return performer.release(action);
    case "ask_failsafe":
      return performer.ask_failsafe(action);
    case "bootstrap":
      return performer.bootstrap(action);
    case "clone":
      return performer.clone(action);
    case "rewind":
      return performer.rewind(action);
    case "promote":
      return performer.promote(action);
    case "checkpoint":
      return performer.checkpoint(action);
    case "vote":
      return performer.vote(action);
    case "fence":
      return performer.fence(action);
    case "restart":
      return performer.restart(action);
    case "cancel":
      return performer.cancel(action);
    case "start_intent":
      return performer.start_intent(action);
    case "finish_intent":
      return performer.finish_intent(action);
  }
}

/** Hands a goal to the function of its kind. */
export function enforce<Result>(enforcer: Enforcer<Result>, goal: RunGoal): Result {
  switch (goal.kind) {
    case "primary":
      return enforcer.primary(goal);
    case "standby":
      return enforcer.standby(goal);
    case "stopped":
      return enforcer.stopped(goal);
    case "wait":
      return enforcer.wait(goal);
  }
}
