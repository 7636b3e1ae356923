// POST …/instances/{id}/reload, /checkpoint, /promote and /reinitialize.
import { planCheckpoint, planReinitialize, planReload } from "../plan/instance-plans.ts";
import type { Task } from "../spec/task.ts";
import type { ReinitializeRequest } from "../spec/topology.ts";
import { instanceExistsGuard } from "../store/instances.ts";
import { idleDatabaseGuard } from "../store/tasks.ts";
import { repeatedly } from "./accept.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput } from "./errors.ts";
import { switchoverNode } from "./handover.ts";
import { acceptInstanceTask, checkState, existingInstance } from "./instance-task.ts";
import type { InstancePlace } from "./node-operations.ts";
import { groupNode, namedCandidate, primaryOf, viewNodes } from "./node-view.ts";
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
  { databaseId, instanceId }: InstancePlace,
  { from }: ReinitializeRequest,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  const { db } = runtime.store;
  return repeatedly(async () => {
    const record = await existingDatabase(runtime, databaseId);
    const instance = await existingInstance(runtime, databaseId, instanceId);
    const nodes = await viewNodes(db, databaseId);
    const node = groupNode(nodes, record, instance.nodeName);
    const nowMs = deps.clock.nowMs();
    if (node.lease?.holder === instanceId) {
      const message = `${instanceId} is the primary: make another instance the primary first`;
      throw invalidInput([{ path: "instance_id", code: "conflict", message }]);
    }
    if (!primaryOf(node, nowMs)) {
      const message = `node ${node.name} has no primary now, so there is nothing to copy`;
      throw invalidInput([{ path: "instance_id", code: "no_primary", message }]);
    }
    if (from === instanceId) {
      const message = "an instance cannot be copied from itself";
      throw invalidInput([{ path: "from", code: "conflict", message }]);
    }
    if (from !== undefined) namedCandidate(node, nodes, from, nowMs, "from");
    return acceptInstanceTask(deps, runtime, {
      record,
      instance,
      kind: "reinitialize_instance",
      makePlan: (input) => planReinitialize(input, from),
      acceptance: () => ({
        guards: [instanceExistsGuard(db, instanceId), idleDatabaseGuard(db, databaseId)],
        statements: [],
      }),
    });
  });
}
