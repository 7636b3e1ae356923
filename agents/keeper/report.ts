// What the keeper tells others, made from its memory alone. Pure.
import type { Clock } from "../../src/base/clock.ts";
import { postgresStatusFreshMs, reportedSlotsMax } from "../../src/base/limits.ts";
import { formatLsn } from "../../src/postgres/lsn.ts";
import type { SlotRow } from "../../src/postgres/sql/replication.ts";
import type { ServerStatus } from "../../src/postgres/sql/status.ts";
import type { InstanceReport, KeeperFile, ReportedSlot } from "../../src/spec/instance-config.ts";
import type { Memory } from "./memory.ts";

/** Patroni's words for what PostgreSQL is doing, in the order of its metric. */
export const POSTGRES_STATES = [
  "initializing new cluster",
  "initdb failed",
  "running custom bootstrap script",
  "custom bootstrap failed",
  "creating replica",
  "running",
  "starting",
  "starting after custom bootstrap",
  "start failed",
  "restarting",
  "restart failed",
  "stopping",
  "stopped",
  "stop failed",
  "crashed",
] as const;
export type PostgresState = (typeof POSTGRES_STATES)[number] | "unknown";
export type Role = InstanceReport["role"];

/** Whether PostgreSQL answered recently enough to be believed. */
export function statusIsFresh(memory: Memory, nowMs: number): boolean {
  return memory.status !== undefined && nowMs - memory.statusAtMs <= postgresStatusFreshMs;
}

export function postgresState(memory: Memory, nowMs: number): PostgresState {
  if (memory.doing) return memory.doing;
  switch (memory.process) {
    case "stopping":
      return "stopping";
    case "stopped":
      // How it ended no longer matters where it should not run.
      if (memory.config?.run === "stopped") return "stopped";
      if (memory.crash) return memory.crash.beforeReady ? "start failed" : "crashed";
      return memory.initdbFailed ? "initdb failed" : "stopped";
    case "running":
      if (memory.accepting && statusIsFresh(memory, nowMs)) return "running";
      return memory.readyAtMs === undefined ? "starting" : "unknown";
    case "unknown":
      if (memory.initdbFailed) return "initdb failed";
      return memory.accepting && statusIsFresh(memory, nowMs) ? "running" : "unknown";
  }
}

export function roleOf(memory: Memory, nowMs: number): Role {
  if (memory.data?.kind === "absent") return "uninitialized";
  if (!memory.status || !statusIsFresh(memory, nowMs)) return "unknown";
  return memory.status.inRecovery ? "replica" : "primary";
}

/** What a standby does, in Patroni's words. */
export function replicationState(receiver: string | undefined): string {
  return receiver === "streaming" ? "streaming" : "in archive recovery";
}

/** How a standby gets the primary's changes, and how far it is. */
function standbyFacts({ receiveLsn, replayLsn, receiverStatus }: ServerStatus) {
  return {
    replication_state: replicationState(receiverStatus),
    ...(receiveLsn === undefined ? {} : { receive_lsn: formatLsn(receiveLsn) }),
    ...(replayLsn === undefined ? {} : { replay_lsn: formatLsn(replayLsn) }),
  };
}

function reportedSlots({ slots }: Memory): Pick<InstanceReport, "slots"> {
  if (!slots) return {};
  const rows = slots.rows.slice(0, reportedSlotsMax).map(reportedSlot);
  return { slots: { observed_at_ms: slots.atMs, rows } };
}

function reportedSlot(slot: SlotRow): ReportedSlot {
  return {
    name: slot.name,
    type: slot.kind,
    ...(slot.plugin === undefined ? {} : { plugin: slot.plugin }),
    ...(slot.database === undefined ? {} : { database: slot.database }),
    active: slot.active,
    ...(slot.usedBy === undefined ? {} : { used_by: slot.usedBy }),
    ...(slot.restartLsn === undefined ? {} : { restart_lsn: slot.restartLsn }),
    ...(slot.confirmedLsn === undefined ? {} : { confirmed_flush_lsn: slot.confirmedLsn }),
    ...(slot.retainedBytes === undefined ? {} : { retained_bytes: slot.retainedBytes }),
    ...(slot.walStatus === undefined ? {} : { wal_status: slot.walStatus }),
    temporary: slot.temporary,
    failover: slot.failover,
    synced: slot.synced,
  };
}

/** The report for the store. */
export function buildReport(
  memory: Memory,
  file: KeeperFile,
  incarnation: string,
  clock: Clock,
): InstanceReport {
  const nowMs = clock.monotonicMs();
  const error = memory.error ?? memory.failure?.text;
  const { status, refusal, config } = memory;
  const lsn = status?.flushLsn ?? status?.replayLsn;
  const identifier = memory.systemIdentifier;
  return {
    instance_id: file.instance_id,
    incarnation,
    observed_at_ms: clock.nowMs(),
    postgres_state: postgresState(memory, nowMs),
    role: roleOf(memory, nowMs),
    ...(status?.inRecovery && statusIsFresh(memory, nowMs) ? standbyFacts(status) : {}),
    ...(status ? { postgres_version: status.version } : {}),
    ...(identifier === undefined ? {} : { system_identifier: identifier }),
    ...(status?.timeline === undefined ? {} : { timeline: status.timeline }),
    ...(lsn === undefined ? {} : { lsn: formatLsn(lsn) }),
    ...(status ? { postmaster_start_time: status.startedAt } : {}),
    pending_restart: memory.pending.length > 0,
    pending_restart_settings: memory.pending.map((setting) => setting.name),
    applied_generation: memory.appliedGeneration,
    ...(refusal && refusal.generation === config?.generation
      ? { refused_generation: refusal.generation }
      : {}),
    ...(error === undefined ? {} : { error }),
    ...(memory.certificates?.expiresAtMs === undefined
      ? {}
      : { certificate_expires_at_ms: memory.certificates.expiresAtMs }),
    ...reportedSlots(memory),
    decision: memory.decision,
  };
}
