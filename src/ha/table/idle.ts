// Rows for a member whose PostgreSQL does not run as it should yet: no data, none running, or something under way.
import { crashSuccessorOf, judge, resumesAsPrimary } from "../election.ts";
import { contestableAtMs, type LeaseRow } from "../lease.ts";
import { planRejoin } from "../rejoin.ts";
import { isLeased, refusal, type Situation } from "../situation.ts";
import { firstRecord } from "../sync.ts";
import {
  act,
  always,
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

/** Long work without progress for this long is ended and begun again. */
export const stallMs = 300_000;
/** Crashes within ten minutes after which a primary is not started here again while another could take over. */
export const crashesMax = 2;
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
    decide: (s) =>
      wait(
        s.local.postgres.kind === "unknown"
          ? "waiting for the fencer"
          : "waiting for the store's first answer",
      ),
    action: "none",
    goal: "wait",
    timeout: true,
    comment: "a running primary ends at the deadline that its fencer has",
  },
];

export const EMPTY: readonly Transition[] = [
  {
    name: "begin the node",
    from: "empty",
    to: ["empty"],
    when: mayCreate,
    decide: createLease,
    action: "create_lease",
    goal: "any",
  },
  {
    name: "make the data",
    from: "empty",
    to: ["bootstrapping"],
    when: mayBootstrap,
    decide: bootstrap,
    action: "bootstrap",
    goal: "wait",
    comment: "H30: only in the first epoch of a node without data",
  },
  {
    name: "holder lost its data",
    from: "empty",
    to: ["empty"],
    when: isMine,
    decide: (s) =>
      releaseWith(s, "cannot_promote", null, "giving the lease back: the data is gone"),
    action: "release",
    goal: "wait",
  },
  { ...rejoinRow("empty", "clone"), name: "copy the primary" },
  { ...waitRow("empty"), name: "wait for a primary to copy" },
];

export const DIVERGED: readonly Transition[] = [
  {
    name: "make the data again",
    from: "diverged",
    to: ["bootstrapping"],
    when: mayBootstrap,
    decide: bootstrap,
    action: "bootstrap",
    goal: "wait",
  },
  {
    name: "holder with half of its data",
    from: "diverged",
    to: ["diverged"],
    when: isMine,
    decide: (s) =>
      releaseWith(s, "cannot_promote", null, "giving the lease back: the data is not complete"),
    action: "release",
    goal: "wait",
  },
  { ...rejoinRow("diverged", "rewind"), name: "turn back" },
  { ...rejoinRow("diverged", "clone"), name: "copy anew" },
  {
    name: "receive nothing more",
    from: "diverged",
    to: ["diverged"],
    when: (s) => s.standby !== null,
    decide: (s) => rest({ kind: "standby", upstream: null }, whyWaiting(s)),
    action: "none",
    goal: "standby",
    timeout: true,
    comment: "how far its data reaches is known only while it runs",
  },
  { ...waitRow("diverged"), name: "wait for the primary to be ready" },
];

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
    when: (s) => isMine(s) && isDraining(s) && isEmptyAfterAll(s) && mayHandOver(s),
    decide: (s) => giveUp(s, "it ended without order while it closed"),
    action: "release",
    goal: "wait",
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
    when: (s) => isLeaving(s) && isMine(s) && isEmptyAfterAll(s),
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
    when: (s) => isMine(s) && isSpent(s) && isEmptyAfterAll(s) && mayHandOver(s),
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
    name: "wait for it",
    from: "changing",
    to: ["stopped", "standby", "primary", "gated"],
    when: always,
    decide: (s) => rest(changingGoal(s), `waiting: PostgreSQL is ${s.local.postgres.kind}`),
    action: "none",
    goal: "any",
  },
];

export const WORKING: readonly Transition[] = [
  ...(["bootstrapping", "cloning", "rewinding"] as const).flatMap((from): Transition[] => [
    {
      name: `${from} stalls`,
      from,
      to: ["diverged", "empty"],
      when: (s) => s.local.doing !== null && s.nowMs - s.local.doing.progressAtMs > stallMs,
      decide: () =>
        act(
          { kind: "wait", why: "ending what makes no progress" },
          { kind: "cancel" },
          "ending what makes no progress",
        ),
      action: "cancel",
      goal: "wait",
      timeout: true,
    },
    {
      name: `${from} to its end`,
      from,
      to: ["stopped", "standby"],
      when: always,
      decide: (s) => wait(`${from}${s.local.doing?.source ? ` from ${s.local.doing.source}` : ""}`),
      action: "none",
      goal: "wait",
    },
  ]),
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

function mayCreate({ view, lease, hold, local }: Situation): boolean {
  if (lease.kind !== "none" || hold !== null || view.initialPrimary !== view.self) return false;
  if (local.data.kind === "ready") return local.data.role === "primary";
  return local.data.kind === "absent" && !local.data.hadData;
}

function createLease(s: Situation): Outcome {
  const { data } = s.local;
  const members = s.view.members.map(({ instance_id }) => instance_id);
  const sync = firstRecord(s.view.settings.synchronous);
  const known =
    data.kind === "ready"
      ? { timeline: s.position?.timeline ?? data.timeline, systemIdentifier: data.systemIdentifier }
      : null;
  return act(
    steadyGoal(s),
    { kind: "create_lease", beginning: { members, sync, data: known } },
    "taking the first lease of the node",
  );
}

function mayBootstrap(s: Situation): boolean {
  const row = mine(s)?.row;
  const { data } = s.local;
  const blank =
    (data.kind === "absent" && !data.hadData) ||
    (data.kind === "unfinished" && data.of === "bootstrap");
  return row?.epoch === 1 && row.system_identifier === null && blank && s.hold === null;
}

function bootstrap(): Outcome {
  return act(
    { kind: "wait", why: "the data is being made" },
    { kind: "bootstrap" },
    "making the data directory: this is the first primary of the node",
  );
}

/** What rejoining asks for, where another member holds the lease. */
function rejoinOf(s: Situation) {
  if (s.lease.kind !== "other") return null;
  const reinit = reinitializeIntent(s);
  if (reinit) return { kind: "clone", source: reinit, why: "a user asked for a new copy" } as const;
  return planRejoin(s, s.lease.row, s.lease.holder);
}

/** Whom to copy from because a user asked; null = nobody asked, or it is too early. */
export function reinitializeIntent(s: Situation): string | null {
  if (s.lease.kind !== "other" || s.lease.row.phase !== "open") return null;
  if (s.nowMs < s.local.attempts.rejoin.retryAtMs) return null;
  for (const { payload } of s.view.intents) {
    if (payload.kind !== "reinitialize" || payload.instance_id !== s.view.self) continue;
    return payload.from ?? s.lease.holder;
  }
  return null;
}

function rejoinRow(from: "empty" | "diverged" | "stopped", kind: "clone" | "rewind"): Transition {
  return {
    name: `${kind} from ${from}`,
    from,
    to: [kind === "clone" ? "cloning" : "rewinding"],
    when: (s) => {
      return s.hold === null && !isLeaving(s) && rejoinOf(s)?.kind === kind;
    },
    decide: (s) => {
      const plan = rejoinOf(s);
      if (plan?.kind !== "clone" && plan?.kind !== "rewind") return wait("no plan");
      const { source, why } = plan;
      const goal = { kind: "wait", why: "the data is being replaced" } as const;
      return act(goal, { kind: plan.kind, source }, `${sayOf(plan.kind)} ${source}: ${why}`);
    },
    action: kind,
    goal: "wait",
  };
}

function sayOf(kind: "clone" | "rewind"): string {
  return kind === "clone" ? "copying" : "turning back to the history of";
}

function waitRow(from: "empty" | "diverged" | "stopped"): Transition {
  return {
    name: `wait when ${from}`,
    from,
    to: [from],
    when: always,
    decide: (s) => wait(whyWaiting(s)),
    action: "none",
    goal: "wait",
    timeout: true,
    comment: "every look begins anew, so that nothing has to arrive for it to end",
  };
}

function whyWaiting(s: Situation): string {
  if (s.hold) return s.hold;
  if (isLeaving(s)) return "about to leave";
  switch (s.lease.kind) {
    case "none":
      return `waiting for ${s.view.initialPrimary} to begin the node`;
    case "lapsed":
      return "the lease could not be renewed in time; waiting for the store";
    case "free":
      return "the lease is free, and this member has nothing to take it with";
    default:
      return rejoinOf(s)?.why ?? "waiting";
  }
}

function isLeaving({ local }: Situation): boolean {
  return local.leavingSinceMs !== null;
}

function isDraining(s: Situation): boolean {
  return mine(s)?.row.phase === "draining";
}

function hasStoppedInOrder({ local }: Situation): boolean {
  const { data } = local;
  return data.kind === "ready" && data.clean && data.end !== null && isEmpty(local.postgres);
}

function isEmpty(postgres: Situation["local"]["postgres"]): boolean {
  return postgres.kind === "stopped" && postgres.empty;
}

function isEmptyAfterAll({ local }: Situation): boolean {
  return isEmpty(local.postgres);
}

function hasFailed(s: Situation): boolean {
  const epoch = mine(s)?.row.epoch;
  return s.local.attempts.failedPromotions.some((failed) => failed.epoch === epoch);
}

/** It became primary on a number that is not this epoch's, or was primary in another epoch and not since. */
function isOnWrongTimeline(s: Situation): boolean {
  const row = mine(s)?.row;
  const { data } = s.local;
  return data.kind === "ready" && data.role === "primary" && data.timeline !== row?.timeline;
}

function crashOf({ local }: Situation): string {
  return local.postgres.kind === "stopped" ? (local.postgres.crash ?? "") : "";
}

/** It is not worth starting here again. */
function isSpent(s: Situation): boolean {
  const { local, view, nowMs } = s;
  if (crashOf(s) === "") return false;
  const recent = local.attempts.crashesAtMs.filter((at) => nowMs - at < 600_000);
  const full = local.disk === "full" || local.disk === "stalled";
  return recent.length > crashesMax || full || view.settings.primary_start_timeout_ms === 0;
}

function mayHandOver(s: Situation): boolean {
  return s.hold === null && crashSuccessorOf(s) !== null;
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
  return judge(s, row, freeSinceMs(s, row));
}

function isWaitingVerdict(verdict: ReturnType<typeof mayResume>): boolean {
  return verdict !== null && !verdict.ok && verdict.untilMs !== undefined;
}

/** Since when the lease may be taken, as far as this member knows. */
export function freeSinceMs({ view }: Situation, row: LeaseRow): number {
  const seenAtMs = view.lease?.seenAtMs ?? 0;
  return row.holder === null ? seenAtMs : contestableAtMs(seenAtMs, row.ttl_ms);
}

function isStarting({ local }: Situation): boolean {
  return local.postgres.kind === "starting";
}

function hasPrimaryData({ local }: Situation): boolean {
  return local.data.kind === "ready" && local.data.role === "primary";
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
