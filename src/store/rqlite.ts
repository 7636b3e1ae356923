// HTTP client of rqlite (https://rqlite.io/docs/api/api/). It sends, retries what was certainly not
// applied, and tells apart what was refused, what failed, and what may have been applied. It knows no
// table, and never logs or throws parameters or credentials.
import type { Clock } from "../base/clock.ts";
import {
  storeAuthPatienceMs,
  storeDeadlineMs,
  storeLeaderlessMs,
  storePassOnMs,
  storeProbeMs,
  storeReturnMs,
} from "../base/limits.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import type { Secret } from "../base/secret.ts";
import {
  type Prepared,
  pathOf,
  prepare,
  type RequestOptions,
  readResponse,
  transportError,
  tryTimeoutMs,
} from "./rqlite-request.ts";
import type { Query, QueryResult } from "./statement.ts";
import { StoreError } from "./store-error.ts";

export type { ReadLevel, RequestOptions } from "./rqlite-request.ts";

/** A store that runs statements: rqlite over HTTP, or SQLite in tests. */
export interface Rqlite {
  /**
   * Runs the statements in order, all reads or all writes, and answers one result for each. Throws StoreError, or the signal's
   * reason when it aborts (a write in flight may then still be applied).
   */
  request(statements: readonly Query[], options?: RequestOptions): Promise<readonly QueryResult[]>;
}

/** Certificates for https URLs, as PEM texts. */
export interface RqliteTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface RqliteOptions {
  /**
   * `http(s)://host:port`, preferred first. The client stays with one until it fails. As a function it
   * is asked before every request: members come and go.
   */
  readonly urls: readonly string[] | (() => readonly string[]);
  readonly username: string;
  /** As a function it is asked before every request: passwords are replaced when a host is removed. */
  readonly password: Secret | (() => Secret);
  readonly clock: Clock;
  readonly rng: Rng;
  /** As a function it is asked before every request: certificates are renewed. */
  readonly tls?: RqliteTls | (() => RqliteTls);
  /** What `linearizable` is sent as: `strong` where rqlite does not know it (see capabilities.ts). */
  readonly linearizableAs?: "linearizable" | "strong";
  /** Why this host's own member can write nothing, when it is for want of space; asked after failures only. */
  readonly lacksSpace?: () => string | undefined;
}

/** The leader may have changed on the way. */
const redirectsMax = 2;
const BACKOFF = { firstMs: 20, maxMs: 400 };

/** A client for the given nodes of one rqlite cluster. */
export function createRqlite(options: RqliteOptions): Rqlite {
  return new RqliteClient(options);
}

/**
 * Requests go to one node, which passes on what only the leader can do. A linearizable read goes to the leader itself:
 * a follower of rqlite 8 that passes one on makes a strong one of it, which every member writes to its log
 * (`Store.Query` changes the level before it looks who leads).
 */
class RqliteClient implements Rqlite {
  readonly #options: RqliteOptions;
  #current = 0;
  /** URL of the node that answered a linearizable read last. */
  #leader: string | undefined;
  /** Until then linearizable reads are passed on: the leader was not reached, or is none of ours. */
  #passOnUntilMs = 0;
  /** When the client left its preferred node. */
  #leftMs = 0;
  /** Begin of the first try since which none that needs a leader succeeded, and no node had one. */
  #troubledMs: number | undefined;
  /** A look for a node with a leader; requests that wait share it. */
  #looking: Promise<number | undefined> | undefined;

  constructor(options: RqliteOptions) {
    this.#options = options;
    if (this.#urls().length === 0) throw new StoreError("sql", "no address of the store given");
  }

  async request(
    statements: readonly Query[],
    options: RequestOptions = {},
  ): Promise<readonly QueryResult[]> {
    if (statements.length === 0) return [];
    const prepared = prepare(statements, options, this.#options.linearizableAs ?? "linearizable");
    const { clock, rng } = this.#options;
    const endMs = clock.monotonicMs() + (options.deadlineMs ?? storeDeadlineMs);
    let failure: StoreError | undefined;
    let refusedMs: number | undefined;
    for (let attempt = 0; ; attempt++) {
      options.signal?.throwIfAborted();
      if (prepared.needsLeader && this.#troubledMs !== undefined) {
        await this.#awaitLeader({ failure, endMs, signal: options.signal });
      }
      const startedMs = clock.monotonicMs();
      const tried = await this.#attempt(prepared, { attempt, endMs, signal: options.signal });
      if (!(tried instanceof StoreError)) {
        if (prepared.needsLeader) this.#troubledMs = undefined;
        return tried;
      }
      failure = tried;
      if (prepared.needsLeader && isOutage(tried)) this.#troubledMs ??= startedMs;
      if (!mayRepeat(tried, prepared.repeatable)) throw tried;
      if (tried.reason === "auth") {
        refusedMs ??= startedMs;
        if (clock.monotonicMs() - refusedMs >= storeAuthPatienceMs) throw tried;
      }
      const count = this.#urls().length;
      const round = Math.floor(attempt / count);
      const waitMs = (attempt + 1) % count === 0 ? backoffMs(BACKOFF, round, rng) : 0;
      if (clock.monotonicMs() + waitMs >= endMs) throw tried;
      if (waitMs > 0) await clock.sleep(waitMs, options.signal);
    }
  }

  /**
   * Resolves when a node knows and reaches a leader; the next try goes there. Throws when there was none for
   * `storeLeaderlessMs`: whoever asks hears of it soon, and while it lasts everybody hears of it at once.
   */
  async #awaitLeader(wait: {
    readonly failure: StoreError | undefined;
    readonly endMs: number;
    readonly signal: AbortSignal | undefined;
  }): Promise<void> {
    const { clock, rng, lacksSpace } = this.#options;
    for (let round = 0; ; round++) {
      this.#looking ??= this.#look();
      const ready = await this.#looking;
      wait.signal?.throwIfAborted();
      if (ready !== undefined) {
        this.#troubledMs = undefined;
        return this.#moveTo(ready);
      }
      // Another request may have found the leader meanwhile.
      if (this.#troubledMs === undefined) return;
      const nowMs = clock.monotonicMs();
      if (nowMs - this.#troubledMs >= storeLeaderlessMs || nowMs >= wait.endMs) {
        const space = lacksSpace?.();
        if (space !== undefined) throw new StoreError("full", space);
        throw wait.failure ?? new StoreError("no_leader", "no node of the store has a leader");
      }
      await clock.sleep(backoffMs(BACKOFF, round, rng), wait.signal);
    }
  }

  /** Asks all nodes at once; the first that has a leader. */
  async #look(): Promise<number | undefined> {
    const { clock } = this.#options;
    const leftMs = (this.#troubledMs ?? 0) + storeLeaderlessMs - clock.monotonicMs();
    // The last look before requests fail does not keep them longer.
    const timeoutMs = leftMs > 0 ? Math.min(storeProbeMs, Math.max(leftMs, 100)) : storeProbeMs;
    try {
      const asked = this.#urls().map(async (url, index) => {
        if (await this.#hasLeader(url, timeoutMs)) return index;
        throw new StoreError("no_leader", url);
      });
      return await Promise.any(asked);
    } catch (thrown) {
      if (thrown instanceof AggregateError) return undefined;
      throw thrown;
    } finally {
      this.#looking = undefined;
    }
  }

  async #hasLeader(url: string, timeoutMs: number): Promise<boolean> {
    const tls = this.#tls();
    try {
      const response = await fetch(`${url}/readyz?timeout=${storeProbeMs}ms`, {
        headers: { authorization: this.#basicAuth() },
        redirect: "manual",
        signal: this.#options.clock.deadline(timeoutMs),
        ...(tls ? { tls } : {}),
      });
      await response.body?.cancel();
      // Who refuses the question is there: the request itself will tell what is wrong.
      return response.status < 500;
    } catch (thrown) {
      if (thrown instanceof Error) return false;
      throw thrown;
    }
  }

  #moveTo(index: number): void {
    if (index !== 0 && this.#current === 0) this.#leftMs = this.#options.clock.monotonicMs();
    this.#current = index;
  }

  async #attempt(prepared: Prepared, one: Try): Promise<readonly QueryResult[] | StoreError> {
    const urls = this.#urls();
    const { clock } = this.#options;
    // Of its own copy every node can tell; this host's is the one that is meant.
    if (!prepared.needsLeader) {
      return this.#send(urls[one.attempt % urls.length] ?? "", prepared, one);
    }
    if (this.#current !== 0 && clock.monotonicMs() - this.#leftMs >= storeReturnMs) {
      this.#current = 0;
    }
    const index = this.#current % urls.length;
    const url = urls[index] ?? "";
    const answer =
      (await this.#readAtLeader(prepared, one, url)) ?? (await this.#send(url, prepared, one));
    const outage = answer instanceof StoreError && answer.kind === "retryable";
    // Others may have moved on from the same failure already.
    if (outage && this.#current % urls.length === index) this.#moveTo((index + 1) % urls.length);
    return answer;
  }

  /** Undefined for other requests, and when the leader is not reached: then others may know a way. */
  async #readAtLeader(
    prepared: Prepared,
    one: Try,
    first: string,
  ): Promise<readonly QueryResult[] | StoreError | undefined> {
    const { clock } = this.#options;
    if (!prepared.linearizable || one.attempt > 0) return undefined;
    if (clock.monotonicMs() < this.#passOnUntilMs) return undefined;
    const query = { ...prepared.query, redirect: "true" };
    let url = this.#urls().find((each) => each === this.#leader) ?? first;
    for (let hop = 0; hop <= redirectsMax; hop++) {
      const answer = await this.#send(url, { ...prepared, query }, one);
      if (!(answer instanceof StoreError)) {
        this.#leader = url;
        return answer;
      }
      if (answer.statement !== undefined) return answer;
      const next = this.#urls().find((each) => each === answer.elsewhere);
      if (next === undefined) {
        this.#leader = undefined;
        if (url === first && answer.elsewhere === undefined) return answer;
        break;
      }
      url = next;
    }
    this.#passOnUntilMs = clock.monotonicMs() + storePassOnMs;
    return undefined;
  }

  async #send(
    url: string,
    prepared: Prepared,
    { attempt, endMs, signal }: Try,
  ): Promise<readonly QueryResult[] | StoreError> {
    const { clock } = this.#options;
    const tls = this.#tls();
    const timeoutMs = prepared.timeoutMs ?? tryTimeoutMs(attempt, prepared.body.length);
    const remainingMs = Math.max(1, endMs - clock.monotonicMs());
    try {
      const response = await fetch(url + pathOf(prepared, timeoutMs), {
        method: "POST",
        headers: { "content-type": "application/json", authorization: this.#basicAuth() },
        body: prepared.body,
        redirect: "manual",
        signal: clock.deadline(Math.min(timeoutMs, remainingMs), signal),
        ...(tls ? { tls } : {}),
      });
      return await readResponse(response, prepared);
    } catch (thrown) {
      signal?.throwIfAborted();
      return transportError(url, thrown, prepared.repeatable);
    }
  }

  #urls(): readonly string[] {
    const { urls } = this.#options;
    return typeof urls === "function" ? urls() : urls;
  }

  #tls(): RqliteTls | undefined {
    const { tls } = this.#options;
    return typeof tls === "function" ? tls() : tls;
  }

  #basicAuth(): string {
    const { username, password } = this.#options;
    const current = typeof password === "function" ? password() : password;
    const pair = `${username}:${current.reveal()}`;
    return `Basic ${Buffer.from(pair).toString("base64")}`;
  }
}

interface Try {
  readonly attempt: number;
  readonly endMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Whether the failure may mean that there is no leader. */
function isOutage(error: StoreError): boolean {
  return error.kind === "retryable" && error.statement === undefined;
}

/** Whether a failed try may be followed by another. */
function mayRepeat(error: StoreError, repeatable: boolean): boolean {
  if (error.statement !== undefined) return false;
  // Passwords are replaced on all hosts at once; for a moment one of them is late.
  if (["no_leader", "unavailable", "auth"].includes(error.reason)) return true;
  return repeatable && (error.reason === "unknown" || error.reason === "timeout");
}
