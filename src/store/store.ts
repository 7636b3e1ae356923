// The one way to change the store, and the two ways to read it. A change is one request: operation id,
// guards, statements and the change version, all or nothing.
import type { Clock } from "../base/clock.ts";
import { changePollMs, storeDeadlineMs } from "../base/limits.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import { createStoreDb, type StoreDb } from "./db.ts";
import type { QueryResult, Rqlite } from "./rqlite.ts";
import type { Query } from "./statement.ts";
import { StoreError } from "./store-error.ts";

export type { Param, Query } from "./statement.ts";

/** A SELECT whose first row's single column must be 1, or the change is a conflict of this name. */
export interface Guard {
  readonly name: string;
  readonly query: Query;
}

export interface Change {
  /** Unique to this change. Whoever repeats a change after an unknown outcome uses the same one. */
  readonly opId: string;
  /** Checked in order before any statement runs. */
  readonly guards: readonly Guard[];
  readonly statements: readonly Query[];
}

/**
 * ok: applied exactly once. `rows[i]` and `changed[i]` belong to statement i; both are empty when
 * `repeated`, that is when an earlier sending of the same operation id had already applied it.
 * Otherwise nothing was applied, and nothing of it will be: `conflict` is the name of the guard that
 * did not hold, or `constraint: …` with SQLite's message.
 */
export type CommitOutcome =
  | {
      readonly ok: true;
      readonly rows: readonly (readonly (readonly unknown[])[])[];
      readonly changed: readonly number[];
      readonly repeated: boolean;
    }
  | { readonly ok: false; readonly conflict: string };

export interface Store {
  /** Reads that decide: linearizable. Builds statements for `commit` with `.toSQL()`. */
  readonly db: StoreDb;
  /** Reads that show: the leader's copy, without asking a quorum. */
  readonly display: StoreDb;
  /**
   * Applies the change once. Throws StoreError: `unknown` when it could not be learnt within the
   * deadline whether it was applied, other reasons when it was not.
   */
  commit(change: Change, signal?: AbortSignal): Promise<CommitOutcome>;
  /** The version that grows with every commit, as this host's copy knows it. */
  changeVersion(signal?: AbortSignal): Promise<number>;
  /**
   * Resolves with the first version seen beyond `since`: at once for a commit of this process, else
   * after at most `pollMs` (`changePollMs` when absent). Outages are waited out. Rejects with the
   * signal's reason.
   */
  waitForChange(since: number, signal: AbortSignal, pollMs?: number): Promise<number>;
  /** Calls the listener after every commit of this process with the new version. Answers its removal. */
  onCommit(listener: (version: number) => void): () => void;
  /** Forgets operation ids older than this wall time, in milliseconds. */
  pruneOperations(beforeMs: number, signal?: AbortSignal): Promise<void>;
}

export interface StoreDeps {
  readonly rqlite: Rqlite;
  readonly clock: Clock;
  readonly rng: Rng;
}

/** The store over a migrated rqlite. */
export function createStore(deps: StoreDeps): Store {
  const listeners = new Set<(version: number) => void>();
  const changeVersion = (signal?: AbortSignal) => readVersion(deps.rqlite, signal);
  return {
    db: createStoreDb(deps.rqlite, "linearizable"),
    display: createStoreDb(deps.rqlite, "weak"),
    async commit(change, signal) {
      const outcome = await commit(deps, change, signal);
      if (!outcome.ok) return outcome;
      const { version, ...applied } = outcome;
      for (const listener of [...listeners]) listener(version);
      return applied;
    },
    changeVersion,
    waitForChange: (since, signal, pollMs = changePollMs) =>
      waitForChange({ clock: deps.clock, listeners, changeVersion }, since, signal, pollMs),
    onCommit(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async pruneOperations(beforeMs, signal) {
      const prune = { sql: "DELETE FROM operations_log WHERE at_ms < ?", params: [beforeMs] };
      await deps.rqlite.request([prune], { idempotent: true, ...(signal ? { signal } : {}) });
    },
  };
}

type Committed = Extract<CommitOutcome, { ok: true }> & { readonly version: number };
type Refused = Extract<CommitOutcome, { ok: false }>;

const BUMP: Query = {
  sql: "UPDATE changes SET version = version + 1 WHERE singleton = 1 RETURNING version",
  params: [],
};
const BACKOFF = { firstMs: 20, maxMs: 400 };

async function commit(
  deps: StoreDeps,
  change: Change,
  signal: AbortSignal | undefined,
): Promise<Committed | Refused> {
  const { clock, rng, rqlite } = deps;
  const request = [
    operation(change.opId, clock.nowMs()),
    ...change.guards.map(guardStatement),
    ...change.statements,
    BUMP,
  ];
  const endMs = clock.monotonicMs() + storeDeadlineMs;
  let inDoubt = false;
  for (let attempt = 0; ; attempt++) {
    const deadlineMs = Math.max(1, endMs - clock.monotonicMs());
    const options = { transaction: true, deadlineMs, ...(signal ? { signal } : {}) };
    const tried = await attemptRequest(rqlite, request, options);
    if (!(tried instanceof StoreError)) return committed(tried, change);
    if (tried.reason === "unknown") {
      inDoubt = true;
      const waitMs = backoffMs(BACKOFF, attempt, rng);
      if (clock.monotonicMs() + waitMs >= endMs) throw tried;
      await clock.sleep(waitMs, signal);
      continue;
    }
    if (isRepetition(tried)) return repeated(rqlite, signal);
    const conflict = conflictOf(tried, change.guards);
    if (conflict === undefined) {
      throw inDoubt ? new StoreError("unknown", tried.message, { cause: tried }) : tried;
    }
    // An earlier sending may still be under way and find the guards true later: its id is used up.
    if (inDoubt && !(await claim(rqlite, request[0], options))) return repeated(rqlite, signal);
    return { ok: false, conflict };
  }
}

async function attemptRequest(
  rqlite: Rqlite,
  request: readonly Query[],
  options: Parameters<Rqlite["request"]>[1],
): Promise<readonly QueryResult[] | StoreError> {
  try {
    return await rqlite.request(request, options);
  } catch (thrown) {
    if (thrown instanceof StoreError) return thrown;
    throw thrown;
  }
}

function operation(opId: string, nowMs: number): Query {
  return { sql: "INSERT INTO operations_log (id, at_ms) VALUES (?, ?)", params: [opId, nowMs] };
}

/** Fails the request with `assert_failed` unless the guard's first value is 1. */
function guardStatement(guard: Guard): Query {
  return { sql: `INSERT INTO must (ok) SELECT (${guard.query.sql})`, params: guard.query.params };
}

function committed(results: readonly QueryResult[], change: Change): Committed {
  const first = 1 + change.guards.length;
  const own = results.slice(first, first + change.statements.length);
  return {
    ok: true,
    rows: own.map((result) => result.rows),
    changed: own.map((result) => result.changed),
    repeated: false,
    version: versionOf(results.at(-1)),
  };
}

async function repeated(rqlite: Rqlite, signal: AbortSignal | undefined): Promise<Committed> {
  const version = await readVersion(rqlite, signal);
  return { ok: true, rows: [], changed: [], repeated: true, version };
}

/** Whether the operation id was there already: it is the first statement of every commit. */
function isRepetition(error: StoreError): boolean {
  return error.statement === 0 && error.reason === "constraint";
}

function conflictOf(error: StoreError, guards: readonly Guard[]): string | undefined {
  if (error.statement === undefined) return undefined;
  if (error.reason === "constraint") return `constraint: ${error.message}`;
  if (error.reason === "conflict") return guards[error.statement - 1]?.name ?? "must";
  return undefined;
}

/** Uses up the operation id, so that no sending of it can be applied any more; false when one was. */
async function claim(
  rqlite: Rqlite,
  statement: Query | undefined,
  options: Parameters<Rqlite["request"]>[1],
): Promise<boolean> {
  if (!statement) return true;
  const claimed = { ...statement, sql: `${statement.sql} ON CONFLICT DO NOTHING` };
  const first = await attemptRequest(rqlite, [claimed], { ...options, transaction: false });
  if (first instanceof StoreError) throw new StoreError("unknown", first.message, { cause: first });
  return (first[0]?.changed ?? 0) === 1;
}

async function readVersion(rqlite: Rqlite, signal: AbortSignal | undefined): Promise<number> {
  const query = { sql: "SELECT version FROM changes WHERE singleton = 1", params: [] };
  const options = { level: "none", ...(signal ? { signal } : {}) } as const;
  return versionOf((await rqlite.request([query], options))[0]);
}

function versionOf(result: QueryResult | undefined): number {
  const value = result?.rows[0]?.[0];
  if (typeof value !== "number") throw new StoreError("sql", "the store has no change version");
  return value;
}

interface Waiting {
  readonly clock: Clock;
  readonly listeners: Set<(version: number) => void>;
  readonly changeVersion: (signal?: AbortSignal) => Promise<number>;
}

async function waitForChange(
  waiting: Waiting,
  since: number,
  signal: AbortSignal,
  pollMs: number,
): Promise<number> {
  let seen = since;
  let wake = new AbortController();
  const listener = (version: number) => {
    seen = Math.max(seen, version);
    wake.abort();
  };
  waiting.listeners.add(listener);
  try {
    for (;;) {
      signal.throwIfAborted();
      if (seen > since) return seen;
      seen = Math.max(seen, await versionOr(since, waiting, signal));
      if (seen > since) return seen;
      await pause(waiting.clock, pollMs, signal, wake.signal);
      wake = new AbortController();
    }
  } finally {
    waiting.listeners.delete(listener);
  }
}

/** The current version, or the given one while the store cannot be asked. */
async function versionOr(known: number, waiting: Waiting, signal: AbortSignal): Promise<number> {
  try {
    return await waiting.changeVersion(signal);
  } catch (thrown) {
    if (thrown instanceof StoreError && thrown.kind === "retryable") return known;
    throw thrown;
  }
}

/** Sleeps until the time is over or it is woken; rejects only when the outer signal aborts. */
async function pause(clock: Clock, ms: number, outer: AbortSignal, wake: AbortSignal) {
  try {
    await clock.sleep(ms, AbortSignal.any([outer, wake]));
  } catch (thrown) {
    outer.throwIfAborted();
    if (!wake.aborted) throw thrown;
  }
}
