// A node as operations look at it: its instances with their reports, its lease, its members, and who could take over.
import { instanceReportStaleMs } from "../base/limits.ts";
import type { Standby } from "../plan/successor.ts";
import type { InstanceHa } from "../spec/instance-config.ts";
import type { DatabaseRecord } from "../store/databases.ts";
import type { StoreDb } from "../store/db.ts";
import { loadNodes, type NodeRows } from "../store/ha-nodes.ts";
import { listInstances, type ObservedInstance } from "../store/instances.ts";
import { invalidInput, OperationError } from "./errors.ts";
import { instanceState } from "./present-instance.ts";

export interface NodeView extends NodeRows {
  readonly name: string;
  /** In the order of their ids. */
  readonly instances: readonly ObservedInstance[];
  /** From the newest configuration of any instance; absent where the node has one, and never had more. */
  readonly group: InstanceHa | undefined;
}

/** All nodes of a database that have instances, by name. */
export async function viewNodes(
  db: StoreDb,
  databaseId: string,
): Promise<ReadonlyMap<string, NodeView>> {
  const [rows, instances] = await Promise.all([
    loadNodes(db, databaseId),
    listInstances(db, databaseId),
  ]);
  const byNode = Map.groupBy(instances, ({ nodeName }) => nodeName);
  return new Map(
    [...byNode].map(([name, ofNode]) => {
      const newest = ofNode.toSorted((a, b) => b.generation - a.generation);
      const { lease, members = new Map() } = rows.get(name) ?? { lease: undefined };
      const group = newest.find(({ config }) => config?.ha)?.config?.ha;
      return [name, { name, instances: ofNode, lease, members, group }];
    }),
  );
}

/** A node whose primary can change. Throws invalid_input for an unknown one, and for one without standbys. */
export function groupNode(
  nodes: ReadonlyMap<string, NodeView>,
  record: DatabaseRecord,
  nodeName: string,
): NodeView & { readonly group: NonNullable<NodeView["group"]> } {
  const node = nodes.get(nodeName);
  if (!node || !record.spec.nodes.some(({ name }) => name === nodeName)) {
    const known = record.spec.nodes.map(({ name }) => name).join(", ");
    const message = `database ${record.id} has no node ${nodeName}`;
    throw invalidInput([
      { path: "node_name", code: "unknown", message, hint: `its nodes: ${known}` },
    ]);
  }
  if (node.group !== undefined && node.instances.length > 1) {
    return { ...node, group: node.group };
  }
  const message = `node ${nodeName} has one instance: there is no other that could be its primary`;
  throw invalidInput([
    { path: "node_name", code: "no_standby", message, hint: "add a host to its host_ids" },
  ]);
}

/** The instance that is primary now, by its lease and by what its keeper saw; undefined = nobody is known to be. */
export function primaryOf(node: NodeView, nowMs: number): ObservedInstance | undefined {
  const holder = node.instances.find(({ id }) => id === node.lease?.holder);
  return holder && isFresh(holder, nowMs) && holder.report?.role === "primary" ? holder : undefined;
}

/** Every instance but the primary, with what is known of it. */
export function standbysOf(node: NodeView, nowMs: number): readonly Standby[] {
  return node.instances
    .filter(({ id }) => id !== node.lease?.holder)
    .map((instance): Standby => {
      const member = node.members.get(instance.id);
      return {
        instanceId: instance.id,
        ...(instance.report ? { report: instance.report } : {}),
        isFresh: isFresh(instance, nowMs),
        ...(member ? { member } : {}),
        tags:
          node.group?.members.find(({ instance_id }) => instance_id === instance.id)?.tags ?? {},
      };
    });
}

/** The instance that a request names, checked as the routes say: it exists, is of this node, and is available. */
export function namedCandidate(
  node: NodeView,
  all: ReadonlyMap<string, NodeView>,
  candidate: string,
  nowMs: number,
  path = "candidate_instance_id",
): ObservedInstance {
  const found = node.instances.find(({ id }) => id === candidate);
  if (!found) {
    const elsewhere = [...all.values()].some(({ instances }) =>
      instances.some(({ id }) => id === candidate),
    );
    if (!elsewhere) {
      throw new OperationError("not_found", `there is no instance ${candidate} of this database`);
    }
    const ids = node.instances.map(({ id }) => id).join(", ");
    const message = `instance ${candidate} does not belong to node ${node.name}`;
    throw invalidInput([{ path, code: "conflict", message, hint: `its instances: ${ids}` }]);
  }
  const state = instanceState(found.state, found.report, nowMs);
  if (state === "available") return found;
  throw invalidInput([
    { path, code: "unavailable", message: `instance ${candidate} is ${state}, not available` },
  ]);
}

function isFresh({ report }: ObservedInstance, nowMs: number): boolean {
  return report !== undefined && nowMs - report.observed_at_ms <= instanceReportStaleMs;
}
