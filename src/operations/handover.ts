// POST …/nodes/{node}/switchover and …/failover: another instance becomes the primary. What can be refused is refused
// here; the task then asks the keepers, waits for what they make of it, and can be canceled until they begin.
import { planFailover, planSwitchover } from "../plan/handover-plans.ts";
import type { Plan } from "../plan/resource.ts";
import { judge } from "../plan/successor.ts";
import type {
  FailoverDatabaseNodeRequest2,
  SwitchoverDatabaseNodeRequestBody,
} from "../spec/requests.ts";
import type { Task } from "../spec/task.ts";
import type { DatabaseRecord } from "../store/databases.ts";
import { noHandoverGuard } from "../store/ha-intents.ts";
import type { ObservedInstance } from "../store/instances.ts";
import { idleDatabaseGuard, insertTask, noScheduledGuard } from "../store/tasks.ts";
import { accept, newTask, repeatedly } from "./accept.ts";
import { existingDatabase } from "./before.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import type { NodePlace } from "./node-operations.ts";
import {
  groupNode,
  type NodeView,
  namedCandidate,
  primaryOf,
  standbysOf,
  viewNodes,
} from "./node-view.ts";
import { sound } from "./prepare-change.ts";
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";
import { futureTime } from "./scheduled.ts";
import { checkModifiable } from "./update-database.ts";

/** Planned: nothing is lost. At once, or at a time to come. */
export async function switchoverNode(
  deps: OperationsDeps,
  { databaseId, nodeName }: NodePlace,
  request: SwitchoverDatabaseNodeRequestBody,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  return repeatedly(async () => {
    const nowMs = deps.clock.nowMs();
    const { record, node, candidate } = await look(
      deps,
      runtime,
      { databaseId, nodeName },
      request,
    );
    const at = request.scheduled_at;
    const notBeforeMs = at === undefined ? undefined : futureTime(deps, "scheduled_at", at);
    const primary = primaryOf(node, nowMs);
    if (!primary) {
      throw new OperationError(
        "not_found",
        `node ${nodeName} has no primary now: wait for the standbys to elect one, or order a failover`,
      );
    }
    const plan = planSwitchover({
      databaseId,
      nodeName,
      parentGeneration: record.generation,
      hostId: primary.hostId,
      inputs: { candidates: candidates(node, candidate, primary.id), any_lag: false },
    });
    if (notBeforeMs === undefined && candidate?.id !== primary.id) {
      refuseWithout(node, nowMs, { candidate, anyLag: false });
    }
    return acceptHandover(deps, runtime, {
      record,
      node,
      plan,
      candidate,
      ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
    });
  });
}

/** For a primary that is lost. Refused while it is healthy, unless that is not to be looked at. */
export async function failoverNode(
  deps: OperationsDeps,
  { databaseId, nodeName }: NodePlace,
  request: FailoverDatabaseNodeRequest2,
): Promise<Task> {
  const runtime = runtimeOf(deps);
  const anyLag = request.skip_validation ?? false;
  return repeatedly(async () => {
    const nowMs = deps.clock.nowMs();
    const { record, node, candidate } = await look(
      deps,
      runtime,
      { databaseId, nodeName },
      request,
    );
    const primary = primaryOf(node, nowMs);
    if (primary && !anyLag) {
      const message = `the primary ${primary.id} is healthy`;
      const hint = "order a switchover, or skip the validation";
      throw invalidInput([{ path: "node_name", code: "healthy", message, hint }]);
    }
    refuseWithout(node, nowMs, { candidate, anyLag });
    const plan = planFailover({
      databaseId,
      nodeName,
      parentGeneration: record.generation,
      hostId: (candidate ?? node.instances[0])?.hostId ?? "",
      inputs: {
        candidates: candidates(node, candidate, node.lease?.holder ?? undefined),
        any_lag: anyLag,
      },
    });
    return acceptHandover(deps, runtime, { record, node, plan, candidate });
  });
}

interface Looked {
  readonly record: DatabaseRecord;
  readonly node: ReturnType<typeof groupNode>;
  readonly candidate: ObservedInstance | undefined;
}

async function look(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  { databaseId, nodeName }: NodePlace,
  { candidate_instance_id: named }: { readonly candidate_instance_id?: string },
): Promise<Looked> {
  const record = await existingDatabase(runtime, databaseId);
  checkModifiable(record);
  const nodes = await viewNodes(runtime.store.db, databaseId);
  const node = groupNode(nodes, record, nodeName);
  const candidate =
    named === undefined ? undefined : namedCandidate(node, nodes, named, deps.clock.nowMs());
  return { record, node, candidate };
}

/** The one that was named, otherwise any that is not primary already. */
function candidates(
  node: NodeView,
  candidate: ObservedInstance | undefined,
  primary: string | undefined,
): string[] {
  if (candidate) return [candidate.id];
  return node.instances.flatMap(({ id }) => (id === primary ? [] : [id]));
}

/** Throws invalid_input when nobody, or not the one that was named, could take over. */
function refuseWithout(
  node: ReturnType<typeof groupNode>,
  nowMs: number,
  asked: { readonly candidate: ObservedInstance | undefined; readonly anyLag: boolean },
): void {
  const standbys = standbysOf(node, nowMs).filter(
    ({ instanceId }) => asked.candidate === undefined || instanceId === asked.candidate.id,
  );
  const judged = judge(standbys, {
    lease: node.lease,
    maximumLagBytes: node.group.settings.maximum_lag_bytes,
    anyLag: asked.anyLag,
  });
  if (judged.some(({ problem }) => problem === undefined)) return;
  throw invalidInput(
    judged.map(({ instanceId, problem = "" }) => ({
      path: asked.candidate ? "candidate_instance_id" : "node_name",
      code: "no_candidate",
      message: `${instanceId} cannot become primary: ${problem}`,
    })),
  );
}

interface Handover {
  readonly record: DatabaseRecord;
  readonly node: NodeView;
  readonly plan: Plan;
  readonly candidate: ObservedInstance | undefined;
  readonly notBeforeMs?: number;
}

async function acceptHandover(
  deps: OperationsDeps,
  { store, ...runtime }: ClusterRuntime,
  { record, node, plan, candidate, notBeforeMs }: Handover,
): Promise<Task | "again"> {
  const { db } = store;
  const { id: databaseId } = record;
  const type = plan.kind === "failover" ? "failover" : "switchover";
  const task = newTask(deps, {
    scope: "database",
    databaseId,
    type,
    plan: sound(plan, []),
    nodeName: node.name,
    ...(candidate ? { instanceId: candidate.id } : {}),
    ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
  });
  const now = notBeforeMs === undefined;
  const end = await accept(deps, { store, ...runtime }, databaseId, {
    guards: [
      ...(now ? [idleDatabaseGuard(db, databaseId)] : []),
      ...(now ? [noHandoverGuard(db, databaseId, node.name, deps.clock.nowMs())] : []),
      ...(type === "switchover" ? [noScheduledGuard(db, databaseId, node.name, type)] : []),
    ],
    statements: [insertTask(db, task)],
  });
  return end === "again" ? end : presentTask(task);
}
