// What it takes that a host has no primary any more: a switchover of every node whose primary is there, in the commit
// that begins the maintenance. Standbys stay: nobody writes to them, and they are needed when the host comes back.

import type { Diagnostic } from "../base/result.ts";
import { fail, ok, type Result } from "../base/result.ts";
import { planSwitchover } from "../plan/handover-plans.ts";
import { judge } from "../plan/successor.ts";
import { listInstances } from "../store/instances.ts";
import { idleDatabaseGuard, insertTask } from "../store/tasks.ts";
import { type Acceptance, newTask } from "./accept.ts";
import { existingDatabase } from "./before.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { type NodeView, standbysOf, viewNodes } from "./node-view.ts";
import { sound } from "./prepare-change.ts";
import { checkModifiable } from "./update-database.ts";

/** Tasks for every primary on the host. Throws operation_not_supported with everything that cannot leave. */
export async function drainHost(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  hostId: string,
): Promise<Acceptance> {
  const { db } = runtime.store;
  const here = (await listInstances(db)).filter((instance) => instance.hostId === hostId);
  const databases = [...new Set(here.map(({ databaseId }) => databaseId))];
  const departures = await Promise.all(
    databases.map((databaseId) => leave(deps, runtime, databaseId, hostId)),
  );
  const problems = departures.flatMap((each) => (each.ok ? [] : each.error));
  if (problems.length > 0) {
    const message = problems.map((each) => each.message).join("\n");
    throw new OperationError("operation_not_supported", message, problems);
  }
  const accepted = departures.flatMap((each) => (each.ok ? [each.value] : []));
  return {
    guards: accepted.flatMap(({ guards }) => guards),
    statements: accepted.flatMap(({ statements }) => statements),
  };
}

async function leave(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  databaseId: string,
  hostId: string,
): Promise<Result<Acceptance, readonly Diagnostic[]>> {
  const { db } = runtime.store;
  const record = await existingDatabase(runtime, databaseId);
  const nodes = [...(await viewNodes(db, databaseId)).values()].filter(({ instances }) =>
    instances.some((instance) => instance.hostId === hostId),
  );
  const problems = nodes.flatMap((node) => obstacle(node, databaseId, hostId, deps.clock.nowMs()));
  if (problems.length > 0) return fail(problems);
  const moving = nodes.filter((node) => primaryOn(node, hostId));
  if (moving.length === 0) return ok({ guards: [], statements: [] });
  checkModifiable(record);
  const tasks = moving.map((node) => {
    const plan = planSwitchover({
      databaseId,
      nodeName: node.name,
      parentGeneration: record.generation,
      hostId,
      inputs: { candidates: elsewhere(node, hostId), any_lag: false },
    });
    return newTask(deps, {
      scope: "database",
      databaseId,
      type: "switchover",
      plan: sound(plan, []),
      nodeName: node.name,
    });
  });
  return ok({
    guards: [idleDatabaseGuard(db, databaseId)],
    statements: tasks.map((task) => insertTask(db, task)),
  });
}

function elsewhere(node: NodeView, hostId: string): string[] {
  return node.instances.flatMap((each) => (each.hostId === hostId ? [] : [each.id]));
}

function primaryOn({ lease, instances }: NodeView, hostId: string): boolean {
  return instances.some(({ id, hostId: host }) => host === hostId && id === lease?.holder);
}

/** Why a node cannot do without the host. */
function obstacle(
  node: NodeView,
  databaseId: string,
  hostId: string,
  nowMs: number,
): readonly Diagnostic[] {
  const own = node.instances.find((each) => each.hostId === hostId)?.id ?? "";
  const cannot = (message: string, hint: string): readonly Diagnostic[] => [
    { path: "drain", code: "cannot_move", message: `database ${databaseId}: ${message}`, hint },
  ];
  const others = elsewhere(node, hostId);
  if (node.group === undefined || others.length === 0) {
    return cannot(
      `${node.name} has no other instance than ${own} that could take its place`,
      "add an instance of the node on another host first, or leave out drain",
    );
  }
  if (!primaryOn(node, hostId)) return [];
  const judged = judge(
    standbysOf(node, nowMs).filter(({ instanceId }) => others.includes(instanceId)),
    {
      lease: node.lease,
      maximumLagBytes: node.group.settings.maximum_lag_bytes,
      anyLag: false,
    },
  );
  if (judged.some(({ problem }) => problem === undefined)) return [];
  const why = judged.map(({ instanceId, problem }) => `${instanceId}: ${problem}`).join("; ");
  return cannot(
    `nobody can take the place of the primary ${own} of ${node.name}: ${why}`,
    "mend its standbys first, or leave out drain",
  );
}
