// DELETE /v1/hosts/{id}: the host leaves the cluster, and with `force` every database leaves the host first.
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { HostRecord } from "../spec/host.ts";
import type { RemoveHostResponse } from "../spec/requests.ts";
import { listPlaces } from "../store/hosts.ts";
import { hostEmptyGuard } from "../store/instances.ts";
import { insertTask } from "../store/tasks.ts";
import { newHostRemoval, repeatedly } from "./accept.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { invalidInput } from "./errors.ts";
import { databasesOf, departure, instancesOf } from "./host-departure.ts";
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

/**
 * Accepts the removal: of the host and from all its databases, or of nothing. What a database has there is
 * given up; one that has nothing elsewhere is deleted.
 */
export async function removeHost(
  deps: OperationsDeps,
  hostId: string,
  force: boolean,
): Promise<RemoveHostResponse> {
  const runtime = runtimeOf(deps);
  return repeatedly(async () => {
    const { store } = runtime;
    const hosts = await listPlaces(store.db);
    const databaseIds = await checkRemoval(runtime, hosts, hostId, force);
    const task = newHostRemoval(deps, hostId, force);
    const others = hosts.filter(({ id }) => id !== hostId);
    const departures = await Promise.all(
      databaseIds.map((id) =>
        departure(deps, runtime, {
          databaseId: id,
          hostId,
          others,
          parentId: task.id,
          specAfter: (spec) => specWithout(spec, hostId),
        }),
      ),
    );
    const outcome = await store.commit({
      opId: deps.ids.uuid(),
      guards: [
        ...departures.flatMap(({ guards }) => guards),
        ...(force ? [] : [hostEmptyGuard(store.db, hostId)]),
      ],
      statements: [
        ...departures.flatMap(({ statements }) => statements),
        insertTask(store.db, task),
      ],
    });
    if (!outcome.ok) return "again";
    return {
      task: presentTask(task),
      update_database_tasks: departures.map((each) => presentTask(each.task)),
    };
  });
}

/** The databases that have to leave first. Throws the declared error of what does not allow the removal. */
async function checkRemoval(
  runtime: ClusterRuntime,
  hosts: readonly HostRecord[],
  hostId: string,
  force: boolean,
): Promise<readonly string[]> {
  const databaseIds = databasesOf(await instancesOf(runtime, hosts, hostId));
  if (!force && databaseIds.length > 0) {
    const message = `host ${hostId} has instances of ${databaseIds.join(", ")}`;
    const hint = "move or delete them first, or give them up with force";
    throw invalidInput([{ path: "host_id", code: "in_use", message, hint }]);
  }
  return databaseIds;
}

/** Nodes and services that are left without a host go too. */
function specWithout(spec: DatabaseSpec, hostId: string): DatabaseSpec {
  const leave = <T extends { host_ids: string[] }>(each: T): readonly T[] => {
    const host_ids = each.host_ids.filter((id) => id !== hostId);
    return host_ids.length === 0 ? [] : [{ ...each, host_ids }];
  };
  return {
    ...spec,
    nodes: spec.nodes.flatMap(leave),
    ...(spec.services ? { services: spec.services.flatMap(leave) } : {}),
  };
}
