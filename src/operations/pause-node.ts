// POST …/nodes/{node}/pause and …/resume: for a time nothing of a node happens by itself. Fencing goes on.
import { rfc3339 } from "../base/clock.ts";
import { pauseConfirmMs, pauseLookMs, pauseSecondsDefault } from "../base/limits.ts";
import type { NodePause, PauseNodeRequest } from "../spec/topology.ts";
import { endPauses, insertIntent } from "../store/ha-intents.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import type { NodePlace } from "./node-operations.ts";
import { groupNode, viewNodes } from "./node-view.ts";
import { runtimeOf } from "./runtime.ts";

/**
 * Begins a pause, or gives the one that there is another end. Answers when every instance keeps it; those that have
 * not said so in time are named.
 */
export async function pauseNode(
  deps: OperationsDeps,
  { databaseId, nodeName }: NodePlace,
  { ttl_s, reason }: PauseNodeRequest,
): Promise<NodePause> {
  const { store } = await checked(deps, { databaseId, nodeName });
  const nowMs = deps.clock.nowMs();
  const expiresAtMs = nowMs + (ttl_s ?? pauseSecondsDefault) * 1_000;
  const intent = {
    id: deps.ids.uuid(),
    databaseId,
    nodeName,
    payload: { kind: "pause" } as const,
    ...(reason === undefined ? {} : { reason }),
    expiresAtMs,
  };
  await store.commit({
    opId: deps.ids.uuid(),
    guards: [],
    statements: [
      endPauses(store.db, databaseId, nodeName, "replaced by another pause", nowMs),
      insertIntent(store.db, intent, nowMs),
    ],
  });
  const unconfirmed = await waitForAll(deps, { databaseId, nodeName }, intent.id);
  return {
    node_name: nodeName,
    paused_until: rfc3339(expiresAtMs),
    ...(reason === undefined ? {} : { reason }),
    ...(unconfirmed.length === 0 ? {} : { unconfirmed }),
  };
}

/** Waits until every instance of a node keeps a pause; answers the ids of those that have not said so in time. */
async function waitForAll(
  deps: OperationsDeps,
  { databaseId, nodeName }: NodePlace,
  pauseId: string,
): Promise<string[]> {
  const { db } = runtimeOf(deps).store;
  const endMs = deps.clock.monotonicMs() + pauseConfirmMs;
  for (;;) {
    const node = (await viewNodes(db, databaseId)).get(nodeName);
    const silent = (node?.instances ?? [])
      .map(({ id }) => id)
      .filter((id) => node?.members.get(id)?.pause !== pauseId);
    if (silent.length === 0 || deps.clock.monotonicMs() >= endMs) return silent;
    await deps.clock.sleep(pauseLookMs);
  }
}

/** Ends a pause; without one nothing happens. */
export async function resumeNode(deps: OperationsDeps, place: NodePlace): Promise<NodePause> {
  const { store } = await checked(deps, place);
  const { databaseId, nodeName } = place;
  await store.commit({
    opId: deps.ids.uuid(),
    guards: [],
    statements: [endPauses(store.db, databaseId, nodeName, "resumed", deps.clock.nowMs())],
  });
  return { node_name: nodeName };
}

async function checked(deps: OperationsDeps, { databaseId, nodeName }: NodePlace) {
  const runtime = runtimeOf(deps);
  const record = await existingDatabase(runtime, databaseId);
  groupNode(await viewNodes(runtime.store.db, databaseId), record, nodeName);
  return runtime;
}
