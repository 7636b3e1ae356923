// What a primary does about switchovers and failovers that users ask for: give the lease away to whom, refuse with
// which reason, and say afterwards what came of it.
import { memberOf, successorOf } from "./election.ts";
import { dueIntent, livingOthers, rowOf, type Situation } from "./situation.ts";
import { type HaIntent, isExpired } from "./state.ts";

type Handover = HaIntent & {
  readonly payload: { readonly kind: "switchover" } | { readonly kind: "failover" };
};

export interface IntentAnswer {
  readonly id: string;
  readonly state: "done" | "failed";
  readonly answer: string;
}

/** Whom this primary should give the lease to now, because a user asked; null = nobody. */
export function switchoverTarget(
  s: Situation,
): { readonly id: string; readonly to: string } | null {
  const intent = pendingHandover(s);
  if (!intent) return null;
  const target = targetOf(s, intent);
  return "to" in target ? { id: intent.id, to: target.to } : null;
}

/** Whom a failover that a user asked for makes primary, whatever is lost; null = none was asked for, or it cannot be. */
export function failoverTarget(s: Situation): string | null {
  const intent = pendingHandover(s);
  if (intent?.payload.kind !== "failover") return null;
  const target = targetOf(s, intent);
  return "to" in target ? target.to : null;
}

/** Nothing was heard lately of the one that is to take over, or of anybody who could: silence alone refuses nothing. */
export function isUnheard(s: Pick<Situation, "view" | "nowMs">): boolean {
  const intent = pendingHandover(s);
  if (!intent) return false;
  const { to } = intent.payload;
  const living = livingOthers(s).map(({ status }) => status.instance_id);
  return to === null ? living.length === 0 : to !== s.view.self && !living.includes(to);
}

/** What this primary has to say about an intent; null = nothing now. */
export function intentAnswer(s: Situation): IntentAnswer | null {
  const expired = s.view.intents.find(
    (intent) => isHandover(intent) && isExpired(intent, s.view.wallMs),
  );
  if (expired) return failed(expired.id, "its time passed before it could be done");
  const ofStandby = s.view.intents.find(({ payload }) => isCare(payload, s.view.self));
  if (ofStandby) return failed(ofStandby.id, `${s.view.self} is the primary`);
  const over = s.view.intents.find((intent) => isHandover(intent) && intent.state === "running");
  if (over && isHandover(over)) return outcomeOf(s, over);
  const intent = pendingHandover(s);
  if (!intent) return null;
  if (intent.payload.to === s.view.self) {
    return { id: intent.id, state: "done", answer: `${s.view.self} is the primary` };
  }
  const target = targetOf(s, intent);
  return "why" in target ? failed(intent.id, target.why) : null;
}

function failed(id: string, answer: string): IntentAnswer {
  return { id, state: "failed", answer };
}

function isHandover(intent: HaIntent): intent is Handover {
  return intent.payload.kind === "switchover" || intent.payload.kind === "failover";
}

/** What only a standby can do. */
function isCare(payload: HaIntent["payload"], self: string): boolean {
  const care = payload.kind === "reinitialize" || payload.kind === "rewind";
  return care && payload.instance_id === self;
}

function pendingHandover({ view }: Pick<Situation, "view">): Handover | undefined {
  const due = dueIntent(view, "switchover") ?? dueIntent(view, "failover");
  return due && due.state === "pending" ? due : undefined;
}

function targetOf(
  s: Situation,
  { payload }: Handover,
): { readonly to: string } | { readonly why: string } {
  const { view } = s;
  if (payload.kind === "switchover" && payload.from !== null && payload.from !== view.self) {
    return { why: `${payload.from} is not the primary, ${view.self} is` };
  }
  if (payload.to === null) {
    if (s.hold) return { why: `${s.hold}: name the instance that should take over` };
    const best = successorOf(s);
    return best ? { to: best } : { why: "no standby could take over without loss" };
  }
  const { to } = payload;
  if (!memberOf(view, to) || !rowOf(s)?.members.includes(to)) {
    return { why: `${to} is not a member of this node` };
  }
  const status = livingOthers(s).find((other) => other.status.instance_id === to)?.status;
  if (!status) return { why: `nothing was heard of ${to} lately` };
  if (status.role !== "standby") return { why: `${to} does not run as standby` };
  if (payload.kind === "failover") return { to };
  if (status.unfit) return { why: `${to} cannot be promoted: ${status.unfit}` };
  if (!isAttached(s, to)) return { why: `${to} does not receive from ${view.self}` };
  return isClose(s, to) ? { to } : { why: `${to} is too far behind` };
}

function isAttached({ primary }: Situation, id: string): boolean {
  return primary?.standbys.some(({ instance, streaming }) => instance === id && streaming) ?? false;
}

function isClose({ primary, view }: Situation, id: string): boolean {
  const standby = primary?.standbys.find(({ instance }) => instance === id);
  if (!primary || !standby) return false;
  return primary.flushed - standby.flushed <= BigInt(view.settings.maximum_lag_bytes);
}

/** The lease was given away for it; whoever is primary now says whom it came to. */
function outcomeOf(s: Situation, { id, payload }: Handover): IntentAnswer {
  const { self, history } = s.view;
  const epoch = rowOf(s)?.epoch ?? 0;
  const before = history.find((row) => row.epoch === epoch - 1)?.instance_id;
  if (payload.to === self || (payload.to === null && before !== self)) {
    return { id, state: "done", answer: `${self} is primary since epoch ${epoch}` };
  }
  if (before === self) return failed(id, `nobody took over; ${self} went on`);
  return failed(id, `${self} took over instead of ${payload.to}, in epoch ${epoch}`);
}
