// Rows for the member that holds the lease: becoming primary, being it, closing.
import { intentAnswer, switchoverTarget } from "../intents.ts";
import type { LeaseRow } from "../lease.ts";
import type { Situation } from "../situation.ts";
import { mayOpen, nextSyncStep, possibleRecords, startSetting } from "../sync.ts";
import {
  act,
  always,
  isMine,
  mine,
  type Outcome,
  pendingChange,
  primaryGoal,
  releaseWith,
  rest,
  type Transition,
  wait,
} from "../transition.ts";

/** A promotion without progress for this long will not come to an end. */
const promoteTimeoutMs = 30_000;

export const PROMOTING: readonly Transition[] = [
  {
    name: "lease lost while promoting",
    from: "promoting",
    to: ["standby", "changing"],
    when: (s) => s.local.doing !== null && !isMine(s),
    decide: () => fenceNow("the lease was lost during the promotion"),
    action: "fence",
    goal: "stopped",
    comment: "nobody knows how far the promotion came",
  },
  {
    name: "promotion hangs",
    from: "promoting",
    to: ["changing", "stopped"],
    when: (s) => s.local.doing !== null && s.nowMs - s.local.doing.progressAtMs > promoteTimeoutMs,
    decide: () => fenceNow(`no progress of the promotion for ${promoteTimeoutMs / 1_000} s`),
    action: "fence",
    goal: "stopped",
    timeout: true,
    comment: "H12",
  },
  {
    name: "say that it promotes",
    from: "promoting",
    to: ["promoting"],
    when: (s) => s.local.doing !== null && isIdleIn(s, "acquiring"),
    decide: () =>
      act(
        { kind: "wait", why: "the promotion is under way" },
        { kind: "change_lease", change: { phase: "promoting" } },
        "promoting",
      ),
    action: "change_lease",
    goal: "wait",
  },
  {
    name: "wait for the promotion",
    from: "promoting",
    to: ["gated", "primary"],
    when: (s) => s.local.doing !== null,
    decide: () => wait("the promotion is under way"),
    action: "none",
    goal: "wait",
  },
  {
    name: "renew before promoting",
    from: "promoting",
    to: ["promoting", "standby"],
    when: (s) => s.lease.kind === "lapsed",
    decide: () =>
      rest({ kind: "standby", upstream: null }, "the lease has to be renewed before promoting"),
    action: "none",
    goal: "standby",
    comment: "the answer to the acquisition came late; the renewer goes on",
  },
  {
    name: "keep a promise",
    from: "promoting",
    to: ["promoting"],
    when: (s) => (s.view.promise?.untilMs ?? 0) > s.nowMs,
    decide: (s) =>
      rest(
        { kind: "standby", upstream: null },
        `waiting: ${s.view.promise?.holder} was promised that nobody becomes primary`,
      ),
    action: "none",
    goal: "standby",
    comment: "a request to acquire can arrive late, after its sender made a promise",
  },
  {
    name: "cannot be promoted",
    from: "promoting",
    to: ["standby"],
    when: (s) => hasFailed(s) || (s.standby?.timeline ?? 0) >= (mine(s)?.row.timeline ?? 0),
    decide: (s) => releaseWith(s, "cannot_promote", null, "giving the lease back: no promotion"),
    action: "release",
    goal: "wait",
    timeout: true,
  },
  {
    name: "promote",
    from: "promoting",
    to: ["gated", "primary"],
    when: always,
    decide: promotion,
    action: "promote",
    goal: "standby",
  },
];

export const GATED: readonly Transition[] = [
  {
    name: "wrong timeline",
    from: "gated",
    to: ["stopped"],
    when: (s) => s.primary?.timeline !== mine(s)?.row.timeline,
    decide: (s) =>
      fenceNow(`PostgreSQL is on timeline ${s.primary?.timeline}, which is not this epoch's`),
    action: "fence",
    goal: "stopped",
    comment: "only a promotion by hand does this; the number may be another member's",
  },
  {
    name: "close before it was open",
    from: "gated",
    to: ["draining"],
    when: (s) => s.local.leavingSinceMs !== null && isIdle(s),
    decide: (s) => drain(s, "closing: the host or the service manager ends PostgreSQL"),
    action: "change_lease",
    goal: "any",
    timeout: true,
  },
  {
    name: "open",
    from: "gated",
    to: ["primary"],
    when: (s) => changeOf(s) !== null,
    decide: (s) => changeLease(s),
    action: "change_lease",
    goal: "primary",
    comment: "as soon as what users will see is safe; at once where nothing is promised",
  },
  {
    name: "first checkpoint behind the gate",
    from: "gated",
    to: ["gated", "primary"],
    when: (s) => s.primary?.checkpointDone === false,
    decide: (s) => checkpoint(s),
    action: "checkpoint",
    goal: "primary",
  },
  {
    name: "wait behind the gate",
    from: "gated",
    to: ["primary", "isolated"],
    when: always,
    decide: (s) => running(s),
    action: "none",
    goal: "primary",
    timeout: true,
    comment: "ends with the record: standbys catch up, or the node goes on without them",
  },
];

export const PRIMARY: readonly Transition[] = [
  {
    name: "another timeline",
    from: "primary",
    to: ["stopped"],
    when: (s) => s.primary?.timeline !== mine(s)?.row.timeline,
    decide: (s) =>
      fenceNow(`PostgreSQL is on timeline ${s.primary?.timeline}, which is not this epoch's`),
    action: "fence",
    goal: "stopped",
  },
  {
    name: "answer an intent",
    from: "primary",
    to: ["primary"],
    when: (s) => intentAnswer(s) !== null,
    decide: (s) => {
      const answer = intentAnswer(s);
      return answer
        ? act(goalOf(s), { kind: "finish_intent", ...answer }, answer.answer)
        : running(s);
    },
    action: "finish_intent",
    goal: "primary",
  },
  {
    name: "close to leave",
    from: "primary",
    to: ["draining"],
    when: (s) => s.local.leavingSinceMs !== null && isIdle(s),
    decide: (s) => drain(s, "closing: the host or the service manager ends PostgreSQL"),
    action: "change_lease",
    goal: "any",
  },
  {
    name: "close to switch over",
    from: "primary",
    to: ["draining"],
    when: (s) => switchoverTarget(s) !== null && isIdle(s),
    decide: (s) => drain(s, `closing: ${switchoverTarget(s)?.to} takes over`),
    action: "change_lease",
    goal: "any",
  },
  {
    name: "restart as asked",
    from: "primary",
    to: ["changing"],
    when: (s) => restartIntent(s) !== undefined,
    decide: (s) =>
      act(
        goalOf(s),
        { kind: "restart", intent: restartIntent(s)?.id ?? "" },
        "restarting as asked",
      ),
    action: "restart",
    goal: "primary",
  },
  {
    name: "record a change",
    from: "primary",
    to: ["primary"],
    when: (s) => changeOf(s) !== null,
    decide: (s) => changeLease(s),
    action: "change_lease",
    goal: "primary",
  },
  {
    name: "first checkpoint",
    from: "primary",
    to: ["primary"],
    when: (s) => s.primary?.checkpointDone === false,
    decide: (s) => checkpoint(s),
    action: "checkpoint",
    goal: "primary",
    comment: "H7: until then nobody may rewind to this primary",
  },
  {
    name: "be primary",
    from: "primary",
    to: ["primary", "gated", "isolated", "unleased"],
    when: always,
    decide: (s) => running(s),
    action: "none",
    goal: "primary",
  },
];

export const DRAINING: readonly Transition[] = [
  {
    name: "note the beginning",
    from: "draining",
    to: ["draining"],
    when: (s) => pendingHandover(s) !== undefined,
    decide: (s) =>
      act(
        stopGoal,
        { kind: "start_intent", id: pendingHandover(s)?.id ?? "" },
        "stopping in order, to give the lease away",
      ),
    action: "start_intent",
    goal: "stopped",
  },
  {
    name: "stop in order",
    from: "draining",
    to: ["changing", "stopped"],
    when: always,
    decide: () => rest(stopGoal, "stopping in order, to give the lease away"),
    action: "none",
    goal: "stopped",
    timeout: true,
    comment: "a stop that takes too long is ended in the state that it leads to",
  },
];

export const ISOLATED: readonly Transition[] = [
  {
    name: "ask the members",
    from: "isolated",
    to: ["isolated", "primary", "gated"],
    when: (s) => s.view.settings.failsafe && isMine(s) && askAgain(s),
    decide: (s) => {
      const held = mine(s);
      if (!held) return running(s);
      const { row, own } = held;
      const all = [...row.members, ...(own.changing?.members ?? [])];
      const members = [...new Set(all)].filter((id) => id !== s.view.self);
      const question = {
        holder: s.view.self,
        incarnation: s.view.incarnation,
        epoch: row.epoch,
        ttl_ms: row.ttl_ms,
      };
      return act(
        primaryGoal(s, own),
        { kind: "ask_failsafe", members, question },
        "the store does not answer: asking every member whether this primary may go on",
      );
    },
    action: "ask_failsafe",
    goal: "primary",
  },
  {
    name: "go on until the deadline",
    from: "isolated",
    to: ["unleased", "stopped", "primary"],
    when: always,
    decide: (s) => {
      const held = mine(s);
      const goal = held ? primaryGoal(s, held.own) : stopGoal;
      return rest(goal, "the store does not answer: going on until the lease ends");
    },
    action: "none",
    goal: "any",
    timeout: true,
    comment: "the fencer has the deadline and needs nobody",
  },
];

const stopGoal = { kind: "stopped", why: "the lease is to be given away" } as const;

function fenceNow(sentence: string): Outcome {
  return act({ kind: "stopped", why: sentence }, { kind: "fence" }, sentence);
}

function isIdle(s: Situation): boolean {
  const held = mine(s);
  return held !== null && held.own.changing === null;
}

function isIdleIn(s: Situation, phase: LeaseRow["phase"]): boolean {
  return isIdle(s) && mine(s)?.row.phase === phase;
}

function hasFailed(s: Situation): boolean {
  const epoch = mine(s)?.row.epoch;
  return s.local.attempts.failedPromotions.some((failed) => failed.epoch === epoch);
}

function promotion(s: Situation): Outcome {
  const held = mine(s);
  if (!held) return wait("the lease is gone");
  const { epoch, timeline, sync } = held.row;
  const gate = sync.mode === "on" ? "closed" : "open";
  const setting = startSetting(possibleRecords(held.own), s.view.settings.synchronous);
  return act(
    { kind: "standby", upstream: null },
    { kind: "promote", epoch, timeline, gate, sync: setting },
    `promoting to timeline ${timeline}: the lease of epoch ${epoch} is held`,
  );
}

function changeOf(s: Situation) {
  const held = mine(s);
  return held && s.primary ? pendingChange(s, held.own, s.primary) : null;
}

function goalOf(s: Situation) {
  const held = mine(s);
  return held ? primaryGoal(s, held.own) : stopGoal;
}

function changeLease(s: Situation): Outcome {
  const change = changeOf(s) ?? {};
  const what = Object.keys(change).join(", ");
  return act(goalOf(s), { kind: "change_lease", change }, `recording ${what} with the lease`);
}

function checkpoint(s: Situation): Outcome {
  return act(goalOf(s), { kind: "checkpoint" }, "making the first checkpoint of this timeline");
}

function running(s: Situation): Outcome {
  const held = mine(s);
  if (!held || !s.primary) return wait("not primary");
  const { epoch, sync } = held.row;
  const open = mayOpen(possibleRecords(held.own), s.primary);
  const step = nextSyncStep(s, sync, s.primary);
  const parts = [`primary of epoch ${epoch}`];
  if (!open) parts.push(`closed until ${sync.voters.join(", ")} have caught up`);
  if (step.waits) parts.push(`waiting for ${step.waits}`);
  return rest(goalOf(s), parts.join("; "));
}

function drain(s: Situation, sentence: string): Outcome {
  return act(goalOf(s), { kind: "change_lease", change: { phase: "draining" } }, sentence);
}

function restartIntent(s: Situation) {
  return s.view.intents.find(
    ({ payload, state }) =>
      payload.kind === "restart" && payload.instance_id === s.view.self && state === "pending",
  );
}

function pendingHandover(s: Situation) {
  return s.view.intents.find(
    ({ payload, state }) =>
      state === "pending" && (payload.kind === "switchover" || payload.kind === "failover"),
  );
}

/** The last question is so old that the answer to the next one would come late for the deadline. */
function askAgain({ view, nowMs }: Situation): boolean {
  const { own, settings } = view;
  if (!own) return false;
  const { guard_ms, loop_ms } = settings;
  return own.deadlineMs - nowMs < own.row.ttl_ms - guard_ms - loop_ms / 2;
}
