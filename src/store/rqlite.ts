// HTTP client of rqlite (https://rqlite.io/docs/api/api/). It sends, retries what was certainly not
// applied, and tells apart what was refused, what failed, and what may have been applied. It knows no
// table, and never logs or throws parameters or credentials.
import type { Clock } from "../base/clock.ts";
import { isAbort, messageOf } from "../base/errors.ts";
import {
  storeDeadlineMs,
  storeLeaderlessMs,
  storeRequestBytesMax,
  storeRequestTimeoutMs,
  storeResponseBytesMax,
  storeReturnMs,
} from "../base/limits.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import type { Secret } from "../base/secret.ts";
import { parseAnswer } from "./rqlite-answer.ts";
import { checkStatements, isRead, type Query, type QueryResult } from "./statement.ts";
import { StoreError } from "./store-error.ts";

/**
 * none: this node's copy, however old. weak: the node that believes it leads. linearizable: the leader,
 * after a quorum confirmed it. strong: through the log, as costly as a write.
 */
export type ReadLevel = "none" | "weak" | "linearizable" | "strong";

export interface RequestOptions {
  /** For requests that only read; `linearizable` when absent. */
  readonly level?: ReadLevel;
  /** All or nothing. When absent: true for more than one statement. */
  readonly transaction?: boolean;
  /** A repetition is harmless, so a write of unknown outcome is sent again. Reads always are. */
  readonly idempotent?: boolean;
  readonly signal?: AbortSignal;
  /** Over all tries; `storeDeadlineMs` when absent. */
  readonly deadlineMs?: number;
  /** Of one try; `storeRequestTimeoutMs` when absent. */
  readonly timeoutMs?: number;
}

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
  readonly password: Secret;
  readonly clock: Clock;
  readonly rng: Rng;
  /** As a function it is asked before every request: certificates are renewed. */
  readonly tls?: RqliteTls | (() => RqliteTls);
  /** What `linearizable` is sent as: `strong` where rqlite does not know it (see capabilities.ts). */
  readonly linearizableAs?: "linearizable" | "strong";
}

const BACKOFF = { firstMs: 20, maxMs: 400 };
/** Failures to connect: the request never left. */
const NOT_SENT = new Set([
  "ConnectionRefused",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "FailedToOpenSocket",
]);

/** A client for the given nodes of one rqlite cluster. */
export function createRqlite(options: RqliteOptions): Rqlite {
  return new RqliteClient(options);
}

interface Prepared {
  readonly path: string;
  readonly body: string;
  readonly count: number;
  /** An unknown outcome may be resolved by sending it again. */
  readonly repeatable: boolean;
  /** Its success proves that there is a leader. */
  readonly needsLeader: boolean;
  readonly timeoutMs: number;
}

class RqliteClient implements Rqlite {
  readonly #options: RqliteOptions;
  #current = 0;
  /** When the client left its preferred node. */
  #leftMs = 0;
  /** Since when every answer was that there is no leader, or none at all. */
  #leaderlessMs: number | undefined;

  constructor(options: RqliteOptions) {
    this.#options = options;
    if (this.#urls().length === 0) throw new StoreError("sql", "no address of the store given");
  }

  async request(
    statements: readonly Query[],
    options: RequestOptions = {},
  ): Promise<readonly QueryResult[]> {
    if (statements.length === 0) return [];
    const prepared = this.#prepare(statements, options);
    const { clock, rng } = this.#options;
    const urls = this.#urls();
    const endMs = clock.monotonicMs() + (options.deadlineMs ?? storeDeadlineMs);
    for (let attempt = 0; ; attempt++) {
      options.signal?.throwIfAborted();
      const remainingMs = Math.max(1, endMs - clock.monotonicMs());
      const tried = await this.#attempt(prepared, remainingMs, options.signal);
      if (!(tried instanceof StoreError)) {
        if (prepared.needsLeader) this.#leaderlessMs = undefined;
        return tried;
      }
      if (!mayRepeat(tried, prepared.repeatable)) throw tried;
      this.#leaderlessMs ??= clock.monotonicMs();
      const asked = attempt + 1 >= urls.length;
      if (asked && clock.monotonicMs() - this.#leaderlessMs >= storeLeaderlessMs) throw tried;
      const round = Math.floor(attempt / urls.length);
      const waitMs = (attempt + 1) % urls.length === 0 ? backoffMs(BACKOFF, round, rng) : 0;
      if (clock.monotonicMs() + waitMs >= endMs) throw tried;
      if (waitMs > 0) await clock.sleep(waitMs, options.signal);
    }
  }

  #prepare(statements: readonly Query[], options: RequestOptions): Prepared {
    checkStatements(statements);
    const reads = statements.every(isRead);
    const timeoutMs = options.timeoutMs ?? storeRequestTimeoutMs;
    const body = JSON.stringify(statements.map((each) => [each.sql, ...each.params]));
    if (Buffer.byteLength(body) > storeRequestBytesMax) {
      throw new StoreError("sql", `a request may have at most ${storeRequestBytesMax} bytes`);
    }
    // Bounds the hop from a follower to a leader that does not answer, so that we hear of it in time.
    const hopMs = Math.max(200, timeoutMs - 200);
    const query = new URLSearchParams({ timeout: `${hopMs}ms`, retries: "0" });
    if (options.transaction ?? statements.length > 1) query.set("transaction", "true");
    if (reads) {
      query.set("level", this.#level(options.level ?? "linearizable"));
      query.set("linearizable_timeout", `${hopMs}ms`);
    }
    return {
      // Never /db/request: there rqlite 8 takes `linearizable` for `none`, and a statement that cannot
      // be prepared does not undo its transaction.
      path: `/db/${reads ? "query" : "execute"}?${query}`,
      body,
      count: statements.length,
      repeatable: reads || options.idempotent === true,
      needsLeader: !reads || options.level !== "none",
      timeoutMs,
    };
  }

  #level(level: ReadLevel): ReadLevel {
    return level === "linearizable" ? (this.#options.linearizableAs ?? level) : level;
  }

  async #attempt(
    prepared: Prepared,
    remainingMs: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly QueryResult[] | StoreError> {
    const urls = this.#urls();
    const { clock } = this.#options;
    if (this.#current !== 0 && clock.monotonicMs() - this.#leftMs >= storeReturnMs) {
      this.#current = 0;
    }
    const index = this.#current % urls.length;
    const url = urls[index] ?? "";
    const answer = await this.#send(url, prepared, remainingMs, signal);
    const outage = answer instanceof StoreError && answer.kind === "retryable";
    // Others may have moved on from the same failure already.
    if (outage && this.#current % urls.length === index) {
      if (index === 0) this.#leftMs = clock.monotonicMs();
      this.#current = (index + 1) % urls.length;
    }
    return answer;
  }

  async #send(
    url: string,
    prepared: Prepared,
    remainingMs: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly QueryResult[] | StoreError> {
    const { clock } = this.#options;
    const tls = this.#tls();
    try {
      const response = await fetch(url + prepared.path, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: this.#basicAuth() },
        body: prepared.body,
        redirect: "manual",
        signal: clock.deadline(Math.min(prepared.timeoutMs, remainingMs), signal),
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
    const pair = `${this.#options.username}:${this.#options.password.reveal()}`;
    return `Basic ${Buffer.from(pair).toString("base64")}`;
  }
}

/** Whether a failed try may be followed by another. */
function mayRepeat(error: StoreError, repeatable: boolean): boolean {
  if (error.statement !== undefined) return false;
  if (error.reason === "no_leader" || error.reason === "unavailable") return true;
  return repeatable && (error.reason === "unknown" || error.reason === "timeout");
}

async function readResponse(
  response: Response,
  prepared: Prepared,
): Promise<readonly QueryResult[] | StoreError> {
  if (Number(response.headers.get("content-length") ?? 0) > storeResponseBytesMax) {
    await response.body?.cancel();
    return new StoreError("sql", `the store answered more than ${storeResponseBytesMax} bytes`);
  }
  const text = await response.text();
  if (response.ok) return parseAnswer(text, prepared.count);
  const message = `the store answered ${response.status}: ${text.trim().slice(0, 200)}`;
  switch (response.status) {
    case 401:
    case 403:
      return new StoreError("auth", "the store refused the credentials");
    case 400:
    case 404:
    case 405:
      return new StoreError("sql", message);
    case 503:
      return new StoreError("no_leader", message);
    default:
      // A follower that knows no leader had nobody to pass the request on to.
      if (/leader not found/.test(text)) return new StoreError("no_leader", message);
      return new StoreError(prepared.repeatable ? "unavailable" : "unknown", message);
  }
}

function transportError(url: string, thrown: unknown, repeatable: boolean): StoreError {
  if (thrown instanceof StoreError) return thrown;
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  if (NOT_SENT.has(code)) {
    return new StoreError("unavailable", `${url} is not reachable (${code})`, { cause: thrown });
  }
  const what = isAbort(thrown) ? "did not answer in time" : `failed (${messageOf(thrown)})`;
  const reason = repeatable ? (isAbort(thrown) ? "timeout" : "unavailable") : "unknown";
  return new StoreError(reason, `${url} ${what}`, { cause: thrown });
}
