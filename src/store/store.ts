// The one way to change the store, and the two ways to read it. A change is one request: operation id,
// guards, statements and the change version, all or nothing.
import type { Clock } from "../base/clock.ts";
import { changePollMs, newsPollMs, storeDeadlineMs } from "../base/limits.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import { createStoreDb, type StoreDb } from "./db.ts";
import type { ReadLevel, Rqlite } from "./rqlite.ts";
import { tryTimeoutMs } from "./rqlite-request.ts";
import type { Query, QueryResult } from "./statement.ts";
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
  /**
   * Writes without RETURNING. `INSERT INTO must (ok) SELECT changes() = 1` among them asserts about the
   * one before it.
   */
  readonly statements: readonly Query[];
  /** Nobody waits for it: the change version stays as it is. */
  readonly quiet?: boolean;
}

/**
 * ok: applied exactly once. `changed[i]` is the number of rows that statement i changed; it is empty
 * when `repeated`, that is when an earlier sending of the same operation id had already applied it.
 * Otherwise nothing was applied, and nothing of it will be: `conflict` is the name of the guard that
 * did not hold, `must` for an assertion among the statements, or `constraint: …` with SQLite's message.
 */
export type CommitOutcome =
  | {
      readonly ok: true;
      readonly changed: readonly number[];
      readonly repeated: boolean;
    }
  | { readonly ok: false; readonly conflict: string };

export interface Store {
  /** Reads that decide: linearizable. Builds statements for `commit` with `.toSQL()`. */
  readonly db: StoreDb;
  /**
   * Reads that show. Linearizable too: an rqlited that was restarted shows its past to weaker reads, or
   * no tables at all, until it has applied its log again.
   */
  readonly display: StoreDb;
  /** This host's copy, however old: for what is said while there is no leader. */
  readonly local: StoreDb;
  /**
   * Applies the change once. Throws StoreError: `unknown` when it could not be learnt within the
   * deadline whether it was applied, other reasons when it was not.
   */
  commit(change: Change, signal?: AbortSignal): Promise<CommitOutcome>;
  /** The version that grows with every commit that is not quiet, as this host's copy knew it at most `maxAgeMs` ago (0 when absent). */
  changeVersion(signal?: AbortSignal, maxAgeMs?: number): Promise<number>;
  /**
   * Resolves with the first version seen beyond `since`: at once for a commit of this process, else
   * after at most `pollMs` (`changePollMs` when absent). Outages are waited out. Rejects with the
   * signal's reason.
   */
  waitForChange(since: number, signal: AbortSignal, pollMs?: number): Promise<number>;
  /** The same for those who can wait: looks once a second, and resolves after `maxMs` at the latest. Never rejects. */
  waitForNews(since: number, signal: AbortSignal, maxMs: number): Promise<void>;
  /** Calls the listener after every commit of this process. Answers its removal. */
  onCommit(listener: () => void): () => void;
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
  const listeners = new Set<() => void>();
  const shared = new SharedVersion(deps);
  return {
    db: createStoreDb(deps.rqlite, "linearizable"),
    display: createStoreDb(deps.rqlite, "linearizable"),
    local: createStoreDb(deps.rqlite, "none"),
    async commit(change, signal) {
      const outcome = await commit(deps, change, signal);
      if (outcome.ok) for (const listener of [...listeners]) listener();
      return outcome;
    },
    changeVersion: (signal, maxAgeMs = 0) => shared.read(signal, maxAgeMs),
    waitForNews: (since, signal, maxMs) => waitForNews(deps, shared, { since, signal, maxMs }),
    waitForChange: (since, signal, pollMs = changePollMs) =>
      waitForChange(deps, listeners, { since, signal, pollMs }),
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

const BUMP: Query = {
  sql: "UPDATE changes SET version = version + 1 WHERE singleton = 1",
  params: [],
};
const REPEATED: CommitOutcome = { ok: true, changed: [], repeated: true };
const BACKOFF = { firstMs: 20, maxMs: 400 };

async function commit(
  deps: StoreDeps,
  change: Change,
  signal: AbortSignal | undefined,
): Promise<CommitOutcome> {
  const { clock, rng, rqlite } = deps;
  const request = [
    operation(change.opId, clock.nowMs()),
    ...change.guards.map(guardStatement),
    ...change.statements,
    ...(change.quiet ? [] : [BUMP]),
  ];
  const endMs = clock.monotonicMs() + storeDeadlineMs;
  let inDoubt = false;
  for (let attempt = 0; ; attempt++) {
    const deadlineMs = Math.max(1, endMs - clock.monotonicMs());
    const timeoutMs = tryTimeoutMs(attempt, sizeOf(request));
    const options = { transaction: true, deadlineMs, timeoutMs, ...(signal ? { signal } : {}) };
    const tried = await attemptRequest(rqlite, request, options);
    if (!(tried instanceof StoreError)) return committed(tried, change);
    if (tried.reason === "unknown") {
      inDoubt = true;
      const waitMs = backoffMs(BACKOFF, attempt, rng);
      if (clock.monotonicMs() + waitMs >= endMs) throw tried;
      await clock.sleep(waitMs, signal);
      continue;
    }
    if (isRepetition(tried)) return REPEATED;
    const conflict = conflictOf(tried, change.guards);
    if (conflict === undefined) {
      throw inDoubt ? new StoreError("unknown", tried.message, { cause: tried }) : tried;
    }
    // An earlier sending may still be under way and find the guards true later: its id is used up.
    if (inDoubt && !(await claim(rqlite, request[0], options))) return REPEATED;
    return { ok: false, conflict };
  }
}

/** Roughly, in bytes. */
function sizeOf(request: readonly Query[]): number {
  const lengths = request.map(
    ({ sql, params }) =>
      sql.length +
      params.reduce<number>((sum, each) => sum + (typeof each === "string" ? each.length : 8), 0),
  );
  return lengths.reduce((sum, each) => sum + each, 0);
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

function committed(results: readonly QueryResult[], change: Change): CommitOutcome {
  const first = 1 + change.guards.length;
  const own = results.slice(first, first + change.statements.length);
  return { ok: true, changed: own.map((result) => result.changed), repeated: false };
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

async function readVersion(
  rqlite: Rqlite,
  level: ReadLevel,
  signal: AbortSignal | undefined,
): Promise<number> {
  const query = { sql: "SELECT version FROM changes WHERE singleton = 1", params: [] };
  const [result] = await rqlite
    .request([query], { level, ...(signal ? { signal } : {}) })
    .catch((thrown: unknown) => {
      throw isBehind(thrown) ? new StoreError("unavailable", BEHIND, { cause: thrown }) : thrown;
    });
  const value = result?.rows[0]?.[0];
  if (typeof value !== "number") throw new StoreError("sql", "the store has no change version");
  return value;
}

/** Many wait for the same news: one look serves all of them. */
class SharedVersion {
  readonly #deps: StoreDeps;
  #newest: { readonly version: number; readonly atMs: number } | undefined;

  constructor(deps: StoreDeps) {
    this.#deps = deps;
  }

  async read(signal: AbortSignal | undefined, maxAgeMs: number): Promise<number> {
    const atMs = this.#deps.clock.monotonicMs();
    if (this.#newest && atMs - this.#newest.atMs < maxAgeMs) return this.#newest.version;
    const version = await readVersion(this.#deps.rqlite, "none", signal);
    this.#newest = { version, atMs };
    return version;
  }
}

interface WaitForNews {
  readonly since: number;
  readonly signal: AbortSignal;
  readonly maxMs: number;
}

async function waitForNews(
  { clock }: StoreDeps,
  shared: SharedVersion,
  { since, signal, maxMs }: WaitForNews,
): Promise<void> {
  const endMs = clock.monotonicMs() + maxMs;
  while (!signal.aborted && clock.monotonicMs() < endMs) {
    await clock.sleep(newsPollMs, signal).catch(() => undefined);
    // A copy that cannot be asked has no news.
    const version = await shared.read(signal, newsPollMs / 2).catch(() => since);
    if (version > since) return;
  }
}

const BEHIND = "this host's copy of the store has nothing yet";

/** A copy that has not caught up yet does not even have the tables. */
function isBehind(thrown: unknown): boolean {
  return thrown instanceof StoreError && /no such table/.test(thrown.message);
}

interface Wait {
  readonly since: number;
  readonly signal: AbortSignal;
  readonly pollMs: number;
}

async function waitForChange(
  deps: StoreDeps,
  listeners: Set<() => void>,
  wait: Wait,
): Promise<number> {
  let wake = new AbortController();
  const listener = () => wake.abort();
  listeners.add(listener);
  try {
    for (let level: ReadLevel = "none"; ; ) {
      wait.signal.throwIfAborted();
      const version = await versionOr(deps.rqlite, level, wait);
      if (version > wait.since) return version;
      const woken = await pause(deps.clock, wait, wake.signal);
      // This host's copy may not have the commit that woke us yet; the leader's has.
      level = woken ? "weak" : "none";
      if (woken) wake = new AbortController();
    }
  } finally {
    listeners.delete(listener);
  }
}

/** The current version, or the known one while the store cannot be asked. */
async function versionOr(rqlite: Rqlite, level: ReadLevel, wait: Wait): Promise<number> {
  try {
    return await readVersion(rqlite, level, wait.signal);
  } catch (thrown) {
    if (thrown instanceof StoreError && (thrown.kind === "retryable" || isReplaying(thrown))) {
      return wait.since;
    }
    throw thrown;
  }
}

/** A restarted rqlited has no tables yet for reads that do not wait for its log. */
function isReplaying(error: StoreError): boolean {
  return error.message === "no such table: changes";
}

/** Sleeps until the time is over or it is woken, and answers which; rejects when the wait is aborted. */
async function pause(clock: Clock, wait: Wait, wake: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(wait.pollMs, AbortSignal.any([wait.signal, wake]));
  } catch (thrown) {
    wait.signal.throwIfAborted();
    if (!wake.aborted) throw thrown;
  }
  return wake.aborted;
}
