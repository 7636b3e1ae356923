// An instance as users see it: what was stored, what its keeper saw, and how old that is.
import { rfc3339 } from "../base/clock.ts";
import { instanceReportStaleMs } from "../base/limits.ts";
import type { Instance, InstanceState } from "../spec/instance.ts";
import type { InstanceReport } from "../spec/instance-config.ts";
import type { ShownInstance } from "../store/instances.ts";

/** States that only a task ends; monitoring never hides them. */
const KEPT: readonly InstanceState[] = [
  "creating",
  "modifying",
  "deleting",
  "backing_up",
  "failed",
];

const IN_BETWEEN: readonly string[] = [
  "stopping",
  "starting",
  "restarting",
  "initializing new cluster",
  "running custom bootstrap script",
  "creating replica",
];

export function presentInstance(instance: ShownInstance, nowMs: number): Instance {
  const { report } = instance;
  const paused = (instance.pausedUntilMs ?? 0) > nowMs;
  const state = instanceState(instance.state, report, nowMs);
  const error = instance.error ?? (state === "degraded" ? report?.error : undefined);
  return {
    id: instance.id,
    host_id: instance.hostId,
    node_name: instance.nodeName,
    created_at: rfc3339(instance.createdAtMs),
    updated_at: rfc3339(instance.updatedAtMs),
    ...(report ? { status_updated_at: rfc3339(report.observed_at_ms) } : {}),
    state,
    ...(instance.port === null
      ? {}
      : { connection_info: { addresses: [...instance.addresses], port: instance.port } }),
    ...(report ? { postgres: postgresStatus(report, paused) } : {}),
    ...(error === undefined || error === null ? {} : { error }),
  };
}

/** The state to show; one that is not from now is unknown. */
export function instanceState(
  stored: InstanceState,
  report: InstanceReport | undefined,
  nowMs: number,
): InstanceState {
  if (KEPT.includes(stored)) return stored;
  if (!report || nowMs - report.observed_at_ms > instanceReportStaleMs) return "unknown";
  const seen = report.postgres_state;
  if (seen === "running") return "available";
  if (seen === "stopped") return "stopped";
  if (IN_BETWEEN.includes(seen)) return "modifying";
  return seen.endsWith("failed") || seen === "crashed" ? "degraded" : "unknown";
}

function postgresStatus(
  report: InstanceReport,
  paused: boolean,
): NonNullable<Instance["postgres"]> {
  return {
    ...(report.postgres_version === undefined ? {} : { version: report.postgres_version }),
    patroni_state: report.postgres_state,
    role: report.role,
    pending_restart: report.pending_restart,
    patroni_paused: paused,
  };
}
