// What a keeper reads and writes in the store: its instance's configuration and requests, its answers and its
// report. Plain statements over the client alone, so that a keeper starts without loading a query builder.
import { reportOvertakenMsMax } from "../base/limits.ts";
import type {
  InstanceConfig,
  InstanceReport,
  KeeperAnswer,
  KeeperRequest,
} from "../spec/instance-config.ts";
import type { Rqlite } from "./rqlite.ts";
import type { Query, QueryResult } from "./statement.ts";

/** A request that waits for an answer. */
export interface PendingRequest {
  readonly id: string;
  /** The configuration of this generation has to be applied first. */
  readonly generation: number;
  readonly payload: KeeperRequest;
}

/** What one instance should be, as of one moment. */
export interface DesiredState {
  /** Absent until a step wrote it, and after the instance was removed. */
  readonly config?: InstanceConfig;
  /** Oldest first. */
  readonly requests: readonly PendingRequest[];
  /** What an earlier keeper of this instance reported last. */
  readonly lastReport?: InstanceReport;
}

/** What a keeper looks at again and again: cheap, and only to learn that there is something to read. */
export interface Glance {
  /** Grows with every change of the cluster. */
  readonly version: number;
  /** Changes with every renewal of the node's lease; what its members have to say at once changes the version. */
  readonly group: string;
}

/** Writes that bear being run twice and may wait for others of the host, each on its own. */
export interface PatientWrites {
  /** One result for each statement; throws when the outcome is not known. */
  write(statements: readonly Query[], signal: AbortSignal): Promise<readonly QueryResult[]>;
}

/** The store as one instance's keeper sees it. Methods throw StoreError. */
export interface HaStore {
  /** By this host's copy, however old. */
  glance(signal: AbortSignal): Promise<Glance>;
  /** Linearizable: what keepers act on. */
  loadDesired(signal: AbortSignal): Promise<DesiredState>;
  /** Records the answer and empties the request; a request that has an answer keeps it. */
  answer(requestId: string, answer: KeeperAnswer, atMs: number, signal: AbortSignal): Promise<void>;
  /** Replaces the report unless a newer one is there or the instance is gone. `news` wakes those who wait for a change. */
  saveReport(report: InstanceReport, news: boolean, signal: AbortSignal): Promise<void>;
}

const BUMP: Query = {
  sql: "UPDATE changes SET version = version + 1 WHERE singleton = 1",
  params: [],
};

/** The store of the given instance. Reports without news go through `patient`. */
export function createHaStore(
  rqlite: Rqlite,
  instanceId: string,
  patient: PatientWrites = directly(rqlite),
): HaStore {
  return {
    async glance(signal) {
      const [result] = await rqlite.request([selectGlance(instanceId)], { level: "none", signal });
      const [version, ...group] = result?.rows[0] ?? [];
      return { version: Number(version ?? 0), group: group.join(" ") };
    },
    async loadDesired(signal) {
      const queries = [selectConfig(instanceId), selectRequests(instanceId)];
      const options = { level: "linearizable", transaction: true, signal } as const;
      const [instance, requests] = await rqlite.request(queries, options);
      return { ...parseInstance(instance), requests: parseRequests(requests) };
    },
    async answer(requestId, answer, atMs, signal) {
      const update = {
        sql: `UPDATE keeper_requests SET state = ?, answer = ?, payload = '', finished_at_ms = ?
               WHERE id = ? AND instance_id = ? AND state = 'pending'`,
        params: [
          answer.ok ? "done" : "failed",
          JSON.stringify(answer),
          atMs,
          requestId,
          instanceId,
        ],
      };
      await rqlite.request([update, BUMP], { transaction: true, idempotent: true, signal });
    },
    async saveReport(report, news, signal) {
      if (!news) {
        await patient.write([upsertReport(report)], signal);
        return;
      }
      const statements = [upsertReport(report), BUMP];
      await rqlite.request(statements, { transaction: true, idempotent: true, signal });
    },
  };
}

function directly(rqlite: Rqlite): PatientWrites {
  return {
    write: (statements, signal) =>
      rqlite.request(statements, { transaction: false, idempotent: true, signal }),
  };
}

function selectGlance(instanceId: string): Query {
  return {
    sql: `SELECT c.version, l.epoch, l.seq, l.nonce
            FROM changes c
            LEFT JOIN instances i ON i.id = ?
            LEFT JOIN ha_leases l ON l.database_id = i.database_id AND l.node_name = i.node_name
           WHERE c.singleton = 1`,
    params: [instanceId],
  };
}

function selectConfig(instanceId: string): Query {
  return {
    sql: `SELECT i.config, r.report FROM instances i
            LEFT JOIN instance_reports r ON r.instance_id = i.id WHERE i.id = ?`,
    params: [instanceId],
  };
}

function selectRequests(instanceId: string): Query {
  return {
    sql: `SELECT id, generation, payload FROM keeper_requests
           WHERE instance_id = ? AND state = 'pending' ORDER BY created_at_ms, id`,
    params: [instanceId],
  };
}

function upsertReport(report: InstanceReport): Query {
  return {
    sql: `INSERT INTO instance_reports (instance_id, report, updated_at_ms)
          SELECT id, ?, ? FROM instances WHERE id = ?
          ON CONFLICT (instance_id) DO UPDATE
             SET report = excluded.report, updated_at_ms = excluded.updated_at_ms
           WHERE excluded.updated_at_ms >= instance_reports.updated_at_ms
              OR excluded.updated_at_ms < instance_reports.updated_at_ms - ?`,
    // A little older was overtaken by another; much older comes after the clock was put back.
    params: [
      JSON.stringify(report),
      report.observed_at_ms,
      report.instance_id,
      reportOvertakenMsMax,
    ],
  };
}

function parseInstance(result: QueryResult | undefined): Omit<DesiredState, "requests"> {
  const [config, report] = result?.rows[0] ?? [];
  return {
    ...(typeof config === "string" ? { config: JSON.parse(config) } : {}),
    ...(typeof report === "string" ? { lastReport: JSON.parse(report) } : {}),
  };
}

function parseRequests(result: QueryResult | undefined): readonly PendingRequest[] {
  return (result?.rows ?? []).map(([id, generation, payload]) => ({
    id: String(id),
    generation: Number(generation),
    payload: JSON.parse(String(payload)),
  }));
}
