// One session with a PostgreSQL as the superuser: with the managed one over its unix socket, with another member's
// over TLS. Every statement has a deadline; a session that missed one, or lost its connection, is never used again.
import { SQL } from "bun";
import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { sqlConnectTimeoutMs, sqlDeadlineMs } from "../../src/base/limits.ts";
import { superuserName } from "../../src/postgres/hba.ts";

export type Row = Readonly<Record<string, unknown>>;

/** An error that PostgreSQL answered; `sqlState` as in the manual's appendix A. */
export class SqlError extends AppError {
  /** Absent when the connection failed, not the statement. */
  readonly sqlState: string | undefined;

  constructor(message: string, sqlState: string | undefined, cause: unknown) {
    super(isTransient(sqlState) ? "retryable" : "terminal", message, { cause });
    this.name = "SqlError";
    this.sqlState = sqlState;
  }
}

export interface SqlTarget {
  readonly socketDir: string;
  /** Also names the socket. */
  readonly port: number;
  readonly database: string;
  /** Major version of the server. */
  readonly major: number;
  /** `keeper`: nothing but pg_catalog is searched. `script`: the search path of a user. */
  readonly profile: "keeper" | "script";
  /** `local`: commits do not wait for standbys. */
  readonly commits?: "local";
}

/** PostgreSQL of another member of the node. */
export interface RemoteTarget {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Major version of the server. */
  readonly major: number;
  /** PEM texts; the certificate is the superuser's. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

export interface QueryOptions {
  /** `sqlDeadlineMs` when absent. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** The session keeps it parsed and planned, for what is asked again and again; statements with parameters always are. */
  readonly kept?: boolean;
}

export interface SqlSession {
  /** Runs one statement. Throws SqlError, or the signal's reason; never shows the statement. */
  query(text: string, params?: readonly unknown[], options?: QueryOptions): Promise<readonly Row[]>;
  /** Whether it can still be used. */
  readonly usable: boolean;
  close(): Promise<void>;
}

/**
 * Settings of every session. They come with the connection and so win over those of roles and databases; what
 * the keeper sends must not be slowed, blocked, logged or collected, because statements hold verifiers.
 */
const SETTINGS = {
  application_name: "pgherd keeper",
  client_encoding: "UTF8",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  TimeZone: "UTC",
  bytea_output: "hex",
  standard_conforming_strings: "on",
  synchronous_commit: "on",
  default_transaction_read_only: "off",
  default_transaction_isolation: "read committed",
  idle_in_transaction_session_timeout: "0",
  idle_session_timeout: "0",
  row_security: "on",
  track_activities: "off",
  // A library that is not there would refuse the keeper too, and with it every way to mend the setting.
  session_preload_libraries: "",
  local_preload_libraries: "",
  log_statement: "none",
  log_duration: "off",
  log_min_duration_statement: "-1",
  log_min_duration_sample: "-1",
  log_transaction_sample_rate: "0",
  log_min_error_statement: "panic",
  "pg_stat_statements.track": "none",
  "pg_stat_statements.track_utility": "off",
  "auto_explain.log_min_duration": "-1",
  "pgaudit.log": "none",
} as const;

/** Settings that older versions do not know. */
function newerSettings(major: number): Readonly<Record<string, string>> {
  return major >= 17 ? { transaction_timeout: "0" } : {};
}

const PROFILES = {
  keeper: { search_path: "pg_catalog", statement_timeout: "10000", lock_timeout: "5000" },
  script: { search_path: '"$user", public', statement_timeout: "0", lock_timeout: "0" },
} as const;

/** Connects. Throws SqlError when PostgreSQL does not take the connection within `sqlConnectTimeoutMs`. */
export async function openSession(
  target: SqlTarget,
  clock: Clock,
  signal?: AbortSignal,
): Promise<SqlSession> {
  const place = { path: `${target.socketDir}/.s.PGSQL.${target.port}` };
  return connect(place, target, clock, signal);
}

/** Connects to another member; its certificate must be one for this host. Throws like `openSession`. */
export async function openRemoteSession(
  target: RemoteTarget,
  clock: Clock,
  signal?: AbortSignal,
): Promise<SqlSession> {
  const { host, port, tls } = target;
  const place = {
    hostname: host,
    port,
    tls: { ...tls, rejectUnauthorized: true, serverName: host },
  };
  return connect(place, { ...target, profile: "keeper" }, clock, signal);
}

type Place =
  | { readonly path: string }
  | { readonly hostname: string; readonly port: number; readonly tls: Bun.TLSOptions };

async function connect(
  place: Place,
  target: Pick<SqlTarget, "database" | "major" | "profile" | "commits">,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<SqlSession> {
  const sql = new SQL({
    adapter: "postgres",
    ...place,
    username: superuserName,
    database: target.database,
    max: 1,
    idleTimeout: 0,
    connectionTimeout: sqlConnectTimeoutMs / 1_000,
    connection: {
      ...SETTINGS,
      ...newerSettings(target.major),
      ...PROFILES[target.profile],
      ...(target.commits ? { synchronous_commit: target.commits } : {}),
    },
  });
  // A reserved connection stays broken when it breaks; the pool would quietly open another one.
  try {
    const connection = await within(sql.reserve(), sqlConnectTimeoutMs, clock, signal);
    return new Session(sql, connection, clock);
  } catch (thrown) {
    await sql.close({ timeout: 0 });
    throw asSqlError(thrown);
  }
}

type Connection = Awaited<ReturnType<SQL["reserve"]>>;

class Session implements SqlSession {
  readonly #sql: SQL;
  readonly #connection: Connection;
  readonly #clock: Clock;
  #usable = true;

  constructor(sql: SQL, connection: Connection, clock: Clock) {
    this.#sql = sql;
    this.#connection = connection;
    this.#clock = clock;
  }

  get usable(): boolean {
    return this.#usable;
  }

  async query(text: string, params: readonly unknown[] = [], options: QueryOptions = {}) {
    if (!this.#usable) throw new SqlError("the session has ended", undefined, undefined);
    const running =
      options.kept && params.length === 0
        ? this.#connection(new Template(text))
        : this.#connection.unsafe(text, [...params]);
    try {
      const limitMs = options.deadlineMs ?? sqlDeadlineMs;
      const rows: readonly Row[] = await within(running, limitMs, this.#clock, options.signal);
      return rows;
    } catch (thrown) {
      const error = asSqlError(thrown);
      if (error instanceof SqlError && error.sqlState !== undefined && !isFatal(error.sqlState)) {
        throw error;
      }
      this.#usable = false;
      running.cancel();
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#usable = false;
    await this.#sql.close({ timeout: 0 });
  }
}

/** Without parameters, only what is written as a template is kept by the client. */
class Template extends Array<string> implements TemplateStringsArray {
  declare readonly raw: readonly string[];

  constructor(text: string) {
    super(text);
    Object.defineProperty(this, "raw", { value: [text] });
  }
}

/** The promise's outcome, or an error once the time is over or the signal aborts. */
async function within<T>(
  work: Promise<T>,
  ms: number,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<T> {
  const done = new AbortController();
  const limit = clock
    .sleep(ms, signal ? AbortSignal.any([signal, done.signal]) : done.signal)
    .then((): never => {
      throw new SqlError(`PostgreSQL did not answer within ${ms} ms`, undefined, undefined);
    });
  try {
    return await Promise.race([work, limit]);
  } finally {
    done.abort();
  }
}

/** Only the message and the SQLSTATE are kept: details and hints can repeat data of the statement. */
function asSqlError(thrown: unknown): unknown {
  if (thrown instanceof AppError) return thrown;
  if (!(thrown instanceof SQL.PostgresError)) return thrown;
  const state = thrown.code === "ERR_POSTGRES_SERVER_ERROR" ? String(thrown.errno) : undefined;
  return new SqlError(messageOf(thrown), state, thrown);
}

/** The connection ends with these: administrator commands, crashes, refused connections. */
function isFatal(sqlState: string): boolean {
  return sqlState.startsWith("57P") || sqlState.startsWith("08") || sqlState.startsWith("28");
}

function isTransient(sqlState: string | undefined): boolean {
  if (sqlState === undefined) return true;
  return isFatal(sqlState) || /^(40|53|55|57)/.test(sqlState);
}
