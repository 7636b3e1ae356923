// The lease of a node and what belongs to it: one row that changes by compare-and-set, the rows of the members, the
// history of epochs, and what users asked for. Only reads and writes; what to write is decided in src/ha.
import type { Clock } from "../base/clock.ts";
import { fits, type LeaseRow, type LeaseWrite, type PastEpoch } from "../ha/lease.ts";
import type { HaIntent, MemberStatus } from "../ha/state.ts";
import { type CasOptions, type CasOutcome, compareAndSet } from "./compare-and-set.ts";
import {
  addLoss,
  completeTimeline,
  epochOf,
  insertEpoch,
  insertLease,
  leaseOf,
  selectEpochs,
  selectLease,
  updateLease,
} from "./ha-rows.ts";
import type { PatientWrites } from "./ha-store.ts";
import type { Rqlite } from "./rqlite.ts";
import type { Query, QueryResult } from "./statement.ts";
import { StoreError } from "./store-error.ts";

export type { CasOptions, CasOutcome } from "./compare-and-set.ts";

const INTENT_STATES = ["pending", "running", "done", "failed", "canceled"] as const;
export type IntentState = (typeof INTENT_STATES)[number];

/** Everything of a node that its keepers decide from, as of one moment. */
export interface GroupRows {
  readonly lease: LeaseRow | undefined;
  readonly members: readonly MemberStatus[];
  /** Those that are open, oldest first. */
  readonly intents: readonly HaIntent[];
}

/** An intent to be recorded. Times are wall-clock. */
export interface NewIntent extends Omit<HaIntent, "state"> {
  readonly created_at_ms: number;
}

export interface SettledIntent {
  readonly state: IntentState;
  readonly answer: string | null;
}

export interface ReadOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

export interface LeaseWriteOptions extends CasOptions {
  /** Wall time, for the history. */
  readonly atMs: number;
  /** Aborts when another write waits for this one: it is sent without those of other keepers then. */
  readonly hurry?: AbortSignal;
  readonly news: boolean;
}

/** The rows of one node. Reads are linearizable; methods throw StoreError. */
export interface LeaseStore {
  load(options: ReadOptions): Promise<GroupRows>;
  /** Oldest first. */
  loadEpochs(options: ReadOptions): Promise<readonly PastEpoch[]>;
  /** Tells the history what did not survive the beginning of a timeline; once, however often it is told. */
  noteLoss(timeline: number, lost: string, options: ReadOptions): Promise<void>;
  /** Applies a change if the row still is as it was seen; `news` wakes those who wait for a change. */
  write(write: LeaseWrite, options: LeaseWriteOptions): Promise<CasOutcome<LeaseRow>>;
  /** Replaces the member's row; `news` wakes those who wait for a change. */
  saveMember(status: MemberStatus, news: boolean, atMs: number, o: ReadOptions): Promise<void>;
  /** Records a new intent; false when the node is changing its primary already and this one would too. */
  openIntent(intent: NewIntent, options: ReadOptions): Promise<boolean>;
  /** What became of an intent; undefined when it does not exist. */
  loadIntent(id: string, options: ReadOptions): Promise<SettledIntent | undefined>;
  /** Moves an open intent on; one that is closed stays as it is. */
  settleIntent(
    id: string,
    outcome: { readonly state: IntentState; readonly answer: string | null },
    atMs: number,
    options: ReadOptions,
  ): Promise<void>;
}

/** A node of a database. */
export interface NodeKey {
  readonly databaseId: string;
  readonly nodeName: string;
}

export interface LeaseStoreDeps {
  readonly rqlite: Rqlite;
  readonly clock: Clock;
  /** Renewals and members' rows without news go this way, with those of the host's other keepers. */
  readonly patient?: PatientWrites;
}

const BUMP: Query = {
  sql: "UPDATE changes SET version = version + 1 WHERE singleton = 1",
  params: [],
};

export function createLeaseStore(deps: LeaseStoreDeps, node: NodeKey): LeaseStore {
  const { rqlite, patient } = deps;
  const read = (queries: readonly Query[], { signal, timeoutMs }: ReadOptions) =>
    rqlite.request(queries, {
      level: "linearizable",
      transaction: queries.length > 1,
      deadlineMs: timeoutMs,
      timeoutMs,
      signal,
    });
  const change = (queries: readonly Query[], { signal, timeoutMs }: ReadOptions) =>
    rqlite.request(queries, { idempotent: true, deadlineMs: timeoutMs, timeoutMs, signal });
  return {
    async load(options) {
      const queries = [selectLease(node), selectMembers(node), selectIntents(node)];
      const [lease, members, intents] = await read(queries, options);
      return {
        lease: firstLease(lease),
        members: (members?.rows ?? []).map(([status]) => JSON.parse(String(status))),
        intents: (intents?.rows ?? []).map(intentOf),
      };
    },
    async loadEpochs(options) {
      const [epochs] = await read([selectEpochs(node)], options);
      return (epochs?.rows ?? []).map(epochOf);
    },
    async noteLoss(timeline, lost, options) {
      await change([addLoss(node, timeline, lost), BUMP], options);
    },
    write: (write, options) =>
      writeLease(deps, node, write, options, async (once) =>
        firstLease((await read([selectLease(node)], once))[0]),
      ),
    async saveMember(status, news, atMs, options) {
      const upsert = upsertMember(node, status, atMs);
      if (patient && !news) {
        await patient.write([upsert], options.signal);
        return;
      }
      await change(news ? [upsert, BUMP] : [upsert], options);
    },
    async openIntent(intent, options) {
      try {
        await change([insertIntent(node, intent), BUMP], options);
        return true;
      } catch (error) {
        if (error instanceof StoreError && error.reason === "constraint") return false;
        throw error;
      }
    },
    async loadIntent(id, options) {
      const query = { sql: "SELECT state, answer FROM ha_intents WHERE id = ?", params: [id] };
      const [result] = await read([query], options);
      const [state, answer] = result?.rows[0] ?? [];
      const known = INTENT_STATES.find((each) => each === state);
      return known && { state: known, answer: typeof answer === "string" ? answer : null };
    },
    async settleIntent(id, { state, answer }, atMs, options) {
      const open = state === "pending" || state === "running";
      const update = {
        sql: `UPDATE ha_intents SET state = ?, answer = ?, finished_at_ms = ?
               WHERE id = ? AND database_id = ? AND node_name = ? AND state IN ('pending', 'running')`,
        params: [state, answer, open ? null : atMs, id, node.databaseId, node.nodeName],
      };
      await change([update, BUMP], options);
    },
  };
}

/** A renewal that nobody waits for goes with those of the host's other keepers, once. */
function writeLease(
  deps: LeaseStoreDeps,
  node: NodeKey,
  write: LeaseWrite,
  options: LeaseWriteOptions,
  read: (once: ReadOptions) => Promise<LeaseRow | undefined>,
): Promise<CasOutcome<LeaseRow>> {
  const { patient } = deps;
  const statements = statementsOf(node, write, options.atMs);
  const quiet = patient && write.kind === "renew" && !options.news && !write.history;
  const change = {
    statements: options.news ? [...statements, BUMP] : statements,
    nonce: write.row.nonce,
    fits: (found: LeaseRow | undefined) => fits(write, found ?? null),
    read,
    ...(quiet
      ? {
          first: (signal: AbortSignal) => unless(options.hurry, patient.write(statements, signal)),
        }
      : {}),
  };
  return compareAndSet(deps, change, options);
}

/** The outcome, or none as soon as there is hurry. */
function unless<T>(hurry: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (!hurry) return work;
  return new Promise((resolve, reject) => {
    const stop = () => reject(new StoreError("unknown", "another write waits"));
    hurry.addEventListener("abort", stop, { once: true });
    if (hurry.aborted) stop();
    work.then(resolve, reject).finally(() => hurry.removeEventListener("abort", stop));
  });
}

function statementsOf(node: NodeKey, write: LeaseWrite, atMs: number): readonly Query[] {
  const { expected, orExpected: or, row, history } = write;
  const guard = expected && { expected, ...(or ? { orExpected: or } : {}) };
  const lease = guard ? updateLease(node, guard, row) : insertLease(node, row);
  if (!history) return [lease];
  const written = { ...node, nonce: row.nonce };
  return history.kind === "append"
    ? [lease, insertEpoch(written, history.row, atMs)]
    : [lease, ...history.forks.map((fork) => completeTimeline(written, fork))];
}

function firstLease(result: QueryResult | undefined): LeaseRow | undefined {
  const [first] = result?.rows ?? [];
  return first && leaseOf(first);
}

function selectMembers({ databaseId, nodeName }: NodeKey): Query {
  return {
    sql: `SELECT status FROM ha_members
           WHERE database_id = ? AND node_name = ? ORDER BY instance_id`,
    params: [databaseId, nodeName],
  };
}

function selectIntents({ databaseId, nodeName }: NodeKey): Query {
  return {
    sql: `SELECT id, kind, payload, state, not_before_ms, expires_at_ms FROM ha_intents
           WHERE database_id = ? AND node_name = ? AND state IN ('pending', 'running')
           ORDER BY created_at_ms, id`,
    params: [databaseId, nodeName],
  };
}

/** The same intent recorded twice stays one; another change of the primary is refused by the table. */
function insertIntent(node: NodeKey, intent: NewIntent): Query {
  const { kind, ...payload } = intent.payload;
  return {
    sql: `INSERT INTO ha_intents (id, database_id, node_name, kind, payload, state,
                                  not_before_ms, expires_at_ms, created_at_ms)
          VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    params: [
      intent.id,
      node.databaseId,
      node.nodeName,
      kind,
      JSON.stringify(payload),
      intent.not_before_ms,
      intent.expires_at_ms,
      intent.created_at_ms,
    ],
  };
}

function intentOf(row: readonly unknown[]): HaIntent {
  const [id, kind, payload, state, notBefore, expires] = row;
  return {
    id: String(id),
    payload: { ...JSON.parse(String(payload)), kind: String(kind) },
    state: state === "running" ? "running" : "pending",
    not_before_ms: numberOrNull(notBefore),
    expires_at_ms: numberOrNull(expires),
  };
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

/** An instance that was removed does not come back by its keeper's last word. */
function upsertMember(node: NodeKey, status: MemberStatus, atMs: number): Query {
  return {
    sql: `INSERT INTO ha_members (instance_id, database_id, node_name, status, updated_at_ms)
          SELECT id, ?, ?, ?, ? FROM instances WHERE id = ?
          ON CONFLICT (instance_id) DO UPDATE
             SET status = excluded.status, updated_at_ms = excluded.updated_at_ms`,
    params: [node.databaseId, node.nodeName, JSON.stringify(status), atMs, status.instance_id],
  };
}
