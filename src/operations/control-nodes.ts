// The operations on nodes of a real control plane, put together.
import { planTopology, putTopology } from "./change-topology.ts";
import type { OperationsDeps } from "./deps.ts";
import { explainNode } from "./explain-node.ts";
import { failoverNode, switchoverNode } from "./handover.ts";
import {
  askInstance,
  promoteInstance,
  reinitializeInstance,
  rewindInstance,
} from "./instance-verbs.ts";
import { nodeHistory } from "./node-history.ts";
import type { NodeOperations } from "./node-operations.ts";
import { changeSlots, nodeSlots, planSlots } from "./node-slots.ts";
import { pauseNode, resumeNode } from "./pause-node.ts";
import { getTopology } from "./topology.ts";

export function createNodeOperations(deps: OperationsDeps): NodeOperations {
  return {
    switchover: (place, request) => switchoverNode(deps, place, request),
    failover: (place, request) => failoverNode(deps, place, request),
    pause: (place, request) => pauseNode(deps, place, request),
    resume: (place) => resumeNode(deps, place),
    history: (place) => nodeHistory(deps, place),
    explain: (place, losses) => explainNode(deps, place, losses),
    topology: (databaseId) => getTopology(deps, databaseId),
    putTopology: (change) => putTopology(deps, change),
    planTopology: (change) => planTopology(deps, change),
    slots: (place) => nodeSlots(deps, place),
    changeSlots: (change) => changeSlots(deps, change),
    planSlots: (change) => planSlots(deps, change),
    reload: (place) => askInstance(deps, place, "reload"),
    checkpoint: (place) => askInstance(deps, place, "checkpoint"),
    promote: (place) => promoteInstance(deps, place),
    reinitialize: (place, request) => reinitializeInstance(deps, place, request),
    rewind: (place) => rewindInstance(deps, place),
  };
}
