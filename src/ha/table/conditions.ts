// Conditions and rows that several states share.
import type { RunGoal } from "../action.ts";
import { crashSuccessorOf } from "../election.ts";
import type { IntentAnswer } from "../intents.ts";
import { planRejoin } from "../rejoin.ts";
import type { Situation } from "../situation.ts";
import { type HaIntent, isDue } from "../state.ts";
import { firstRecord } from "../sync.ts";
import {
  act,
  always,
  mine,
  type Outcome,
  steadyGoal,
  type Transition,
  wait,
} from "../transition.ts";

/** Long work without progress for this long is ended and begun again. */
export const stallMs = 300_000;

export function isLeaving({ local }: Situation): boolean {
  return local.leavingSinceMs !== null;
}

export function isGone({ local }: Situation): boolean {
  return isEmpty(local.postgres);
}

export function isEmpty(postgres: Situation["local"]["postgres"]): boolean {
  return postgres.kind === "stopped" && postgres.empty;
}

export function hasFailed(s: Situation): boolean {
  const epoch = mine(s)?.row.epoch;
  return s.local.attempts.failedPromotions.some((failed) => failed.epoch === epoch);
}

export function crashOf({ local }: Situation): string {
  return local.postgres.kind === "stopped" ? (local.postgres.crash ?? "") : "";
}

export function hasPrimaryData({ local }: Situation): boolean {
  return local.data.kind === "ready" && local.data.role === "primary";
}

export function mayHandOver(s: Situation): boolean {
  return s.hold === null && crashSuccessorOf(s) !== null;
}

export function mayCreate({ view, lease, hold, local }: Situation): boolean {
  if (lease.kind !== "none" || hold !== null || view.initialPrimary !== view.self) return false;
  if (local.data.kind === "ready") return local.data.role === "primary";
  return local.data.kind === "absent" && !local.data.hadData;
}

export function createLease(s: Situation): Outcome {
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

/** What rejoining asks for, where another member holds the lease. `intent`: of the user who asked. */
export function rejoinOf(s: Situation) {
  if (s.lease.kind !== "other") return null;
  const copy = reinitializeIntent(s);
  if (copy) return { kind: "clone", ...copy, why: "a user asked for a new copy" } as const;
  const turn = s.local.data.kind === "ready" ? rewindIntent(s) : null;
  if (turn) return { kind: "rewind", ...turn, why: "a user asked for it" } as const;
  return { ...planRejoin(s, s.lease.row, s.lease.holder), intent: null };
}

interface Asked {
  readonly intent: string;
  readonly source: string;
}

/** Whom to copy from because a user asked; null = nobody asked, or it is too early. */
export function reinitializeIntent(s: Situation): Asked | null {
  if (s.nowMs < s.local.attempts.rejoin.retryAtMs) return null;
  const asked = careIntent(s, "pending", "reinitialize");
  if (s.lease.kind !== "other" || asked?.payload.kind !== "reinitialize") return null;
  return { intent: asked.id, source: asked.payload.from ?? s.lease.holder };
}

/** Whose history to turn back to because a user asked. */
export function rewindIntent(s: Situation): Asked | null {
  const asked = careIntent(s, "pending", "rewind");
  return s.lease.kind === "other" && asked ? { intent: asked.id, source: s.lease.holder } : null;
}

/** What a user asked of this instance's data, while there is a primary to do it with. */
function careIntent(
  { view, lease }: Situation,
  state: HaIntent["state"],
  kind: "reinitialize" | "rewind",
): HaIntent | undefined {
  if (lease.kind !== "other" || lease.row.phase !== "open") return undefined;
  return view.intents.find(
    (intent) =>
      intent.payload.kind === kind &&
      intent.payload.instance_id === view.self &&
      intent.state === state &&
      isDue(intent, view.wallMs),
  );
}

/** What a standby has to say of what was done to its data, and of what can no longer be told; null = nothing. */
export function careAnswer(s: Situation): IntentAnswer | null {
  const copied = careIntent(s, "running", "reinitialize");
  if (copied && s.standby?.streaming) {
    return {
      id: copied.id,
      state: "done",
      answer: `copied anew; it follows ${s.standby.upstream}`,
    };
  }
  const cut = careIntent(s, "running", "rewind");
  if (!cut || s.local.doing) return null;
  return {
    id: cut.id,
    state: "failed",
    answer: "its keeper ended before it could say how it went",
  };
}

const replaced: RunGoal = { kind: "wait", why: "the data is being replaced" };

export function copyAsked(s: Situation): Outcome {
  const { source = "", intent = null } = reinitializeIntent(s) ?? {};
  const action = { kind: "clone", source, intent } as const;
  return act(replaced, action, `copying ${source}: a user asked for a new copy`);
}

export function rewindAsked(s: Situation): Outcome {
  const { source = "", intent = null } = rewindIntent(s) ?? {};
  const action = { kind: "rewind", source, intent } as const;
  return act(replaced, action, `turning back to the history of ${source}: a user asked for it`);
}

export function rejoinRow(
  from: "empty" | "diverged" | "stopped",
  kind: "clone" | "rewind",
): Transition {
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
      const { source, why, intent } = plan;
      const action = { kind: plan.kind, source, intent } as const;
      return act(replaced, action, `${sayOf(plan.kind)} ${source}: ${why}`);
    },
    action: kind,
    goal: "wait",
  };
}

function sayOf(kind: "clone" | "rewind"): string {
  return kind === "clone" ? "copying" : "turning back to the history of";
}

export function waitRow(from: "empty" | "diverged" | "stopped"): Transition {
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

export function whyWaiting(s: Situation): string {
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
