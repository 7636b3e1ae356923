// The operations on nodes of a real control plane, put together.
import type { OperationsDeps } from "./deps.ts";
import { failoverNode, switchoverNode } from "./handover.ts";
import type { NodeOperations } from "./node-operations.ts";

export function createNodeOperations(deps: OperationsDeps): NodeOperations {
  return {
    switchover: (place, request) => switchoverNode(deps, place, request),
    failover: (place, request) => failoverNode(deps, place, request),
  };
}
