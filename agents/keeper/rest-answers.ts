// Which answer a request to the REST API gets (Patroni's API: same paths, codes and bodies). Pure: writing requests
// come out as a command for the keeper.
import { parseTimestamp } from "../../src/base/clock.ts";
import { compareVersions, parseVersion, parseVersionNumber } from "../../src/postgres/version.ts";
import {
  clusterJson,
  configJson,
  type RestJson,
  type RestView,
  replayLag,
  statusJson,
  toJson,
} from "./rest-json.ts";
import { metricsText } from "./rest-metrics.ts";

export interface RestRequest {
  readonly method: string;
  /** With query, e.g. "/replica?lag=1MB". */
  readonly url: string;
  /** undefined when there was none. */
  readonly body: string | undefined;
  /** The caller may change things: loopback or a host of the database. */
  readonly trusted: boolean;
}

export type RestCommand =
  | { readonly kind: "reload" }
  | { readonly kind: "restart"; readonly reason: string }
  | { readonly kind: "schedule_restart"; readonly schedule: string; readonly atMs: number }
  | { readonly kind: "unschedule_restart" };

export interface RestAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** To be carried out; for a restart the answer above is that of success. */
  readonly command?: RestCommand;
}

/** A liveness check fails when the loop has not come round for this long. */
const livenessMs = { primary: 30_000, other: 60_000 };
/** How far ahead a restart can be scheduled: two weeks. */
const scheduleAheadMsMax = 14 * 24 * 3_600_000;
/** Largest lag of a replica that counts as ready, bytes. */
const readinessLagMax = 1_048_576n;

/** The answer; `nowMs` is wall time, for scheduled restarts. */
export function answerRest(request: RestRequest, view: RestView, nowMs: number): RestAnswer {
  const url = new URL(request.url, "http://keeper");
  const [first = ""] = url.pathname.split("/").filter((part) => part !== "");
  switch (request.method) {
    case "GET":
      return answerGet(first, url, view);
    case "HEAD":
    case "OPTIONS":
      return { ...health(url, view), body: "" };
    case "POST":
    case "PUT":
    case "PATCH":
    case "DELETE":
      return answerUnsafe(first, request, view, nowMs);
    default:
      return text(501, `Unsupported method ('${request.method}')`);
  }
}

function answerGet(first: string, url: URL, view: RestView): RestAnswer {
  switch (first) {
    case "patroni":
      return json(200, statusJson(view));
    case "cluster":
      return json(200, clusterJson(view));
    case "history":
      return json(200, []);
    case "config":
      return view.config ? json(200, configJson(view.config)) : text(502, "");
    case "failsafe":
      return text(502, "");
    case "metrics":
      return { status: 200, contentType: "text/plain", body: metricsText(view) };
    case "liveness":
      return statusLine(isLive(view));
    case "readiness":
      return statusLine(isReady(url, view));
    default:
      return health(url, view);
  }
}

/** Every other path is a health check; which one is found by words in it, in this order. */
function health(url: URL, view: RestView): RestAnswer {
  return json(isHealthy(url, view) ? 200 : 503, statusJson(view));
}

function isHealthy(url: URL, view: RestView): boolean {
  const path = url.pathname;
  const running = view.state === "running";
  const primary = running && view.role === "primary";
  const replica = running && view.role === "replica" && passesFilters(url, view);
  const tagged = passesTags(url);
  if (/standby_leader|standby-leader/.test(path)) return false;
  if (path === "/" || /leader|master|primary|read-write/.test(path)) return primary;
  if (path.includes("replica")) return replica && tagged;
  if (path.includes("read-only") && !/sync|quorum/.test(path))
    return primary || (replica && tagged);
  if (path.includes("health")) return running && tagged;
  if (["/async", "/asynchronous"].includes(path)) return replica && tagged;
  if (/^\/read-only-(sync|synchronous|quorum)$/.test(path)) return primary;
  return false;
}

/** `lag` and `replication_state`; a lag that cannot be read is ignored. */
function passesFilters(url: URL, view: RestView): boolean {
  const state = url.searchParams.get("replication_state");
  if (state !== null && state !== view.server?.replicationState) return false;
  const most = parseBytes(url.searchParams.get("lag") ?? "");
  const lag = replayLag(view.server);
  return most === undefined || (lag !== undefined && lag <= most);
}

/** This keeper has no tags, so any that is asked for is missing. */
function passesTags(url: URL): boolean {
  return ![...url.searchParams.keys()].some((key) => key.startsWith("tag_"));
}

function isLive(view: RestView): boolean {
  const primary = view.state === "running" && view.role === "primary";
  return view.cycleAgeMs < (primary ? livenessMs.primary : livenessMs.other);
}

function isReady(url: URL, view: RestView): boolean {
  if (view.state !== "running") return false;
  if (view.role === "primary") return true;
  const most = parseBytes(url.searchParams.get("lag") ?? "") ?? readinessLagMax;
  const lag = replayLag(view.server);
  return view.server?.replicationState === "streaming" && lag !== undefined && lag <= most;
}

function answerUnsafe(
  first: string,
  request: RestRequest,
  view: RestView,
  nowMs: number,
): RestAnswer {
  const route = `${request.method} /${first}`;
  if (!UNSAFE.has(route)) return text(501, `Unsupported method ('${request.method}')`);
  if (!request.trusted) return text(403, "Access is denied");
  switch (route) {
    case "POST /reload":
      return { ...text(202, "reload scheduled"), command: { kind: "reload" } };
    case "POST /restart":
      return answerRestart(request, view, nowMs);
    case "DELETE /restart":
      return view.scheduledRestart
        ? { ...text(200, "scheduled restart deleted"), command: { kind: "unschedule_restart" } }
        : text(404, "no restarts are scheduled");
    case "DELETE /switchover":
      return text(404, "no switchover is scheduled");
    case "PATCH /config":
    case "PUT /config":
      return text(503, "the configuration is changed in the spec of the database");
    case "POST /reinitialize":
      return text(503, "I am the leader, can not reinitialize");
    case "POST /failsafe":
      return text(502, "failsafe mode is off");
    default:
      return answerMove(first, request);
  }
}

const UNSAFE = new Set([
  "POST /reload",
  "POST /restart",
  "DELETE /restart",
  "DELETE /switchover",
  "PATCH /config",
  "PUT /config",
  "POST /reinitialize",
  "POST /failsafe",
  "POST /switchover",
  "POST /failover",
]);

/** The node has one instance, so there is nobody to switch over to. */
function answerMove(first: string, request: RestRequest): RestAnswer {
  const body = parseBody(request.body);
  if (body === undefined) return text(request.body === undefined ? 411 : 400, "");
  const what = first === "failover" ? "Failover" : "Switchover";
  const candidate = body.candidate ?? body.member;
  if (first === "failover" && !candidate) {
    return text(400, "Failover could be performed only to a specific candidate");
  }
  if (first === "switchover" && !body.leader) {
    return text(400, "Switchover could be performed only from a specific leader");
  }
  if (candidate && candidate === body.leader) {
    return text(400, "Switchover target and source are the same");
  }
  return text(
    412,
    `${what.toLowerCase()} is not possible: cluster does not have members except leader`,
  );
}

function answerRestart(request: RestRequest, view: RestView, nowMs: number): RestAnswer {
  const body = request.body === undefined || request.body === "" ? {} : parseBody(request.body);
  if (!body) return text(400, "");
  const filter = restartFilter(body, view);
  if (filter) return filter;
  const { schedule } = body;
  if (schedule === undefined || schedule === null) {
    const command = { kind: "restart", reason: "asked for through the REST API" } as const;
    return { ...text(200, "restarted successfully"), command };
  }
  const scheduled = String(schedule);
  if (!/(?:Z|[+-]\d{2}:?\d{2})$/.test(scheduled)) {
    return text(400, "Timezone information is mandatory for the scheduled restart");
  }
  const atMs = parseTimestamp(scheduled.replace(" ", "T"));
  if (atMs === undefined) return text(422, "Unable to parse scheduled timestamp");
  if (atMs - nowMs > scheduleAheadMsMax) return text(422, "Cannot schedule restart so far ahead");
  if (atMs <= nowMs) return text(422, "Cannot schedule restart in the past");
  if (view.scheduledRestart) return text(409, "Another restart is already scheduled");
  const command = { kind: "schedule_restart", schedule: scheduled, atMs } as const;
  return { ...text(202, "Restart scheduled"), command };
}

/** A refusal when a filter is not understood (400) or does not match (503). */
function restartFilter(
  body: Readonly<Record<string, unknown>>,
  view: RestView,
): RestAnswer | undefined {
  const { role, postgres_version, restart_pending } = body;
  if (role !== undefined) {
    const wanted = role === "master" ? "primary" : role;
    if (!["primary", "replica", "standby_leader"].includes(String(wanted))) {
      return text(400, "PostgreSQL role should be either primary, standby_leader, or replica");
    }
    if (wanted !== view.role) return text(503, "restart conditions are not satisfied");
  }
  if (postgres_version !== undefined) {
    const wanted = parseVersion(String(postgres_version));
    if (!wanted) return text(400, "PostgreSQL version could not be parsed");
    const { versionNumber } = view.server ?? {};
    const now = versionNumber === undefined ? undefined : parseVersionNumber(versionNumber);
    if (!now || compareVersions(now, wanted) >= 0) {
      return text(503, "restart conditions are not satisfied");
    }
  }
  if (restart_pending === true && view.pendingRestart.length === 0) {
    return text(503, "restart conditions are not satisfied");
  }
  return undefined;
}

/** A JSON object; undefined for anything else. */
function parseBody(body: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (!body) return undefined;
  try {
    const value: unknown = JSON.parse(body);
    return isObject(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** "16MB" or a number of bytes, as PostgreSQL reads sizes; undefined when it is neither. */
function parseBytes(value: string): bigint | undefined {
  const match = /^\s*(\d{1,18})\s*(B|kB|MB|GB|TB)?\s*$/.exec(value);
  if (!match) return undefined;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = units.indexOf(match[2] ?? "B");
  return BigInt(match[1] ?? "0") * 1024n ** BigInt(power);
}

function json(status: number, value: RestJson): RestAnswer {
  return { status, contentType: "application/json", body: toJson(value) };
}

function text(status: number, body: string): RestAnswer {
  return { status, contentType: "text/html", body };
}

function statusLine(good: boolean): RestAnswer {
  return text(good ? 200 : 503, "");
}
