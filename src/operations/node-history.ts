// GET …/nodes/{node}/history: who was primary when, why, and what was lost.
import { rfc3339 } from "../base/clock.ts";
import type { NodeHistory } from "../spec/topology.ts";
import { listEpochs } from "../store/ha-nodes.ts";
import { listInstances } from "../store/instances.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput } from "./errors.ts";
import type { NodePlace } from "./node-operations.ts";
import { runtimeOf } from "./runtime.ts";

/** Newest first. A node that never had a standby has none. */
export async function nodeHistory(
  deps: OperationsDeps,
  { databaseId, nodeName }: NodePlace,
): Promise<NodeHistory> {
  const runtime = runtimeOf(deps);
  const { display } = runtime.store;
  const record = await existingDatabase(runtime, databaseId);
  if (!record.spec.nodes.some(({ name }) => name === nodeName)) {
    const message = `database ${databaseId} has no node ${nodeName}`;
    throw invalidInput([{ path: "node_name", code: "unknown", message }]);
  }
  const [epochs, instances] = await Promise.all([
    listEpochs(display, databaseId, nodeName),
    listInstances(display, databaseId),
  ]);
  const hosts = new Map(instances.map(({ id, hostId }) => [id, hostId]));
  const entries = epochs.map((epoch, index) => {
    const next = epochs[index + 1];
    const hostId = hosts.get(epoch.instance_id);
    return {
      epoch: epoch.epoch,
      instance_id: epoch.instance_id,
      ...(hostId === undefined ? {} : { host_id: hostId }),
      timeline: epoch.timeline,
      ...(epoch.from_timeline === null ? {} : { from_timeline: epoch.from_timeline }),
      ...(epoch.switch_lsn === null ? {} : { switch_lsn: epoch.switch_lsn }),
      reason: epoch.reason,
      ...(epoch.lost === null ? {} : { lost: epoch.lost }),
      since: rfc3339(epoch.at_ms),
      ...(next !== undefined ? { until: rfc3339(next.at_ms) } : {}),
    };
  });
  return { database_id: databaseId, node_name: nodeName, entries: entries.toReversed() };
}
