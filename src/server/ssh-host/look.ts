// How a host without a server does, looked at from here: the components are those of every host.
import { type Clock, rfc3339 } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import {
  clockDifferenceMsMax,
  clusterClockNoiseMs,
  distantComponentTimeoutMs,
  hostReachTimeoutMs,
} from "../../base/limits.ts";
import type { Executor } from "../../host/executor.ts";
import { HostComponents } from "../../observe/host-status.ts";
import type { Driver } from "../../orchestrator/driver.ts";
import type { HostFacts } from "../../plan/placement.ts";
import type { ComponentStatus, Installation } from "../../spec/host.ts";
import type { CertificateTimes } from "./access-files.ts";

export interface LookDeps {
  readonly clock: Clock;
  readonly driver: Driver;
  readonly executor: Executor;
  readonly host: HostFacts;
  /** Every member of the store. */
  readonly storeUrls: () => readonly string[];
  readonly certificate: () => CertificateTimes;
  readonly installations: () => readonly Installation[];
  /** Told by how much the host's clock is ahead of the cluster's time, whenever that was measured. */
  readonly onDifference?: (ms: number) => Promise<void>;
}

/** The components of one host. */
export function distantComponents(deps: LookDeps): HostComponents {
  const { clock, driver, executor, host, storeUrls, certificate, installations } = deps;
  return new HostComponents({
    clock,
    driver,
    context: { executor, host },
    limitMs: distantComponentTimeoutMs,
    askStore: () => reachStore(executor, storeUrls(), clock.deadline(distantComponentTimeoutMs)),
    otherClock: (signal) => lookAtClock(deps, signal),
    certificate,
    installations,
  });
}

/** Succeeds when the host reaches one member: its keepers need no more. */
async function reachStore(
  executor: Executor,
  urls: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const tried = urls.map(async (url) => {
    const { hostname, port } = new URL(url);
    const host = hostname.replace(/^\[(.*)\]$/, "$1");
    const connect = 'exec 3<>"/dev/tcp/$1/$2"';
    const argv = ["/bin/bash", "-c", connect, "bash", host, port] as const;
    const result = await executor.run({ argv, timeoutMs: hostReachTimeoutMs }, { signal });
    if (result.exitCode !== 0) throw new AppError("retryable", `${host} port ${port}`);
  });
  try {
    await Promise.any(tried);
  } catch (thrown) {
    if (!(thrown instanceof AggregateError)) throw thrown;
    const places = urls.join(", ");
    throw new AppError("retryable", `it reaches no member of the store: ${places}`, {
      cause: thrown,
    });
  }
}

async function lookAtClock(
  { clock, executor, onDifference }: LookDeps,
  signal: AbortSignal,
): Promise<ComponentStatus> {
  const askedMs = clock.nowMs();
  const { stdout } = await executor.run({ argv: ["date", "+%s%3N"] }, { signal });
  const arrivedMs = clock.nowMs();
  const nowMs = Number(stdout.trim());
  if (!(nowMs > 0)) throw new AppError("retryable", "it does not tell the time");
  // It answered somewhere between asking and hearing.
  const differenceMs = Math.round(nowMs - (askedMs + arrivedMs) / 2);
  if (arrivedMs - askedMs < clusterClockNoiseMs) await onDifference?.(differenceMs);
  const details = { now: rfc3339(nowMs), leader_difference_ms: differenceMs };
  const errorMs = (arrivedMs - askedMs) / 2;
  if (Math.abs(differenceMs) - errorMs <= clockDifferenceMsMax) {
    return { healthy: true, error: "", details };
  }
  const error = `the wall clock differs from the leader's by ${differenceMs} ms`;
  return { healthy: false, error, details };
}
