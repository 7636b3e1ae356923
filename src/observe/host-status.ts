// How a host does, component by component: the store, its disks, its clock, its keepers, its PostgreSQL versions.

import type { Clock } from "../base/clock.ts";
import { rfc3339 } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import {
  certificateLeftPartMin,
  clockDifferenceMsMax,
  clockJumpMsMax,
  clusterClockNoiseMs,
  diskFreePartMin,
  hostComponentTimeoutMs,
} from "../base/limits.ts";
import type { Driver, StepContext } from "../orchestrator/driver.ts";
import type { ComponentStatus, Installation } from "../spec/host.ts";

export interface HostStatusDeps {
  readonly clock: Clock;
  readonly driver: Driver;
  readonly context: Omit<StepContext, "signal" | "log">;
  /** Asks the store something that needs its leader; rejects when there is no answer. */
  readonly askStore: () => Promise<unknown>;
  /** Wall clock of the host that leads; undefined = there is none to compare with. */
  readonly leaderNowMs?: () => Promise<number | undefined>;
  /** Told by how much the host's clock is ahead of the leader's, whenever that was measured. */
  readonly onLeaderDifference?: (ms: number) => Promise<void>;
  /** What databases can be made of here; undefined where none are meant to run. */
  readonly installations?: () => readonly Installation[] | undefined;
  /** Of one look; hostComponentTimeoutMs when absent. */
  readonly limitMs?: number;
  /** How the clock of a host that is not this one is looked at. */
  readonly otherClock?: (signal: AbortSignal) => Promise<ComponentStatus>;
  /** When the certificate that other hosts know this one by was issued and ends; absent = it needs none. */
  readonly certificate?: () => { readonly issuedAtMs: number; readonly notAfterMs: number };
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
    const bounded = this.#deps.clock.deadline(this.#deps.limitMs ?? hostComponentTimeoutMs, signal);
    const [store, disk, driver, clock, certificate] = await Promise.all([
      explained(() => this.#store(bounded)),
      explained(() => this.#disk(bounded)),
      explained(() => this.#driver(bounded)),
      explained(() => (this.#deps.otherClock ?? ((signal) => this.#clock(signal)))(bounded)),
      explained(async () => this.#certificate()),
    ]);
    signal.throwIfAborted();
    const installations = this.#deps.installations?.();
    return {
      ...{ store, disk, clock, driver },
      ...(installations ? { postgresql: postgresql(installations) } : {}),
      ...(this.#deps.certificate ? { certificate } : {}),
    };
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
  async #clock(signal: AbortSignal): Promise<ComponentStatus> {
    const offsetMs = offsetOf(this.#deps.clock);
    const jumpMs = Math.round(offsetMs - this.#offsetMs);
    this.#offsetMs = offsetMs;
    const differenceMs = await this.#leaderDifferenceMs(signal);
    const details = {
      now: rfc3339(this.#deps.clock.nowMs()),
      jump_ms: jumpMs,
      ...(differenceMs === undefined ? {} : { leader_difference_ms: differenceMs }),
    };
    if (Math.abs(jumpMs) > clockJumpMsMax) {
      return { ...unhealthy(`the wall clock jumped by ${jumpMs} ms`), details };
    }
    if (Math.abs(differenceMs ?? 0) > clockDifferenceMsMax) {
      const text = `the wall clock differs from the leader's by ${differenceMs} ms`;
      return { ...unhealthy(text), details };
    }
    return healthy(details);
  }

  /** Positive where this host's clock is ahead. A store that is away is told by another component. */
  async #leaderDifferenceMs(signal: AbortSignal): Promise<number | undefined> {
    const { clock, leaderNowMs } = this.#deps;
    if (!leaderNowMs) return undefined;
    const beforeMs = clock.nowMs();
    try {
      const leaderMs = await Promise.race([leaderNowMs(), rejectedBy(signal)]);
      if (leaderMs === undefined) return undefined;
      const afterMs = clock.nowMs();
      // The leader answered somewhere between asking and hearing.
      const differenceMs = Math.round((beforeMs + afterMs) / 2 - leaderMs);
      if (Math.abs(afterMs - beforeMs) < clusterClockNoiseMs) {
        await this.#deps.onLeaderDifference?.(differenceMs);
      }
      return differenceMs;
    } catch (error) {
      if (error instanceof Error) return undefined;
      throw error;
    }
  }

  /** It is renewed after two thirds of its time; when most of the rest has passed too, something is wrong. */
  #certificate(): ComponentStatus {
    const { certificate, clock } = this.#deps;
    if (!certificate) return healthy({});
    const { issuedAtMs, notAfterMs } = certificate();
    const nowMs = clock.nowMs();
    const details = {
      issued_at: rfc3339(issuedAtMs),
      expires_at: rfc3339(notAfterMs),
      age_seconds: Math.max(0, Math.round((nowMs - issuedAtMs) / 1_000)),
    };
    const left = (notAfterMs - nowMs) / (notAfterMs - issuedAtMs);
    if (left > certificateLeftPartMin) return healthy(details);
    const text = left > 0 ? "is not renewed in time" : "has expired";
    return { ...unhealthy(`the host's certificate ${text}`), details };
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

function postgresql(installations: readonly Installation[]): ComponentStatus {
  const versions = installations.map(({ version }) => version);
  return versions.length > 0 ? healthy({ versions }) : unhealthy("no PostgreSQL is installed");
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
