// Carries out what Patroni's API is asked to change of a group: opens the same intents as the control plane does, and
// answers with what came of them, in Patroni's words.
import type { Clock } from "../../src/base/clock.ts";
import { haRestPollMs, haStoreTimeoutMs } from "../../src/base/limits.ts";
import type { IntentPayload } from "../../src/ha/state.ts";
import type { LeaseStore } from "../../src/store/ha-lease.ts";
import type { RestOutcome } from "./rest.ts";
import type { RestGroup } from "./rest-group.ts";
import type { Handover, RestCommand } from "./rest-messages.ts";

export interface RestIntentsDeps {
  readonly clock: Clock;
  readonly store: LeaseStore;
  readonly newId: () => string;
  /** The group as it is known when it is asked. */
  readonly group: () => RestGroup | undefined;
  readonly signal: AbortSignal;
}

export type GroupCommand = Extract<
  RestCommand,
  { readonly kind: "handover" | "unschedule_handover" | "intend" | "end_intents" }
>;

/** What came of it; undefined = what the prepared answer says. Throws StoreError. */
export async function performOnGroup(
  deps: RestIntentsDeps,
  command: GroupCommand,
): Promise<RestOutcome | undefined> {
  switch (command.kind) {
    case "handover":
      return handOver(deps, command.payload, command.atMs);
    case "unschedule_handover":
      return (await cancel(deps, command.id))
        ? undefined
        : { status: 409, body: "the switchover has begun" };
    case "intend":
      await open(deps, command.payload, null);
      return undefined;
    case "end_intents":
      for (const id of command.ids) await settle(deps, id, "done", "resumed through the REST API");
      return undefined;
  }
}

async function handOver(
  deps: RestIntentsDeps,
  payload: Handover,
  atMs: number | null,
): Promise<RestOutcome | undefined> {
  const what = payload.kind === "switchover" ? "Switchover" : "Failover";
  const id = await open(deps, payload, atMs);
  if (id === undefined) return { status: 503, body: `${what} failed: another one is under way` };
  if (atMs !== null) return undefined;
  const { clock, store, signal } = deps;
  const loopMs = deps.group()?.view.settings.loop_ms ?? 0;
  const endMs = clock.monotonicMs() + 2 * Math.max(10_000, loopMs);
  while (clock.monotonicMs() < endMs) {
    const intent = await store.loadIntent(id, { signal, timeoutMs: haStoreTimeoutMs });
    if (intent?.state === "done") return success(deps, payload);
    if (intent?.state === "failed" || intent?.state === "canceled") {
      return { status: 503, body: `${what} failed: ${intent.answer ?? intent.state}` };
    }
    await clock.sleep(haRestPollMs, signal);
  }
  return { status: 503, body: `${what} status unknown` };
}

async function success(deps: RestIntentsDeps, payload: Handover): Promise<RestOutcome> {
  const { signal } = deps;
  const rows = await deps.store.load({ signal, timeoutMs: haStoreTimeoutMs });
  const leader = rows.lease?.holder ?? "";
  const done = payload.kind === "switchover" ? "witched" : "ailed";
  const first = payload.kind === "switchover" ? "s" : "f";
  if (payload.to === null || payload.to === leader) {
    return { status: 200, body: `Successfully ${first}${done} over to "${leader}"` };
  }
  const text = `${first.toUpperCase()}${done} over to "${leader}" instead of "${payload.to}"`;
  return { status: 200, body: text };
}

async function open(
  { store, newId, clock, signal }: RestIntentsDeps,
  payload: IntentPayload,
  atMs: number | null,
): Promise<string | undefined> {
  const id = newId();
  const intent = {
    id,
    payload,
    not_before_ms: atMs,
    expires_at_ms: null,
    created_at_ms: clock.nowMs(),
  };
  const opened = await store.openIntent(intent, { signal, timeoutMs: haStoreTimeoutMs });
  return opened ? id : undefined;
}

/** False when it has begun meanwhile. */
async function cancel(deps: RestIntentsDeps, id: string): Promise<boolean> {
  const { store, signal } = deps;
  const options = { signal, timeoutMs: haStoreTimeoutMs };
  if ((await store.loadIntent(id, options))?.state !== "pending") return false;
  await settle(deps, id, "canceled", "canceled through the REST API");
  return (await store.loadIntent(id, options))?.state === "canceled";
}

async function settle(
  { store, clock, signal }: RestIntentsDeps,
  id: string,
  state: "done" | "canceled",
  answer: string,
): Promise<void> {
  const options = { signal, timeoutMs: haStoreTimeoutMs };
  await store.settleIntent(id, { state, answer }, clock.nowMs(), options);
}
