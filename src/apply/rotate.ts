// Replaces certificates before they end and has PostgreSQL load them. A duty of the worker beside its tasks.
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import { certificateInputs } from "../plan/inputs.ts";
import type { StoredResource } from "../plan/resource.ts";
import { type DatabaseRecord, listDatabases } from "../store/databases.ts";
import { instanceExistsGuard, loadInstance } from "../store/instances.ts";
import { askKeeper } from "../store/keeper-requests.ts";
import { listResources } from "../store/resources.ts";
import type { Store } from "../store/store.ts";
import { ensureCertificates } from "./certificates.ts";
import type { Lease } from "./lease.ts";
import type { StepDeps } from "./step-deps.ts";

export type RotateDeps = Pick<StepDeps, "executor" | "issuer"> & {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
};

/** A database whose last change failed goes on serving, so its certificates must not end either. */
const SETTLED: readonly DatabaseRecord["state"][] = ["available", "degraded", "failed", "unknown"];

/** One round over all databases that no task is changing. An instance that fails does not hold up the others. */
export async function rotateCertificates(deps: RotateDeps, lease: Lease): Promise<void> {
  for (const database of await listDatabases(deps.store.db)) {
    if (!SETTLED.includes(database.state)) continue;
    for (const resource of await listResources(deps.store.db, database.id)) {
      if (resource.kind !== "common.postgres_certs" || resource.state !== "applied") continue;
      lease.lost.throwIfAborted();
      try {
        await rotate(deps, lease, resource);
      } catch (error) {
        deps.log.warn("could not rotate certificates", {
          instanceId: resource.id,
          error: messageOf(error),
        });
      }
    }
  }
}

async function rotate(deps: RotateDeps, lease: Lease, resource: StoredResource): Promise<void> {
  const { store, clock, ids, log } = deps;
  const executor = await deps.executor(resource.hostId);
  const instance = await loadInstance(store.db, resource.id);
  if (!executor || !instance?.config) return;
  const nowMs = clock.nowMs();
  const written = await ensureCertificates({
    executor,
    inputs: certificateInputs(resource),
    issuer: deps.issuer,
    instanceId: resource.id,
    nowMs,
    signal: lease.lost,
  });
  if (written.length === 0) return;
  await store.commit({
    opId: ids.uuid(),
    guards: [lease.guard, instanceExistsGuard(store.db, instance.id)],
    statements: [
      askKeeper(
        store.db,
        {
          id: `rotate:${instance.id}:${nowMs}`,
          instanceId: instance.id,
          generation: instance.config.generation,
          payload: { kind: "reload" },
        },
        nowMs,
      ),
    ],
  });
  log.info("certificates rotated", { instanceId: instance.id, certificates: written.join(", ") });
}
