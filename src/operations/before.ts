// What exists of a database before it is changed: rows, resources, and what hosts and keepers show of them.
import { messageOf } from "../base/errors.ts";
import { hostObservationTimeoutMs, instanceReportStaleMs } from "../base/limits.ts";
import type { ObservedDatabase } from "../plan/observed.ts";
import { factsOf } from "../plan/placement.ts";
import type { StoredResource } from "../plan/resource.ts";
import type { HostRecord } from "../spec/host.ts";
import { type DatabaseRecord, loadDatabase } from "../store/databases.ts";
import { leasedNodes } from "../store/ha-nodes.ts";
import { listInstances, type ObservedInstance } from "../store/instances.ts";
import { listResources } from "../store/resources.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";

/** What exists of the database before the change. */
export interface Before {
  readonly record: DatabaseRecord;
  readonly instances: readonly ObservedInstance[];
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
  /** Nodes with a lease. */
  readonly leased: ReadonlySet<string>;
}

/** The database, or not_found. */
export async function existingDatabase(
  runtime: ClusterRuntime,
  databaseId: string,
): Promise<DatabaseRecord> {
  const record = await loadDatabase(runtime.store.db, runtime.sealer, databaseId);
  if (record) return record;
  throw new OperationError("not_found", `database ${databaseId} does not exist`);
}

/** Everything about it. A host that does not answer in time is left out of what was observed. */
export async function lookAt(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  record: DatabaseRecord,
  hosts: readonly HostRecord[],
): Promise<Before> {
  const { db } = runtime.store;
  const [instances, stored, leased] = await Promise.all([
    listInstances(db, record.id),
    listResources(db, record.id),
    leasedNodes(db, record.id),
  ]);
  const observed = await observe(deps, runtime, instances, hosts);
  return { record, instances, stored, observed, leased };
}

/** The same as if nothing had ever been on these hosts. */
export function withoutHosts(before: Before, hostIds: readonly string[]): Before {
  if (hostIds.length === 0) return before;
  const stays = ({ hostId }: { readonly hostId: string }) => !hostIds.includes(hostId);
  const instances = before.instances.filter(stays);
  const ids = new Set(instances.map(({ id }) => id));
  const { absentKeepers, pendingRestart, primaries } = before.observed;
  const known = (of: ReadonlySet<string>) => new Set([...of].filter((id) => ids.has(id)));
  return {
    record: before.record,
    // Where nothing is left of a node, its lease is forgotten with its instances.
    leased: new Set(
      [...before.leased].filter((node) => instances.some(({ nodeName }) => nodeName === node)),
    ),
    instances,
    stored: before.stored.filter(stays),
    observed: {
      absentKeepers: known(absentKeepers),
      pendingRestart: known(pendingRestart),
      primaries: new Map([...primaries].filter(([, id]) => ids.has(id))),
    },
  };
}

async function observe(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  instances: readonly ObservedInstance[],
  hosts: readonly HostRecord[],
): Promise<ObservedDatabase> {
  const nowMs = deps.clock.nowMs();
  const fresh = instances.filter(
    ({ report }) => report && nowMs - report.observed_at_ms <= instanceReportStaleMs,
  );
  const used = new Set(instances.map(({ hostId }) => hostId));
  const absent = await Promise.all(
    hosts.filter(({ id }) => used.has(id)).map((host) => absentOn(deps, runtime, host, instances)),
  );
  return {
    absentKeepers: new Set(absent.flat()),
    pendingRestart: new Set(
      fresh.flatMap(({ id, report }) => (report?.pending_restart ? [id] : [])),
    ),
    primaries: new Map(
      fresh.flatMap(({ id, nodeName, report }) =>
        report?.role === "primary" ? [[nodeName, id] as const] : [],
      ),
    ),
  };
}

async function absentOn(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  host: HostRecord,
  instances: readonly ObservedInstance[],
): Promise<readonly string[]> {
  const driver = runtime.driver(host.orchestrator);
  const facts = factsOf(host);
  const signal = deps.clock.deadline(hostObservationTimeoutMs);
  try {
    const executor = await runtime.executor(host.id);
    if (!executor || !driver) return [];
    const seen = await driver.observe({ executor, host: facts, signal });
    const whole = new Set(
      seen
        .filter(({ keeper, fencer }) => keeper !== "absent" && fencer !== "absent")
        .map(({ instanceId }) => instanceId),
    );
    return instances
      .filter(({ hostId, id }) => hostId === host.id && !whole.has(id))
      .map(({ id }) => id);
  } catch (error) {
    deps.log.warn("could not observe a host", { hostId: host.id, error: messageOf(error) });
    return [];
  }
}
