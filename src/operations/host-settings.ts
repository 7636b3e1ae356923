// What users say of a host: labels, addresses for clients, maintenance.
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
import { type Acceptance, repeatedly } from "./accept.ts";
import type { OperationsDeps } from "./deps.ts";
import { drainHost } from "./drain-host.ts";
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

/** From now on the host gets no new instances; with `drain` primaries that are there move away, or all is refused. */
export function startMaintenance(
  deps: OperationsDeps,
  hostId: string,
  { reason, drain }: MaintenanceRequest,
): Promise<Host> {
  const runtime = runtimeOf(deps);
  return change(
    deps,
    hostId,
    async (before) => {
      const sinceMs = before.maintenance?.sinceMs ?? deps.clock.nowMs();
      return { ...before, maintenance: { sinceMs, reason: reason ?? null } };
    },
    drain ? () => drainHost(deps, runtime, hostId) : undefined,
  );
}

export function endMaintenance(deps: OperationsDeps, hostId: string): Promise<Host> {
  return change(deps, hostId, async (before) => ({ ...before, maintenance: null }));
}

async function change(
  deps: OperationsDeps,
  hostId: string,
  next: (before: StoredHostSettings) => Promise<HostSettings>,
  /** What happens in the same commit. */
  also: () => Promise<Acceptance> = async () => ({ guards: [], statements: [] }),
): Promise<Host> {
  const { store } = runtimeOf(deps);
  return repeatedly(async () => {
    const [known] = await listHosts(store.db, [hostId]);
    if (!known) throw new OperationError("not_found", `host ${hostId} does not exist`);
    const before = await loadHostSettings(store.db, hostId);
    const { generation } = before;
    const after = { ...(await next(before)), generation };
    const { guards, statements } = await also();
    const outcome = await store.commit({
      opId: deps.ids.uuid(),
      guards: [hostSettingsGuard(store.db, hostId, generation), ...guards],
      statements: [saveHostSettings(store.db, hostId, after), ...statements],
    });
    if (!outcome.ok && outcome.conflict === "database_idle") {
      const message = `a task works on a database of host ${hostId}: wait for it or cancel it`;
      throw new OperationError("operation_already_in_progress", message);
    }
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
