// Rows for a member that runs as standby: following, and the race for a lease that ended.

import type { RunGoal } from "../action.ts";
import { judge } from "../election.ts";
import { sameVersion, versionOf } from "../lease.ts";
import { isBound, planRejoin, upstreamOf } from "../rejoin.ts";
import { freeFromMs, type Situation } from "../situation.ts";
import { act, always, rest, steadyGoal, type Transition, wait } from "../transition.ts";
import {
  careAnswer,
  copyAsked,
  reinitializeIntent,
  rewindAsked,
  rewindIntent,
} from "./conditions.ts";

export const STANDBY: readonly Transition[] = [
  {
    name: "leave the standbys",
    from: "standby",
    to: ["stopped"],
    when: (s) => s.local.leavingSinceMs !== null && mayLeave(s),
    decide: () => rest({ kind: "stopped", why: "about to leave" }, "stopping: about to leave"),
    action: "none",
    goal: "stopped",
    timeout: true,
    comment: "H74: commits stop waiting for it first",
  },
  {
    name: "copy as asked",
    from: "standby",
    to: ["cloning"],
    when: (s) => s.hold === null && reinitializeIntent(s) !== null,
    decide: copyAsked,
    action: "clone",
    goal: "wait",
  },
  {
    name: "turn back as asked",
    from: "standby",
    to: ["rewinding"],
    when: (s) => s.hold === null && rewindIntent(s) !== null,
    decide: rewindAsked,
    action: "rewind",
    goal: "wait",
  },
  {
    name: "say what became of its data",
    from: "standby",
    to: ["standby"],
    when: (s) => careAnswer(s) !== null,
    decide: (s) => {
      const answer = careAnswer(s);
      const goal = followGoal(s);
      return answer
        ? act(goal, { kind: "finish_intent", ...answer }, answer.answer)
        : rest(goal, followSentence(s));
    },
    action: "finish_intent",
    goal: "standby",
  },
  {
    name: "restart the standby as asked",
    from: "standby",
    to: ["changing"],
    when: (s) => restartIntent(s) !== undefined,
    decide: (s) =>
      act(followGoal(s), { kind: "restart", intent: restartIntent(s)?.id ?? "" }, "restarting"),
    action: "restart",
    goal: "standby",
  },
  {
    name: "follow",
    from: "standby",
    to: ["standby", "candidate", "diverged"],
    when: always,
    decide: (s) => rest(followGoal(s), followSentence(s)),
    action: "none",
    goal: "standby",
    comment: "H4: decided for every epoch anew, whoever its primary is",
  },
];

export const CANDIDATE: readonly Transition[] = [
  {
    name: "leave the race",
    from: "candidate",
    to: ["stopped"],
    when: (s) => s.local.leavingSinceMs !== null,
    decide: () => rest({ kind: "stopped", why: "about to leave" }, "stopping: about to leave"),
    action: "none",
    goal: "stopped",
  },
  {
    name: "no race during a pause",
    from: "candidate",
    to: ["candidate", "standby"],
    when: (s) => s.hold !== null && verdictOf(s)?.ok !== true,
    decide: (s) => rest(steadyGoal(s), `the lease is free, but ${s.hold}`),
    action: "none",
    goal: "standby",
    timeout: true,
  },
  {
    name: "stop receiving",
    from: "candidate",
    to: ["candidate"],
    when: (s) => mustCut(s) && !isCut(s),
    decide: () => rest(cut, "the lease ended: no longer receiving, so that positions are final"),
    action: "none",
    goal: "standby",
    comment: "also takes an old primary that is alive its acknowledgements",
  },
  {
    name: "write down the final position",
    from: "candidate",
    to: ["candidate"],
    when: (s) => isCut(s) && !hasVoted(s),
    decide: (s) =>
      s.lease.kind === "free"
        ? act(
            cut,
            { kind: "vote", version: versionOf(s.lease.row) },
            "the lease ended: publishing how far the data reaches",
          )
        : wait("the lease is not free"),
    action: "vote",
    goal: "standby",
  },
  {
    name: "take the lease",
    from: "candidate",
    to: ["promoting"],
    when: (s) => verdictOf(s)?.ok === true,
    decide: (s) => {
      const verdict = verdictOf(s);
      if (s.lease.kind !== "free" || !verdict?.ok) return wait("the lease is not free");
      const { row } = s.lease;
      const { taking } = verdict;
      const heldAs = s.view.lease?.heldAs;
      return act(
        raceGoal(s),
        { kind: "acquire", row, taking, ...(heldAs ? { heldAs } : {}) },
        `taking the lease of epoch ${row.epoch + 1}: ${taking.reason}`,
      );
    },
    action: "acquire",
    goal: "standby",
  },
  {
    name: "wait in the race",
    from: "candidate",
    to: ["candidate", "standby", "promoting"],
    when: always,
    decide: (s) => {
      const verdict = verdictOf(s);
      const why = verdict && !verdict.ok ? verdict.why : "not its turn";
      return rest(raceGoal(s), `the lease is free; not taking it: ${why}`);
    },
    action: "none",
    goal: "standby",
    timeout: true,
  },
];

const cut: RunGoal = { kind: "standby", upstream: null };

function mayLeave({ view, local, lease, nowMs }: Situation): boolean {
  const waitedMs = nowMs - (local.leavingSinceMs ?? nowMs);
  const counted = "row" in lease && lease.row.sync.voters.includes(view.self);
  return !counted || waitedMs > 2 * view.settings.loop_ms;
}

function restartIntent(s: Situation) {
  return s.view.intents.find(
    ({ payload, state }) =>
      payload.kind === "restart" && payload.instance_id === s.view.self && state === "pending",
  );
}

function followGoal(s: Situation): RunGoal {
  if (s.lease.kind !== "other") return steadyGoal(s);
  const { row, holder } = s.lease;
  if (isBound(s, row)) return cut;
  if (s.hold)
    return s.standby?.upstream
      ? steadyGoal(s)
      : { kind: "standby", upstream: upstreamOf(s, holder) };
  const plan = planRejoin(s, row, holder);
  return plan.kind === "follow" ? { kind: "standby", upstream: plan.upstream } : steadyGoal(s);
}

function followSentence(s: Situation): string {
  if (s.lease.kind === "none") return `waiting for ${s.view.initialPrimary} to begin the node`;
  if (s.lease.kind !== "other") return "waiting";
  if (isBound(s, s.lease.row)) return "it voted on this lease, and receives again when it changes";
  const plan = planRejoin(s, s.lease.row, s.lease.holder);
  const streaming = s.standby?.streaming ? "streaming" : "connecting";
  return `standby of epoch ${s.lease.row.epoch}, ${streaming}: ${plan.why}`;
}

/** Released leases need no cut: every process of the old primary is gone. Votes do. */
function mustCut({ lease }: Situation): boolean {
  return lease.kind === "free" && (!lease.released || lease.row.sync.quorum > 1);
}

function isCut({ standby }: Situation): boolean {
  return standby !== null && standby.upstream === null && !standby.streaming;
}

function hasVoted({ lease, local }: Situation): boolean {
  return lease.kind === "free" && local.vote !== null && sameVersion(local.vote, lease.row);
}

function raceGoal(s: Situation): RunGoal {
  return mustCut(s) ? cut : steadyGoal(s);
}

function verdictOf(s: Situation) {
  return s.lease.kind === "free" ? judge(s, s.lease.row, freeFromMs(s.view, s.lease.row)) : null;
}
