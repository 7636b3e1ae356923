// PUT …/topology, and the narrow routes that change one field of it: each is a change of the spec, with its plan.
import { isDeepStrictEqual } from "node:util";
import type { Diagnostic } from "../base/result.ts";
import type { UpdateDatabaseResponse } from "../spec/database.ts";
import type { DatabaseNodeSpec, DatabaseSpec } from "../spec/database-spec.ts";
import type { HaSpec, HaTagsSpec } from "../spec/ha-spec.ts";
import { instanceId } from "../spec/ids.ts";
import type { PlanView } from "../spec/plan-view.ts";
import { problem } from "../spec/problem.ts";
import type {
  SynchronousChange,
  TopologyChange,
  TopologyInstanceChange,
  TopologyNodeChange,
} from "../spec/topology.ts";
import type { DatabaseRecord } from "../store/databases.ts";
import { existingDatabase } from "./before.ts";
import type { OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import type { ChangeOfTopology } from "./node-operations.ts";
import { refuse } from "./prepare-change.ts";
import { runtimeOf } from "./runtime.ts";
import { planUpdate, type UpdateRequest, updateDatabase } from "./update-database.ts";

export async function putTopology(
  deps: OperationsDeps,
  change: ChangeOfTopology,
): Promise<UpdateDatabaseResponse> {
  return updateDatabase(deps, await requestOf(deps, change));
}

/** What putTopology would do. Nothing is written. */
export async function planTopology(
  deps: OperationsDeps,
  change: ChangeOfTopology,
): Promise<PlanView> {
  return planUpdate(deps, await requestOf(deps, change));
}

async function requestOf(
  deps: OperationsDeps,
  { databaseId, change, ifRevision }: ChangeOfTopology,
): Promise<UpdateRequest> {
  const record = await existingDatabase(runtimeOf(deps), databaseId);
  checkRevision(record, ifRevision);
  const { spec, problems } = changedSpec(databaseId, record.spec, change);
  refuse(problems);
  return changeOf(record, spec);
}

/** Throws precondition_failed when a change was made for another revision. */
export function checkRevision(record: DatabaseRecord, ifRevision: number | undefined): void {
  if (ifRevision === undefined || ifRevision === record.generation) return;
  throw new OperationError(
    "precondition_failed",
    `database ${record.id} is at revision ${record.generation}, not ${ifRevision}: look at it again`,
  );
}

/** The update that replaces a spec as it was read, and nothing newer. */
export function changeOf(record: DatabaseRecord, spec: DatabaseSpec): UpdateRequest {
  return {
    databaseId: record.id,
    request: { ...(record.tenantId === null ? {} : { tenant_id: record.tenantId }), spec },
    forceUpdate: false,
    ifGeneration: record.generation,
  };
}

/** The spec with the change in it, and what cannot be changed. */
export function changedSpec(
  databaseId: string,
  before: DatabaseSpec,
  { nodes: changes }: TopologyChange,
): { readonly spec: DatabaseSpec; readonly problems: readonly Diagnostic[] } {
  const spec = structuredClone(before);
  const problems = changes.flatMap((change, index) => {
    const node = spec.nodes.find(({ name }) => name === change.name);
    const path = `nodes[${index}]`;
    if (!node) {
      return [problem(`${path}.name`, "unknown", `the database has no node ${change.name}`)];
    }
    return applyTo(databaseId, spec, node, change, path);
  });
  return { spec, problems };
}

function applyTo(
  databaseId: string,
  spec: DatabaseSpec,
  node: DatabaseNodeSpec,
  change: TopologyNodeChange,
  path: string,
): readonly Diagnostic[] {
  const ha: HaSpec = { ...node.ha, ...synchronousFields(change.synchronous) };
  if (change.maximum_lag_on_failover !== undefined) {
    ha.maximum_lag_on_failover = change.maximum_lag_on_failover;
  }
  const hosts = new Map<string, string>(
    node.host_ids.map((hostId) => [instanceId(databaseId, node.name, hostId), hostId]),
  );
  const problems = (change.instances ?? []).flatMap((instance, index) => {
    const at = `${path}.instances[${index}]`;
    const hostId = hosts.get(instance.instance_id);
    if (hostId === undefined) {
      const message = `node ${node.name} has no instance ${instance.instance_id}`;
      return [problem(`${at}.instance_id`, "unknown", message)];
    }
    return applyToInstance(spec.ha, ha, { hostId, hosts, instance, path: at });
  });
  if (Object.keys(ha).length > 0 && !isDeepStrictEqual(ha, node.ha)) node.ha = ha;
  return problems;
}

interface InstanceWish {
  readonly hostId: string;
  /** Host ids by instance id. */
  readonly hosts: ReadonlyMap<string, string>;
  readonly instance: TopologyInstanceChange;
  readonly path: string;
}

function applyToInstance(
  ofDatabase: HaSpec | undefined,
  ha: HaSpec,
  { hostId, hosts, instance, path }: InstanceWish,
): readonly Diagnostic[] {
  const before = { ...ofDatabase?.tags?.[hostId], ...ha.tags?.[hostId] };
  const tags: HaTagsSpec = { ...(instance.tags ?? before) };
  if (instance.upstream && instance.upstream.instance_id === undefined) {
    delete tags.replicatefrom;
  }
  if (instance.upstream?.instance_id !== undefined) {
    const upstream = hosts.get(instance.upstream.instance_id);
    if (upstream === undefined || upstream === hostId) {
      const message =
        upstream === undefined
          ? "is not an instance of this node"
          : "an instance cannot follow itself";
      return [problem(`${path}.upstream.instance_id`, "conflict", message)];
    }
    tags.replicatefrom = upstream;
  }
  if (!isDeepStrictEqual(tags, before)) ha.tags = { ...ha.tags, [hostId]: tags };
  return [];
}

function synchronousFields(change: SynchronousChange | undefined): HaSpec {
  if (change === undefined) return {};
  const { mode, strict, count, selection, degrade_after } = change;
  return {
    ...(mode === undefined ? {} : { synchronous_mode: mode }),
    ...(strict === undefined ? {} : { synchronous_mode_strict: strict }),
    ...(count === undefined ? {} : { synchronous_node_count: count }),
    ...(selection === undefined ? {} : { synchronous_selection: selection }),
    ...(degrade_after === undefined ? {} : { synchronous_degrade_after: degrade_after }),
  };
}
