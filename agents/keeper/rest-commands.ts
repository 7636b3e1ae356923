// What requests that change something ask of the keeper (reference: Patroni's REST API), and why they are refused.
// Pure. A change of the primary becomes an intent of the node, the same as through the control plane's own API.
import { parseTimestamp } from "../../src/base/clock.ts";
import { compareVersions, parseVersion, parseVersionNumber } from "../../src/postgres/version.ts";
import { authenticationProblem } from "./rest-authentication.ts";
import { isPaused, type RestGroup, scheduledSwitchover } from "./rest-group.ts";
import type { RestView } from "./rest-json.ts";
import { type Handover, type RestAnswer, type RestRequest, text } from "./rest-messages.ts";

/** How far ahead something can be scheduled: two weeks. */
const scheduleAheadMsMax = 14 * 24 * 3_600_000;

type Body = Readonly<Record<string, unknown>>;

/** The answer to a request with POST, PUT, PATCH or DELETE. */
export function answerUnsafe(
  first: string,
  request: RestRequest,
  view: RestView,
  nowMs: number,
): RestAnswer {
  const route = `${request.method} /${first}`;
  if (!UNSAFE.has(route)) return text(501, `Unsupported method ('${request.method}')`);
  if (!request.trusted) return text(403, "Access is denied");
  const stranger = authenticationProblem(request.authorization, view.config?.rest_authentication);
  if (stranger !== undefined) return { ...text(401, stranger), headers: challenge };
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
      return answerUnschedule(view.group);
    case "PATCH /config":
      return answerPause(request, view.group);
    case "PUT /config":
      return text(503, specText);
    case "POST /reinitialize":
      return answerReinitialize(request, view);
    case "POST /failsafe":
      return text(502, "failsafe mode is off");
    default:
      return answerHandover(first, request, view, nowMs);
  }
}

const challenge = { "www-authenticate": 'Basic realm="Patroni"' };

const specText = "the configuration is changed in the spec of the database";

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

function answerHandover(
  first: string,
  request: RestRequest,
  view: RestView,
  nowMs: number,
): RestAnswer {
  const body = parseBody(request.body);
  if (body === undefined) return text(request.body === undefined ? 411 : 400, "");
  const leader = textOf(body.leader);
  const candidate = textOf(body.candidate) ?? textOf(body.member);
  const planned = first === "switchover" || leader !== undefined;
  const what = planned ? "Switchover" : "Failover";
  const refusal = shapeRefusal(first, { leader, candidate, what }, view);
  if (refusal) return refusal;
  const schedule = parseSchedule(body.scheduled_at, what.toLowerCase(), nowMs);
  if (schedule instanceof Object) return schedule;
  if (schedule !== null && first === "failover") return text(400, "Failover can't be scheduled");
  const impossible = impossibility(view.group, { leader, candidate });
  if (impossible !== undefined) return text(412, `${what} is not possible: ${impossible}`);
  const payload: Handover =
    planned || candidate === undefined
      ? { kind: "switchover", from: leader ?? null, to: candidate ?? null }
      : { kind: "failover", to: candidate };
  const command = { kind: "handover", payload, atMs: schedule } as const;
  return { ...text(schedule === null ? 200 : 202, `${what} scheduled`), command };
}

interface Asked {
  readonly leader: string | undefined;
  readonly candidate: string | undefined;
}

function shapeRefusal(
  first: string,
  { leader, candidate, what }: Asked & { readonly what: string },
  { group }: RestView,
): RestAnswer | undefined {
  if (first === "failover" && candidate === undefined) {
    return text(400, "Failover could be performed only to a specific candidate");
  }
  if (first === "switchover" && leader === undefined) {
    return text(400, "Switchover could be performed only from a specific leader");
  }
  if (candidate !== undefined && candidate === leader) {
    return text(400, `${what} target and source are the same`);
  }
  if (group && isPaused(group) && candidate === undefined) {
    return text(400, `${what} is possible only to a specific candidate in a paused state`);
  }
  return undefined;
}

/** Why nobody can take over; undefined = somebody may be able to. */
function impossibility(
  group: RestGroup | undefined,
  { leader, candidate }: Asked,
): string | undefined {
  if (!group || group.view.members.length < 2) {
    return "cluster does not have members except leader";
  }
  const holder = group.view.lease?.row?.holder ?? undefined;
  if (leader !== undefined && leader !== holder) return "leader name does not match";
  const names = group.view.members.map(({ instance_id }) => instance_id);
  if (candidate === undefined) return undefined;
  if (!names.includes(candidate)) return "candidate does not exist";
  return candidate === holder ? "candidate is the leader already" : undefined;
}

function answerUnschedule(group: RestGroup | undefined): RestAnswer {
  const none = text(404, "no switchover is scheduled");
  if (!group || scheduledSwitchover(group) === undefined) return none;
  const { intents, wallMs } = group.view;
  const waiting = intents.find(
    ({ payload: { kind }, not_before_ms }) =>
      (kind === "switchover" || kind === "failover") && (not_before_ms ?? 0) > wallMs,
  );
  if (!waiting) return none;
  const command = { kind: "unschedule_handover", id: waiting.id } as const;
  return { ...text(200, "scheduled switchover deleted"), command };
}

/** Of the dynamic configuration only `pause` is changed here: patronictl pause and resume send nothing else. */
function answerPause(request: RestRequest, group: RestGroup | undefined): RestAnswer {
  const body = parseBody(request.body);
  if (body === undefined) return text(request.body === undefined ? 411 : 400, "");
  const { pause, ...others } = body;
  const known = pause === true || pause === false || pause === null;
  if (Object.keys(others).length > 0 || !known) return text(503, specText);
  if (!group) return text(503, "an instance that is alone cannot be paused");
  const pauses = group.view.intents.filter(({ payload }) => payload.kind === "pause");
  if (pause === true) {
    if (pauses.length > 0) return text(200, "");
    return { ...text(200, ""), command: { kind: "intend", payload: { kind: "pause" } } };
  }
  return { ...text(200, ""), command: { kind: "end_intents", ids: pauses.map(({ id }) => id) } };
}

function answerReinitialize(request: RestRequest, { group, name }: RestView): RestAnswer {
  const body = request.body === undefined || request.body === "" ? {} : parseBody(request.body);
  if (!body) return text(400, "");
  const holder = group?.view.lease?.row?.holder ?? null;
  if (!group || holder === name) return text(503, "I am the leader, can not reinitialize");
  if (holder === null) return text(503, "Cluster has no leader, can not reinitialize");
  const open = group.view.intents.some(
    ({ payload }) => payload.kind === "reinitialize" && payload.instance_id === name,
  );
  if (open && body.force !== true) return text(503, "reinitialize already in progress");
  if (open) return text(200, "reinitialize started");
  const fromLeader = body.from_leader === true || body["from-leader"] === true;
  const from = fromLeader ? holder : null;
  const payload = { kind: "reinitialize", instance_id: name, from } as const;
  return { ...text(200, "reinitialize started"), command: { kind: "intend", payload } };
}

function answerRestart(request: RestRequest, view: RestView, nowMs: number): RestAnswer {
  const body = request.body === undefined || request.body === "" ? {} : parseBody(request.body);
  if (!body) return text(400, "");
  const filter = restartFilter(body, view);
  if (filter) return filter;
  const atMs = parseSchedule(body.schedule, "restart", nowMs);
  if (atMs === null) {
    const command = { kind: "restart", reason: "asked for through the REST API" } as const;
    return { ...text(200, "restarted successfully"), command };
  }
  if (atMs instanceof Object) return atMs;
  if (view.group && isPaused(view.group)) {
    return text(500, "Can't schedule restart in the paused state");
  }
  if (view.scheduledRestart) return text(409, "Another restart is already scheduled");
  const command = { kind: "schedule_restart", schedule: String(body.schedule), atMs } as const;
  return { ...text(202, "Restart scheduled"), command };
}

/** Wall time of a schedule; null = none was given; a refusal for one that is no time to come. */
function parseSchedule(given: unknown, what: string, nowMs: number): number | null | RestAnswer {
  if (given === undefined || given === null || given === "") return null;
  const schedule = String(given);
  if (!/(?:Z|[+-]\d{2}:?\d{2})$/.test(schedule)) {
    return text(400, `Timezone information is mandatory for the scheduled ${what}`);
  }
  const atMs = parseTimestamp(schedule.replace(" ", "T"));
  if (atMs === undefined) return text(422, "Unable to parse scheduled timestamp");
  if (atMs - nowMs > scheduleAheadMsMax) return text(422, `Cannot schedule ${what} so far ahead`);
  return atMs > nowMs ? atMs : text(422, `Cannot schedule ${what} in the past`);
}

/** A refusal when a filter is not understood (400) or does not match (503). */
function restartFilter(body: Body, view: RestView): RestAnswer | undefined {
  const { role, postgres_version, restart_pending } = body;
  const unmet = text(503, "restart conditions are not satisfied");
  if (role !== undefined) {
    const wanted = role === "master" ? "primary" : role;
    if (!["primary", "replica", "standby_leader"].includes(String(wanted))) {
      return text(400, "PostgreSQL role should be either primary, standby_leader, or replica");
    }
    if (wanted !== view.role) return unmet;
  }
  if (postgres_version !== undefined) {
    const wanted = parseVersion(String(postgres_version));
    if (!wanted) return text(400, "PostgreSQL version could not be parsed");
    const { versionNumber } = view.server ?? {};
    const now = versionNumber === undefined ? undefined : parseVersionNumber(versionNumber);
    if (!now || compareVersions(now, wanted) >= 0) return unmet;
  }
  return restart_pending === true && view.pendingRestart.length === 0 ? unmet : undefined;
}

/** A JSON object; undefined for anything else. */
function parseBody(body: string | undefined): Body | undefined {
  if (!body) return undefined;
  try {
    const value: unknown = JSON.parse(body);
    return isObject(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isObject(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
