// Rows for a member whose PostgreSQL is between two states, is not known, or must not be what it is.
import { isLeased, refusal, type Situation } from "../situation.ts";
import {
  act,
  always,
  isMine,
  mine,
  type Outcome,
  primaryGoal,
  rest,
  steadyGoal,
  type Transition,
  wait,
} from "../transition.ts";
import {
  copyAsked,
  createLease,
  hasPrimaryData,
  mayCreate,
  mayHandOver,
  reinitializeIntent,
  rejoinOf,
  stallMs,
} from "./conditions.ts";

/** A stop that takes longer is ended by force, where the settings name no limit. */
const stopTimeoutMs = 60_000;

export const UNKNOWN: readonly Transition[] = [
  {
    name: "adopt the lease",
    from: "unknown",
    to: ["primary", "gated", "promoting", "stopped"],
    when: (s) => s.lease.kind === "earlier",
    decide: (s) =>
      s.lease.kind === "earlier"
        ? act(
            steadyGoal(s),
            { kind: "adopt", row: s.lease.row },
            "going on with the lease of this instance's last keeper",
          )
        : wait("no lease"),
    action: "adopt",
    goal: "any",
    comment: "compare-and-set: it fails when another member took the lease",
  },
  {
    name: "bring a running primary under a lease",
    from: "unknown",
    to: ["primary", "gated"],
    when: mayCreate,
    decide: createLease,
    action: "create_lease",
    goal: "any",
    comment: "a node that gets its second instance",
  },
  {
    name: "find out",
    from: "unknown",
    to: ["empty", "stopped", "standby", "candidate", "primary", "unleased"],
    when: always,
    decide: (s) => wait(whyUnknown(s)),
    action: "none",
    goal: "wait",
    timeout: true,
    comment: "a running primary ends at the deadline that its fencer has",
  },
];

export const CHANGING: readonly Transition[] = [
  {
    name: "does not answer",
    from: "changing",
    to: ["stopped"],
    when: (s) => s.local.postgres.kind === "hung",
    decide: (s) => fence(s, "PostgreSQL does not answer new connections"),
    action: "fence",
    goal: "any",
  },
  {
    name: "starts as primary without a lease",
    from: "changing",
    to: ["stopped"],
    when: (s) => isStarting(s) && hasPrimaryData(s) && !isLeased(s),
    decide: (s) => fence(s, "it starts as primary, and the lease is not held"),
    action: "fence",
    goal: "any",
  },
  {
    name: "starts for too long",
    from: "changing",
    to: ["stopped"],
    when: (s) => isMine(s) && startsTooLong(s) && mayHandOver(s),
    decide: (s) => fence(s, "the primary takes too long to start, and another could take over"),
    action: "fence",
    goal: "any",
    timeout: true,
  },
  {
    name: "copy as asked instead of starting",
    from: "changing",
    to: ["cloning"],
    when: (s) => isStarting(s) && s.hold === null && reinitializeIntent(s) !== null,
    decide: copyAsked,
    action: "clone",
    goal: "wait",
  },
  {
    name: "start without progress",
    from: "changing",
    to: ["stopped"],
    when: (s) =>
      s.local.postgres.kind === "starting" && s.nowMs - s.local.postgres.progressAtMs > stallMs,
    decide: (s) => fence(s, "the start makes no progress"),
    action: "fence",
    goal: "any",
    timeout: true,
  },
  {
    name: "stops for too long",
    from: "changing",
    to: ["stopped"],
    when: (s) => {
      const limitMs = s.view.settings.primary_stop_timeout_ms || stopTimeoutMs;
      const { postgres } = s.local;
      return postgres.kind === "stopping" && s.nowMs - postgres.sinceMs > limitMs;
    },
    decide: (s) => fence(s, "it takes too long to stop"),
    action: "fence",
    goal: "any",
    timeout: true,
  },
  {
    name: "follow while it starts",
    from: "changing",
    to: ["stopped", "standby"],
    when: (s) => isStarting(s) && hasStandbyData(s) && rejoinOf(s)?.kind === "follow",
    decide: (s) => {
      const plan = rejoinOf(s);
      const upstream = plan?.kind === "follow" ? plan.upstream : null;
      return rest({ kind: "standby", upstream }, `waiting: PostgreSQL is starting; ${plan?.why}`);
    },
    action: "none",
    goal: "standby",
    comment:
      "a copy or rewound data needs log of the primary before it answers, of the one that is now",
  },
  {
    name: "wait for it",
    from: "changing",
    to: ["stopped", "standby", "primary", "gated"],
    when: always,
    decide: (s) => rest(changingGoal(s), `waiting: PostgreSQL is ${s.local.postgres.kind}`),
    action: "none",
    goal: "any",
  },
];

export const REFUSED: readonly Transition[] = [
  {
    name: "not touched",
    from: "refused",
    to: ["refused"],
    when: always,
    decide: (s) => wait(`nothing is done here before a person looked: ${refusal(s)}`),
    action: "none",
    goal: "wait",
    comment: "another keeper of this instance, another system's data, data that cannot be read",
  },
];

export const UNLEASED: readonly Transition[] = [
  {
    name: "end an unleased primary",
    from: "unleased",
    to: ["stopped"],
    when: always,
    decide: () =>
      act(
        { kind: "stopped", why: "it is primary and does not hold the lease" },
        { kind: "fence" },
        "ending PostgreSQL at once: it is primary and does not hold the lease",
      ),
    action: "fence",
    goal: "stopped",
    comment: "also during a pause",
  },
];

function whyUnknown({ local, hold, view }: Situation): string {
  if (local.postgres.kind === "unknown") return "waiting for the fencer";
  if (view.lease?.wentBack) return `nothing is done by itself: ${hold}`;
  return "waiting for the store's first answer";
}

function isStarting({ local }: Situation): boolean {
  return local.postgres.kind === "starting";
}

function hasStandbyData({ local }: Situation): boolean {
  return local.data.kind === "ready" && local.data.role === "standby";
}

function startsTooLong(s: Situation): boolean {
  const { postgres } = s.local;
  const limitMs = s.view.settings.primary_start_timeout_ms;
  return postgres.kind === "starting" && s.nowMs - postgres.sinceMs > limitMs;
}

function fence(s: Situation, sentence: string): Outcome {
  return act(changingGoal(s), { kind: "fence" }, sentence);
}

function changingGoal(s: Situation) {
  const held = mine(s);
  if (held?.row.phase === "draining") {
    return { kind: "stopped", why: "the lease is to be given away" } as const;
  }
  if (held && hasPrimaryData(s)) return primaryGoal(s, held.own);
  return { kind: "wait", why: "PostgreSQL is between two states" } as const;
}
