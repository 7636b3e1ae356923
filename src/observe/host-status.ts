// How a host does, component by component: the store, its disks, its clock, its keepers.

import type { Clock } from "../base/clock.ts";
import { rfc3339 } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { clockJumpMsMax, diskFreePartMin, hostComponentTimeoutMs } from "../base/limits.ts";
import type { Driver, StepContext } from "../orchestrator/driver.ts";
import type { ComponentStatus } from "../spec/host.ts";

export interface HostStatusDeps {
  readonly clock: Clock;
  readonly driver: Driver;
  readonly context: Omit<StepContext, "signal" | "log">;
  /** Asks the store something that needs its leader; rejects when there is no answer. */
  readonly askStore: () => Promise<unknown>;
}

/** Looks at the components of one host. */
export class HostComponents {
  readonly #deps: HostStatusDeps;
  /** Difference of wall and monotonic clock when it was last looked at. */
  #offsetMs: number;

  constructor(deps: HostStatusDeps) {
    this.#deps = deps;
    this.#offsetMs = offsetOf(deps.clock);
  }

  /** Every component; one that cannot be looked at is not healthy, and says why. */
  async look(signal: AbortSignal): Promise<Readonly<Record<string, ComponentStatus>>> {
    const bounded = this.#deps.clock.deadline(hostComponentTimeoutMs, signal);
    const [store, disk, driver] = await Promise.all([
      explained(() => this.#store(bounded)),
      explained(() => this.#disk(bounded)),
      explained(() => this.#driver(bounded)),
    ]);
    signal.throwIfAborted();
    return { store, disk, clock: this.#clock(), driver };
  }

  async #store(signal: AbortSignal): Promise<ComponentStatus> {
    const { clock, askStore } = this.#deps;
    const startedMs = clock.monotonicMs();
    await Promise.race([askStore(), rejectedBy(signal)]);
    return healthy({ latency_ms: Math.round(clock.monotonicMs() - startedMs) });
  }

  /** Free space where the server and the instances write (df(1) with fixed columns). */
  async #disk(signal: AbortSignal): Promise<ComponentStatus> {
    const { executor, host } = this.#deps.context;
    const places: string[] = [];
    for (const path of new Set([host.dataDir, host.instanceDir])) {
      if (await executor.stat(path, signal)) places.push(path);
    }
    const result = await executor.run(
      { argv: ["df", "--block-size=1", "--output=size,avail", "--", ...places] },
      { signal },
    );
    if (result.exitCode !== 0) return unhealthy(result.stderr.trim() || "df failed");
    const rows = result.stdout.trim().split("\n").slice(1);
    const details: Record<string, unknown> = {};
    const full: string[] = [];
    for (const [at, path] of places.entries()) {
      const [size, available] = (rows[at] ?? "").trim().split(/\s+/).map(Number);
      if (!size || available === undefined) return unhealthy(`df does not tell about ${path}`);
      details[path] = { size_bytes: size, available_bytes: available };
      if (available / size < diskFreePartMin) full.push(path);
    }
    if (full.length === 0) return healthy(details);
    return { ...unhealthy(`almost full: ${full.join(", ")}`), details };
  }

  /** A wall clock that jumps makes records and schedules wrong; leases do not depend on it. */
  #clock(): ComponentStatus {
    const offsetMs = offsetOf(this.#deps.clock);
    const jumpMs = Math.round(offsetMs - this.#offsetMs);
    this.#offsetMs = offsetMs;
    const details = { now: rfc3339(this.#deps.clock.nowMs()), jump_ms: jumpMs };
    if (Math.abs(jumpMs) <= clockJumpMsMax) return healthy(details);
    return { ...unhealthy(`the wall clock jumped by ${jumpMs} ms`), details };
  }

  async #driver(signal: AbortSignal): Promise<ComponentStatus> {
    const { driver, context } = this.#deps;
    const keepers = await driver.observe({ ...context, signal });
    const failed = keepers.filter(
      ({ keeper, fencer }) => keeper === "failed" || fencer === "failed",
    );
    const details = { id: driver.id, instances: keepers.length };
    if (failed.length === 0) return healthy(details);
    const names = failed.map(({ instanceId }) => instanceId).join(", ");
    return { ...unhealthy(`keepers or fencers fail: ${names}`), details };
  }
}

function offsetOf(clock: Clock): number {
  return clock.nowMs() - clock.monotonicMs();
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function explained(look: () => Promise<ComponentStatus>): Promise<ComponentStatus> {
  try {
    return await look();
  } catch (error) {
    return unhealthy(messageOf(error));
  }
}

function healthy(details: Record<string, unknown>): ComponentStatus {
  return { healthy: true, error: "", details };
}

function unhealthy(error: string): ComponentStatus {
  return { healthy: false, error };
}
