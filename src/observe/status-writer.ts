// Writes what is known of a host now. Every host does so all the time, and every host and keeper looks at what it knows
// whenever the change version grows, so it only grows when a component got better or worse.
import type { Clock } from "../base/clock.ts";
import type { Ids } from "../base/ids.ts";
import { hostReportStaleMs } from "../base/limits.ts";
import type { ComponentStatus } from "../spec/host.ts";
import { hostPresentGuard, saveHostStatus } from "../store/hosts.ts";
import type { Store } from "../store/store.ts";

export interface StatusWriterDeps {
  readonly store: Store;
  /** In the time of the cluster. */
  readonly clock: Clock;
  readonly ids: Ids;
}

/** Of one host. */
export class StatusWriter {
  readonly #deps: StatusWriterDeps;
  /** What was written last, and when on the monotonic clock; undefined before that, and after a failure. */
  #told: { readonly health: string; readonly atMs: number } | undefined;

  constructor(deps: StatusWriterDeps) {
    this.#deps = deps;
  }

  /** Writes nothing for a host that was removed meanwhile. Throws StoreError. */
  async write(
    hostId: string,
    components: Readonly<Record<string, ComponentStatus>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, clock, ids } = this.#deps;
    const told = this.#told;
    this.#told = undefined;
    const health = healthOf(components);
    const atMs = clock.monotonicMs();
    // A host that was not heard of for long comes back.
    const quiet = told?.health === health && atMs - told.atMs < hostReportStaleMs;
    const guards = [hostPresentGuard(store.db, hostId)];
    const statements = [saveHostStatus(store.db, hostId, { components }, clock.nowMs())];
    await store.commit({ opId: ids.uuid(), guards, statements, quiet }, signal);
    this.#told = { health, atMs };
  }
}

/** Without what changes by the passing of time. */
function healthOf(components: Readonly<Record<string, ComponentStatus>>): string {
  const health = Object.entries(components).map(([name, { healthy, error }]) => [
    name,
    healthy,
    error,
  ]);
  return JSON.stringify(health);
}
