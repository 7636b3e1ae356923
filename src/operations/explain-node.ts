// GET …/nodes/{node}/explain: what would happen now if an instance or a host died, by the function that would decide it.
import { instanceReportStaleMs } from "../base/limits.ts";
import { explainLoss, type NodeFacts } from "../ha/explain.ts";
import type { HaIntent } from "../ha/state.ts";
import type { NodeExplanation } from "../spec/topology.ts";
import { listOpenIntents, type StoredIntent } from "../store/ha-intents.ts";
import { listEpochs } from "../store/ha-nodes.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput } from "./errors.ts";
import type { Losses, NodePlace } from "./node-operations.ts";
import { groupNode, type NodeView, viewNodes } from "./node-view.ts";
import { runtimeOf } from "./runtime.ts";

/** All that is named dies at once; where nothing is named, each instance by itself is a case. */
export async function explainNode(
  deps: OperationsDeps,
  { databaseId, nodeName }: NodePlace,
  losses: Losses,
): Promise<NodeExplanation> {
  const runtime = runtimeOf(deps);
  const { display } = runtime.store;
  const record = await existingDatabase(runtime, databaseId);
  const [nodes, intents, history] = await Promise.all([
    viewNodes(display, databaseId),
    listOpenIntents(display, databaseId),
    listEpochs(display, databaseId, nodeName),
  ]);
  const node = groupNode(nodes, record, nodeName);
  const dead = deadOf(node, losses);
  const cases = dead.length > 0 ? [dead] : node.instances.map(({ id }) => [id]);
  const wallMs = deps.clock.nowMs();
  const facts: NodeFacts = {
    members: node.group.members,
    initialPrimary: node.group.initial_primary,
    settings: node.group.settings,
    lease: node.lease ?? null,
    statuses: [...node.members.values()],
    silent: silentOf(node, wallMs),
    history,
    intents: intents.filter((intent) => intent.nodeName === nodeName).flatMap(openIntent),
    wallMs,
  };
  return {
    database_id: databaseId,
    node_name: nodeName,
    cases: cases.map((ids) => {
      const { primary, members, ...rest } = explainLoss(facts, ids);
      return {
        lost: [...ids],
        ...(primary === null ? {} : { primary_instance_id: primary }),
        ...rest,
        members: members.map((member) => ({ ...member })),
      };
    }),
  };
}

/** The instances that are named, and those on the hosts that are. Throws invalid_input for what is not there. */
function deadOf(node: NodeView, { instanceIds, hostIds }: Losses): readonly string[] {
  const unknown = [
    ...instanceIds
      .filter((wanted) => !node.instances.some(({ id }) => id === wanted))
      .map((id) => ({ path: "instance_id", message: `node ${node.name} has no instance ${id}` })),
    ...hostIds
      .filter((wanted) => !node.instances.some(({ hostId }) => hostId === wanted))
      .map((id) => ({ path: "host_id", message: `node ${node.name} has nothing on host ${id}` })),
  ];
  if (unknown.length > 0) {
    throw invalidInput(unknown.map((problem) => ({ ...problem, code: "unknown" })));
  }
  return node.instances
    .filter(({ id, hostId }) => instanceIds.includes(id) || hostIds.includes(hostId))
    .map(({ id }) => id);
}

function silentOf({ instances }: NodeView, nowMs: number): readonly string[] {
  return instances
    .filter(({ report }) => !report || nowMs - report.observed_at_ms > instanceReportStaleMs)
    .map(({ id }) => id);
}

function openIntent(intent: StoredIntent): readonly HaIntent[] {
  const { id, payload, state, notBeforeMs, expiresAtMs } = intent;
  if (state !== "pending" && state !== "running") return [];
  return [{ id, payload, state, not_before_ms: notBeforeMs, expires_at_ms: expiresAtMs }];
}
