// Rows for a member with good data whose PostgreSQL does not run: give the lease away, go on with it, or follow.
import { crashSuccessorOf, judge, resumesAsPrimary } from "../election.ts";
import { failoverTarget } from "../intents.ts";
import { freeFromMs, type Situation } from "../situation.ts";
import {
  act,
  isMine,
  mine,
  type Outcome,
  primaryGoal,
  releaseWith,
  rest,
  steadyGoal,
  type Transition,
  wait,
} from "../transition.ts";
import {
  crashOf,
  createLease,
  hasFailed,
  isEmpty,
  isGone,
  isLeaving,
  mayCreate,
  mayHandOver,
  rejoinOf,
  rejoinRow,
  waitRow,
} from "./conditions.ts";

/** Crashes within ten minutes after which a primary is not started here again while another could take over. */
export const crashesMax = 2;

export const STOPPED: readonly Transition[] = [
  {
    name: "give away after the stop",
    from: "stopped",
    to: ["candidate", "stopped"],
    when: (s) => isMine(s) && isDraining(s) && hasStoppedInOrder(s),
    decide: giveAway,
    action: "release",
    goal: "wait",
    comment: "a fast stop ends only after every attached standby has the last record",
  },
  {
    name: "give away after a crash while closing",
    from: "stopped",
    to: ["candidate", "stopped"],
    when: (s) => isMine(s) && isDraining(s) && isGone(s) && mayHandOver(s),
    decide: (s) => giveUp(s, "it ended without order while it closed"),
    action: "release",
    goal: "wait",
  },
  {
    name: "give away as asked",
    from: "stopped",
    to: ["candidate", "stopped"],
    when: (s) => isMine(s) && isGone(s) && failoverTarget(s) !== null,
    decide: (s) => {
      const sentence = "giving the lease back: a failover was asked for";
      return releaseWith(s, "manual", failoverTarget(s), sentence);
    },
    action: "release",
    goal: "wait",
    comment: "also during a pause, in which it is not started",
  },
  {
    name: "go on instead of closing",
    from: "stopped",
    to: ["stopped"],
    when: (s) => isDraining(s) && mine(s)?.own.changing === null && !isLeaving(s),
    decide: (s) => {
      const held = mine(s);
      const goal = held ? primaryGoal(s, held.own) : steadyGoal(s);
      const change = { phase: "promoting" } as const;
      return act(goal, { kind: "change_lease", change }, "nobody can take over: starting again");
    },
    action: "change_lease",
    goal: "any",
    timeout: true,
  },
  {
    name: "no place for a primary",
    from: "stopped",
    to: ["stopped"],
    when: (s) => isMine(s) && (hasFailed(s) || isOnWrongTimeline(s)),
    decide: (s) =>
      releaseWith(s, "cannot_promote", null, "giving the lease back: it cannot be primary here"),
    action: "release",
    goal: "wait",
  },
  {
    name: "leave without a lease",
    from: "stopped",
    to: ["stopped"],
    when: (s) => isLeaving(s) && isMine(s) && isGone(s),
    decide: (s) => {
      const kind = hasStoppedInOrder(s) ? "clean" : "crash";
      return releaseWith(s, kind, null, "giving the lease back before the host goes");
    },
    action: "release",
    goal: "wait",
  },
  {
    name: "hand over after a crash",
    from: "stopped",
    to: ["candidate", "stopped"],
    when: (s) => isMine(s) && isSpent(s) && isGone(s) && mayHandOver(s),
    decide: (s) => giveUp(s, "it ended by itself too often"),
    action: "release",
    goal: "wait",
  },
  {
    name: "start to be promoted",
    from: "stopped",
    to: ["promoting"],
    when: (s) => isMine(s) && s.local.data.kind === "ready" && s.local.data.role === "standby",
    decide: () => rest({ kind: "standby", upstream: null }, "starting, to be promoted"),
    action: "none",
    goal: "standby",
  },
  {
    name: "start the primary",
    from: "stopped",
    to: ["changing", "gated", "primary"],
    when: (s) => isMine(s) && s.hold === null,
    decide: (s) => {
      const held = mine(s);
      if (!held) return wait("the lease is gone");
      const crash = crashOf(s);
      const why = crash === "" ? "the lease is held" : crash;
      return rest(primaryGoal(s, held.own), `starting as primary: ${why}`);
    },
    action: "none",
    goal: "primary",
    comment: "H24: the same epoch and timeline",
  },
  {
    name: "begin the node with data",
    from: "stopped",
    to: ["stopped"],
    when: mayCreate,
    decide: createLease,
    action: "create_lease",
    goal: "any",
  },
  {
    name: "take the lease again",
    from: "stopped",
    to: ["stopped"],
    when: (s) => mayResume(s)?.ok === true,
    decide: (s) => {
      const verdict = mayResume(s);
      if (s.lease.kind !== "free" || !verdict?.ok) return wait("the lease is not free");
      return act(
        { kind: "wait", why: "taking the lease" },
        { kind: "acquire", row: s.lease.row, taking: verdict.taking },
        "taking the lease again: the last primary is here",
      );
    },
    action: "acquire",
    goal: "wait",
    comment: "no promotion: it goes on where it stopped",
  },
  {
    name: "wait to take the lease again",
    from: "stopped",
    to: ["stopped"],
    when: (s) => isWaitingVerdict(mayResume(s)),
    decide: (s) => {
      const verdict = mayResume(s);
      return wait(verdict && !verdict.ok ? verdict.why : "waiting to take the lease again");
    },
    action: "none",
    goal: "wait",
    timeout: true,
  },
  {
    name: "start to take part in the race",
    from: "stopped",
    to: ["changing", "candidate"],
    when: (s) => s.lease.kind === "free" && s.hold === null && !isLeaving(s),
    decide: () =>
      rest({ kind: "standby", upstream: null }, "starting as standby: the lease is free"),
    action: "none",
    goal: "standby",
  },
  { ...rejoinRow("stopped", "clone"), name: "copy instead of starting" },
  { ...rejoinRow("stopped", "rewind"), name: "turn back instead of starting" },
  {
    name: "let the successor begin",
    from: "stopped",
    to: ["stopped"],
    when: (s) => s.hold === null && !isLeaving(s) && isNeededElsewhere(s),
    decide: () =>
      wait("the successor is becoming primary: a start would take from it what it needs"),
    action: "none",
    goal: "wait",
  },
  {
    name: "start as standby",
    from: "stopped",
    to: ["changing", "standby"],
    when: (s) => s.hold === null && !isLeaving(s) && rejoinOf(s)?.kind === "follow",
    decide: (s) => {
      const plan = rejoinOf(s);
      const upstream = plan?.kind === "follow" ? plan.upstream : null;
      return rest({ kind: "standby", upstream }, `starting as standby: ${plan?.why}`);
    },
    action: "none",
    goal: "standby",
  },
  { ...waitRow("stopped"), name: "stay stopped" },
];

/** How long a former primary leaves the host's processors and disks to a successor that becomes primary. */
export const successorBeginsMs = 500;

/** The successor's first commits wait for nobody, and it has just taken the lease that was given to it. */
function isNeededElsewhere(s: Situation): boolean {
  const { lease, nowMs, view } = s;
  if (lease.kind !== "other" || !hasStoppedInOrder(s) || lease.row.sync.mode !== "off") {
    return false;
  }
  const { phase } = lease.row;
  const seenMs = nowMs - (view.lease?.seenAtMs ?? Number.NEGATIVE_INFINITY);
  return (phase === "acquiring" || phase === "promoting") && seenMs < successorBeginsMs;
}

function isDraining(s: Situation): boolean {
  return mine(s)?.row.phase === "draining";
}

function hasStoppedInOrder({ local }: Situation): boolean {
  const { data } = local;
  return data.kind === "ready" && data.clean && data.end !== null && isEmpty(local.postgres);
}

/** It became primary on a number that is not this epoch's, or was primary in another epoch and not since. */
function isOnWrongTimeline(s: Situation): boolean {
  const row = mine(s)?.row;
  const { data } = s.local;
  return data.kind === "ready" && data.role === "primary" && data.timeline !== row?.timeline;
}

/** It is not worth starting here again. Every time that nobody took the lease makes starting here worth more. */
function isSpent(s: Situation): boolean {
  const { local, view, nowMs } = s;
  if (crashOf(s) === "") return false;
  const recent = local.attempts.crashesAtMs.filter((at) => nowMs - at < 600_000).length;
  const inVain = 2 * resumedInARow(s);
  const full = local.disk === "full" || local.disk === "stalled";
  const atOnce = full || view.settings.primary_start_timeout_ms === 0;
  return recent > inVain + (atOnce ? 0 : crashesMax);
}

/** How often this member gave the lease away and had to take it back, without anybody in between. */
function resumedInARow({ view }: Situation): number {
  let count = 0;
  for (let at = view.history.length - 1; at > 0; at -= 1) {
    const [before, row] = [view.history[at - 1], view.history[at]];
    const resumed = before?.instance_id === view.self && before.timeline === row?.timeline;
    if (!resumed || row.instance_id !== view.self) break;
    count += 1;
  }
  return count;
}

function giveUp(s: Situation, why: string): Outcome {
  return releaseWith(s, "crash", crashSuccessorOf(s), `giving the lease back: ${why}`);
}

function giveAway(s: Situation): Outcome {
  const running = s.view.intents.find(
    ({ payload }) => payload.kind === "switchover" || payload.kind === "failover",
  )?.payload;
  const to = running && "to" in running ? running.to : null;
  const kind = isLeaving(s) ? "clean" : "manual";
  return releaseWith(s, kind, to ?? crashSuccessorOf(s), "giving the lease back after the stop");
}

function mayResume(s: Situation) {
  if (s.lease.kind !== "free" || s.position === null || isLeaving(s)) return null;
  const { row } = s.lease;
  if (!resumesAsPrimary(s, row, s.position)) return null;
  return judge(s, row, freeFromMs(s.view, row));
}

function isWaitingVerdict(verdict: ReturnType<typeof mayResume>): boolean {
  return verdict !== null && !verdict.ok && verdict.untilMs !== undefined;
}
