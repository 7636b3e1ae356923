// Rows of ha_leases and ha_epochs as values, and the statements that read and write them.
import {
  type EpochRow,
  type Fork,
  LEASE_PHASES,
  type LeaseRow,
  type LeaseVersion,
  type PastEpoch,
} from "../ha/lease.ts";
import type { Param, Query } from "./statement.ts";
import { StoreError } from "./store-error.ts";

interface Node {
  readonly databaseId: string;
  readonly nodeName: string;
}

/** A node whose lease row has this nonce: the one that the same request wrote. */
interface Written extends Node {
  readonly nonce: string;
}

/** Columns of a lease in the order of `leaseValues`. */
const LEASE = [
  "epoch",
  "seq",
  "nonce",
  "holder",
  "incarnation",
  "ttl_ms",
  "phase",
  "timeline",
  "next_timeline",
  "system_identifier",
  "members",
  "sync",
  "optime",
  "checkpoint_done",
  "ending",
] as const;

export function selectLease({ databaseId, nodeName }: Node): Query {
  return {
    sql: `SELECT ${LEASE.join(", ")} FROM ha_leases WHERE database_id = ? AND node_name = ?`,
    params: [databaseId, nodeName],
  };
}

/** The first row of a node; changes nothing when there is one. */
export function insertLease({ databaseId, nodeName }: Node, row: LeaseRow): Query {
  const columns = ["database_id", "node_name", ...LEASE];
  return {
    sql: `INSERT INTO ha_leases (${columns.join(", ")})
          SELECT ${columns.map(() => "?").join(", ")}
           WHERE NOT EXISTS (SELECT 1 FROM ha_leases WHERE database_id = ? AND node_name = ?)`,
    params: [databaseId, nodeName, ...leaseValues(row), databaseId, nodeName],
  };
}

/** Replaces the row; changes nothing unless it is exactly the one that was seen, or that its holder gives back. */
export function updateLease(
  { databaseId, nodeName }: Node,
  { expected: seen, orExpected: or = seen }: Guard,
  row: LeaseRow,
): Query {
  return {
    sql: `UPDATE ha_leases SET ${LEASE.map((column) => `${column} = ?`).join(", ")}
           WHERE database_id = ? AND node_name = ?
             AND ((epoch = ? AND seq = ? AND nonce = ?) OR (epoch = ? AND seq = ? AND nonce = ?))`,
    params: [
      ...leaseValues(row),
      ...[databaseId, nodeName],
      ...[seen.epoch, seen.seq, seen.nonce],
      ...[or.epoch, or.seq, or.nonce],
    ],
  };
}

interface Guard {
  readonly expected: LeaseVersion;
  readonly orExpected?: LeaseVersion;
}

function leaseValues(row: LeaseRow): readonly Param[] {
  return [
    row.epoch,
    row.seq,
    row.nonce,
    row.holder,
    row.incarnation,
    row.ttl_ms,
    row.phase,
    row.timeline,
    row.next_timeline,
    row.system_identifier,
    JSON.stringify(row.members),
    JSON.stringify(row.sync),
    row.optime,
    row.checkpoint_done ? 1 : 0,
    row.ending === null ? null : JSON.stringify(row.ending),
  ];
}

export function leaseOf(values: readonly unknown[]): LeaseRow {
  const of = (column: (typeof LEASE)[number]) => values[LEASE.indexOf(column)];
  const phase = LEASE_PHASES.find((known) => known === of("phase"));
  if (!phase) throw new StoreError("sql", `a lease is in the unknown phase ${String(of("phase"))}`);
  const ending = textOrNull(of("ending"));
  return {
    epoch: Number(of("epoch")),
    seq: Number(of("seq")),
    nonce: String(of("nonce")),
    holder: textOrNull(of("holder")),
    incarnation: String(of("incarnation")),
    ttl_ms: Number(of("ttl_ms")),
    phase,
    timeline: Number(of("timeline")),
    next_timeline: Number(of("next_timeline")),
    system_identifier: textOrNull(of("system_identifier")),
    members: JSON.parse(String(of("members"))),
    sync: JSON.parse(String(of("sync"))),
    optime: textOrNull(of("optime")),
    checkpoint_done: of("checkpoint_done") === 1,
    ending: ending === null ? null : JSON.parse(ending),
  };
}

const EPOCH =
  "epoch, instance_id, incarnation, timeline, from_timeline, switch_lsn, reason, lost" as const;

export function selectEpochs({ databaseId, nodeName }: Node): Query {
  return {
    sql: `SELECT ${EPOCH}, at_ms FROM ha_epochs WHERE database_id = ? AND node_name = ? ORDER BY epoch`,
    params: [databaseId, nodeName],
  };
}

/** Begins the history of an epoch, if the lease was written by the same request. */
export function insertEpoch(written: Written, epoch: EpochRow, atMs: number): Query {
  const { databaseId, nodeName, nonce } = written;
  return {
    sql: `INSERT INTO ha_epochs (database_id, node_name, ${EPOCH}, at_ms)
          SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
           WHERE EXISTS (SELECT 1 FROM ha_leases
                          WHERE database_id = ? AND node_name = ? AND nonce = ?)
          ON CONFLICT DO NOTHING`,
    params: [
      databaseId,
      nodeName,
      epoch.epoch,
      epoch.instance_id,
      epoch.incarnation,
      epoch.timeline,
      epoch.from_timeline,
      epoch.switch_lsn,
      epoch.reason,
      epoch.lost,
      atMs,
      databaseId,
      nodeName,
      nonce,
    ],
  };
}

/** Adds where a timeline begins, if the lease was written by the same request. What is known stays. */
export function completeTimeline(written: Written, fork: Fork): Query {
  const { databaseId, nodeName, nonce } = written;
  return {
    sql: `UPDATE ha_epochs SET from_timeline = COALESCE(from_timeline, ?),
                               switch_lsn = COALESCE(switch_lsn, ?)
           WHERE database_id = ? AND node_name = ? AND timeline = ?
             AND EXISTS (SELECT 1 FROM ha_leases
                          WHERE database_id = ? AND node_name = ? AND nonce = ?)`,
    params: [
      fork.from_timeline,
      fork.switch_lsn,
      databaseId,
      nodeName,
      fork.timeline,
      databaseId,
      nodeName,
      nonce,
    ],
  };
}

/** Adds to the epoch that began a timeline what did not survive its beginning; once, however often it is told. */
export function addLoss({ databaseId, nodeName }: Node, timeline: number, text: string): Query {
  return {
    sql: `UPDATE ha_epochs SET lost = CASE WHEN lost IS NULL THEN ?
                                           WHEN instr(lost, ?) > 0 THEN lost
                                           ELSE lost || '; ' || ? END
           WHERE database_id = ? AND node_name = ?
             AND epoch = (SELECT min(epoch) FROM ha_epochs
                           WHERE database_id = ? AND node_name = ? AND timeline = ?)`,
    params: [text, text, text, databaseId, nodeName, databaseId, nodeName, timeline],
  };
}

export function epochOf(values: readonly unknown[]): PastEpoch {
  const [epoch, instance, incarnation, timeline, from, lsn, reason, lost, at] = values;
  return {
    epoch: Number(epoch),
    instance_id: String(instance),
    incarnation: String(incarnation),
    timeline: Number(timeline),
    from_timeline: typeof from === "number" ? from : null,
    switch_lsn: textOrNull(lsn),
    reason: String(reason),
    lost: textOrNull(lost),
    at_ms: Number(at),
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
