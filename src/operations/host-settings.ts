// What users say of a host: labels, addresses for clients, maintenance.
import type { Diagnostic } from "../base/result.ts";
import type { Host, MaintenanceRequest, UpdateHostRequest } from "../spec/host.ts";
import { validateLabels } from "../spec/host-labels.ts";
import {
  type HostSettings,
  hostSettingsGuard,
  loadHostSettings,
  type StoredHostSettings,
  saveHostSettings,
} from "../store/host-settings.ts";
import { listHosts } from "../store/hosts.ts";
import { listInstances } from "../store/instances.ts";
import { repeatedly } from "./accept.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { refuse } from "./prepare-change.ts";
import { presentHost } from "./present-host.ts";
import { runtimeOf } from "./runtime.ts";

/** PATCH /v1/hosts/{id}. Databases follow another address with their next change. */
export function updateHost(
  deps: OperationsDeps,
  hostId: string,
  request: UpdateHostRequest,
): Promise<Host> {
  return change(deps, hostId, async (before) => {
    const labels = mergeLabels(before.labels, request.labels ?? {});
    refuse(validateLabels(request.labels ?? {}, labels));
    const { client_addresses: addresses = before.clientAddresses } = request;
    return { ...before, labels, clientAddresses: addresses };
  });
}

/** From now on the host gets no new instances; with `drain` those that are there leave, or all is refused. */
export function startMaintenance(
  deps: OperationsDeps,
  hostId: string,
  { reason, drain }: MaintenanceRequest,
): Promise<Host> {
  return change(deps, hostId, async (before) => {
    if (drain) await refuseDrain(runtimeOf(deps), hostId);
    const sinceMs = before.maintenance?.sinceMs ?? deps.clock.nowMs();
    return { ...before, maintenance: { sinceMs, reason: reason ?? null } };
  });
}

export function endMaintenance(deps: OperationsDeps, hostId: string): Promise<Host> {
  return change(deps, hostId, async (before) => ({ ...before, maintenance: null }));
}

async function change(
  deps: OperationsDeps,
  hostId: string,
  next: (before: StoredHostSettings) => Promise<HostSettings>,
): Promise<Host> {
  const { store } = runtimeOf(deps);
  return repeatedly(async () => {
    const [known] = await listHosts(store.db, [hostId]);
    if (!known) throw new OperationError("not_found", `host ${hostId} does not exist`);
    const before = await loadHostSettings(store.db, hostId);
    const { generation } = before;
    const after = { ...(await next(before)), generation };
    const outcome = await store.commit({
      opId: deps.ids.uuid(),
      guards: [hostSettingsGuard(store.db, hostId, generation)],
      statements: [saveHostSettings(store.db, hostId, after)],
    });
    if (!outcome.ok) return "again";
    const [host] = await listHosts(store.db, [hostId]);
    return host ? presentHost(host, deps.clock.nowMs()) : "again";
  });
}

function mergeLabels(
  before: HostSettings["labels"],
  wanted: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const labels: Record<string, string> = { ...before };
  for (const [key, value] of Object.entries(wanted)) {
    if (value === null) delete labels[key];
    else labels[key] = value;
  }
  return labels;
}

/** Throws operation_not_supported with every instance that cannot leave the host. */
async function refuseDrain({ store }: ClusterRuntime, hostId: string): Promise<void> {
  const instances = await listInstances(store.db);
  const here = instances.filter((instance) => instance.hostId === hostId);
  const problems: readonly Diagnostic[] = here.map(({ id, databaseId, nodeName }) => {
    const elsewhere = instances.some(
      (each) =>
        each.databaseId === databaseId && each.nodeName === nodeName && each.hostId !== hostId,
    );
    return {
      path: "drain",
      code: "cannot_move",
      message: elsewhere
        ? `database ${databaseId}: instance ${id} of ${nodeName} does not leave by itself`
        : `database ${databaseId}: ${nodeName} has no other instance than ${id} that could take its place`,
      hint: elsewhere
        ? `take ${hostId} out of the host_ids of ${nodeName}, or leave out drain`
        : "add an instance of the node on another host first, or leave out drain",
    };
  });
  if (problems.length === 0) return;
  const message = problems.map((each) => each.message).join("\n");
  throw new OperationError("operation_not_supported", message, problems);
}
