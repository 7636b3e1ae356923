// POST /v1/hosts/{id}/replace: another host takes the place of one that is gone, in every database and in the cluster.
import { must } from "../base/assert.ts";
import { hostReportStaleMs } from "../base/limits.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { ReplaceHostRequest, ReplaceHostResponse } from "../spec/requests.ts";
import { withSettings } from "../store/host-settings.ts";
import { listHosts, type StoredHost } from "../store/hosts.ts";
import type { ObservedInstance } from "../store/instances.ts";
import { insertTask } from "../store/tasks.ts";
import { newHostRemoval, repeatedly } from "./accept.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import { databasesOf, departure, instancesOf } from "./host-departure.ts";
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

/**
 * Accepts the replacement in all databases and of the host, or of nothing. Nodes get a new instance on the
 * other host; the answer says whose data was on the lost one alone.
 */
export async function replaceHost(
  deps: OperationsDeps,
  hostId: string,
  { replacement, force = false }: ReplaceHostRequest,
): Promise<ReplaceHostResponse> {
  const runtime = runtimeOf(deps);
  return repeatedly(async () => {
    const { store } = runtime;
    const stored = await listHosts(store.db);
    const hosts = stored.map(({ record, settings }) => withSettings(record, settings));
    const instances = await instancesOf(runtime, hosts, hostId);
    checkReplacement(deps, stored, { hostId, replacement, force });
    const task = newHostRemoval(deps, hostId, true);
    const others = hosts.filter(({ id }) => id !== hostId);
    const departures = await Promise.all(
      databasesOf(instances).map((databaseId) =>
        departure(deps, runtime, {
          databaseId,
          hostId,
          others,
          parentId: task.id,
          specAfter: (spec) => withReplacement(spec, hostId, replacement),
        }),
      ),
    );
    const outcome = await store.commit({
      opId: deps.ids.uuid(),
      guards: departures.flatMap(({ guards }) => guards),
      statements: [
        ...departures.flatMap(({ statements }) => statements),
        insertTask(store.db, task),
      ],
    });
    if (!outcome.ok) return "again";
    return {
      task: presentTask(task),
      update_database_tasks: departures.map((each) => presentTask(each.task)),
      lost: lossesOf(
        instances,
        departures.map(({ before }) => before),
      ),
    };
  });
}

interface Replacement {
  readonly hostId: string;
  readonly replacement: string;
  readonly force: boolean;
}

/** What is given up with a host that still answers would run on there: that takes `force`. */
function checkReplacement(
  deps: OperationsDeps,
  stored: readonly StoredHost[],
  { hostId, replacement, force }: Replacement,
): void {
  const path = "replacement";
  if (replacement === hostId) {
    throw invalidInput([{ path, code: "same_host", message: "is the host that goes" }]);
  }
  if (!stored.some(({ record }) => record.id === replacement)) {
    const message = `no host has the id ${replacement}`;
    const hint = "let the new host join the cluster first";
    throw invalidInput([{ path, code: "unknown", message, hint }]);
  }
  const { status } = must(
    stored.find(({ record }) => record.id === hostId),
    "the host that goes",
  );
  const silentMs = deps.clock.nowMs() - (status?.updatedAtMs ?? 0);
  if (force || silentMs > hostReportStaleMs) return;
  throw new OperationError(
    "operation_not_supported",
    `host ${hostId} answered ${Math.round(silentMs / 1_000)} seconds ago: what runs there would run on. ` +
      "Give it up with force, or wait until it is unreachable",
  );
}

function withReplacement(spec: DatabaseSpec, hostId: string, replacement: string): DatabaseSpec {
  const replace = <T extends { host_ids: string[] }>(each: T): T => {
    const ids = each.host_ids.map((id) => (id === hostId ? replacement : id));
    return { ...each, host_ids: [...new Set(ids)] };
  };
  return {
    ...spec,
    nodes: spec.nodes.map(replace),
    ...(spec.services ? { services: spec.services.map(replace) } : {}),
  };
}

/** Nodes whose only instance was on the host: their new instance begins empty. */
function lossesOf(
  gone: readonly ObservedInstance[],
  databases: readonly (readonly ObservedInstance[])[],
): ReplaceHostResponse["lost"] {
  const left = databases.flat();
  return gone.flatMap(({ id, databaseId, nodeName }) => {
    const others = left.filter(
      (each) => each.databaseId === databaseId && each.nodeName === nodeName,
    );
    if (others.length > 0) return [];
    const message = `the data of ${nodeName} was on this host alone: the new instance begins empty`;
    return [{ database_id: databaseId, node_name: nodeName, instance_id: id, message }];
  });
}
