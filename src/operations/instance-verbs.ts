// POST …/instances/{id}/reload, /checkpoint, /promote, /reinitialize and /rewind.
import {
  type InstancePlanInput,
  planCheckpoint,
  planReinitialize,
  planReload,
  planRewind,
} from "../plan/instance-plans.ts";
import type { Task } from "../spec/task.ts";
import type { ReinitializeRequest } from "../spec/topology.ts";
import { instanceExistsGuard } from "../store/instances.ts";
import { idleDatabaseGuard } from "../store/tasks.ts";
import { repeatedly } from "./accept.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput } from "./errors.ts";
import { switchoverNode } from "./handover.ts";
import {
  acceptInstanceTask,
  checkState,
  existingInstance,
  type InstanceWork,
} from "./instance-task.ts";
import type { InstancePlace } from "./node-operations.ts";
import { groupNode, type NodeView, namedCandidate, primaryOf, viewNodes } from "./node-view.ts";
import { runtimeOf } from "./runtime.ts";

const QUICK = {
  reload: { kind: "reload_instance", makePlan: planReload },
  checkpoint: { kind: "checkpoint_instance", makePlan: planCheckpoint },
} as const;

/** What PostgreSQL of a running instance does at once, whatever its role. */
export async function askInstance(
  deps: OperationsDeps,
  { databaseId, instanceId }: InstancePlace,
  verb: keyof typeof QUICK,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  const { db } = runtime.store;
  return repeatedly(async () => {
    const record = await existingDatabase(runtime, databaseId);
    const instance = await existingInstance(runtime, databaseId, instanceId);
    checkState(instance, ["available"], deps.clock.nowMs());
    return acceptInstanceTask(deps, runtime, {
      record,
      instance,
      ...QUICK[verb],
      acceptance: () => ({
        guards: [instanceExistsGuard(db, instanceId), idleDatabaseGuard(db, databaseId)],
        statements: [],
      }),
    });
  });
}

/** A switchover to the instance. */
export async function promoteInstance(
  deps: OperationsDeps,
  { databaseId, instanceId }: InstancePlace,
): Promise<Task> {
  const { nodeName } = await existingInstance(runtimeOf(deps), databaseId, instanceId);
  return switchoverNode(deps, { databaseId, nodeName }, { candidate_instance_id: instanceId });
}

/** A standby gets a new copy of the data. Refused for the primary: there would be nothing to copy. */
export async function reinitializeInstance(
  deps: OperationsDeps,
  place: InstancePlace,
  { from }: ReinitializeRequest,
): Promise<Task> {
  return careForStandby(deps, place, (node, nodes) => {
    if (from === place.instanceId) {
      const message = "an instance cannot be copied from itself";
      throw invalidInput([{ path: "from", code: "conflict", message }]);
    }
    if (from !== undefined) namedCandidate(node, nodes, from, deps.clock.nowMs(), "from");
    const makePlan = (input: InstancePlanInput) => planReinitialize(input, from);
    return { kind: "reinitialize_instance", makePlan };
  });
}

/** A standby's data is turned back to its primary's history. Refused for the primary: the history is its own. */
export async function rewindInstance(deps: OperationsDeps, place: InstancePlace): Promise<Task> {
  return careForStandby(deps, place, () => ({ kind: "rewind_instance", makePlan: planRewind }));
}

type Nodes = Awaited<ReturnType<typeof viewNodes>>;

/** What is done to the data of a standby, with a primary that is there. */
async function careForStandby(
  deps: OperationsDeps,
  { databaseId, instanceId }: InstancePlace,
  work: (node: NodeView, nodes: Nodes) => Pick<InstanceWork, "kind" | "makePlan">,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  const { db } = runtime.store;
  return repeatedly(async () => {
    const record = await existingDatabase(runtime, databaseId);
    const instance = await existingInstance(runtime, databaseId, instanceId);
    const nodes = await viewNodes(db, databaseId);
    const node = groupNode(nodes, record, instance.nodeName);
    if (node.lease?.holder === instanceId) {
      const message = `${instanceId} is the primary: make another instance the primary first`;
      throw invalidInput([{ path: "instance_id", code: "conflict", message }]);
    }
    if (!primaryOf(node, deps.clock.nowMs())) {
      const message = `node ${node.name} has no primary now, so there is nothing to go by`;
      throw invalidInput([{ path: "instance_id", code: "no_primary", message }]);
    }
    return acceptInstanceTask(deps, runtime, {
      record,
      instance,
      ...work(node, nodes),
      acceptance: () => ({
        guards: [instanceExistsGuard(db, instanceId), idleDatabaseGuard(db, databaseId)],
        statements: [],
      }),
    });
  });
}
