// One request to one node of rqlite: its path and body, how long it may take, and what its answer or silence means.
// It never shows parameters or credentials.
import { isAbort, messageOf } from "../base/errors.ts";
import {
  storeFirstTryMs,
  storeRequestBytesMax,
  storeRequestTimeoutMs,
  storeResponseBytesMax,
} from "../base/limits.ts";
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
  /** Of one try; when absent the first tries are shorter than `storeRequestTimeoutMs`. */
  readonly timeoutMs?: number;
}

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

/** A request as it is sent to whichever node. */
export interface Prepared {
  readonly reads: boolean;
  readonly query: Readonly<Record<string, string>>;
  readonly body: string;
  readonly count: number;
  /** An unknown outcome may be resolved by sending it again. */
  readonly repeatable: boolean;
  /** A read that the leader does best itself: see RqliteClient. */
  readonly linearizable: boolean;
  /** Its success proves that there is a leader. */
  readonly needsLeader: boolean;
  /** Of one try, where the caller has a say. */
  readonly timeoutMs: number | undefined;
}

/** Throws a StoreError `sql` for what must not be sent. `linearizableAs`: see RqliteOptions. */
export function prepare(
  statements: readonly Query[],
  options: RequestOptions,
  linearizableAs: "linearizable" | "strong",
): Prepared {
  checkStatements(statements);
  const reads = statements.every(isRead);
  const body = JSON.stringify(statements.map((each) => [each.sql, ...each.params]));
  if (Buffer.byteLength(body) > storeRequestBytesMax) {
    throw new StoreError("sql", `a request may have at most ${storeRequestBytesMax} bytes`);
  }
  const inOne = options.transaction ?? statements.length > 1;
  const level: ReadLevel = options.level ?? "linearizable";
  return {
    reads,
    query: {
      ...(inOne ? { transaction: "true" } : {}),
      ...(reads ? { level: level === "linearizable" ? linearizableAs : level } : {}),
    },
    body,
    count: statements.length,
    repeatable: reads || options.idempotent === true,
    linearizable: reads && level === "linearizable" && linearizableAs === "linearizable",
    needsLeader: !reads || level !== "none",
    timeoutMs: options.timeoutMs,
  };
}

/** Bytes that a store under load takes in one millisecond. */
const SLOW_BYTES_PER_MS = 10_000;

/**
 * How long one try may take: the first one is short, since a leader that was cut off does not answer at all;
 * a store that is only slow gets more time with every try.
 */
export function tryTimeoutMs(attempt: number, bytes = 0): number {
  const firstMs = storeFirstTryMs + bytes / SLOW_BYTES_PER_MS;
  return Math.round(Math.min(storeRequestTimeoutMs, firstMs * 2 ** attempt));
}

/** Path and query of one try. */
export function pathOf({ reads, query }: Prepared, timeoutMs: number): string {
  // Bounds the hop from a follower to a leader that does not answer, so that we hear of it in time.
  const hopMs = `${Math.max(200, timeoutMs - 200)}ms`;
  const parameters = new URLSearchParams({ timeout: hopMs, retries: "0", ...query });
  if (reads) parameters.set("linearizable_timeout", hopMs);
  // Never /db/request: there rqlite 8 takes `linearizable` for `none`, and a statement that cannot
  // be prepared does not undo its transaction.
  return `/db/${reads ? "query" : "execute"}?${parameters}`;
}

/** The results that a response holds, or what it means that it holds none. */
export async function readResponse(
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
    case 301:
      return new StoreError("no_leader", message, {
        elsewhere: originOf(response.headers.get("location")),
      });
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

/** What it means that no response came. */
export function transportError(url: string, thrown: unknown, repeatable: boolean): StoreError {
  if (thrown instanceof StoreError) return thrown;
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  if (NOT_SENT.has(code)) {
    return new StoreError("unavailable", `${url} is not reachable (${code})`, { cause: thrown });
  }
  const what = isAbort(thrown) ? "did not answer in time" : `failed (${messageOf(thrown)})`;
  const reason = repeatable ? (isAbort(thrown) ? "timeout" : "unavailable") : "unknown";
  return new StoreError(reason, `${url} ${what}`, { cause: thrown });
}

/** Scheme, host and port of a redirection; undefined when it has none. */
function originOf(location: string | null): string | undefined {
  return location !== null && URL.canParse(location) ? new URL(location).origin : undefined;
}
