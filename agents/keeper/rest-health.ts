// Which health checks pass (reference: Patroni's REST API, "Health check endpoints"). Pure, and computed for every
// request: a keeper whose loop hangs does not go on calling itself primary.
import { holdsLease, isOpenPrimary, isPaused, syncKind, tagsOf } from "./rest-group.ts";
import { type RestView, standbyLag } from "./rest-json.ts";

/** A liveness check fails when the loop has not come round for the ttl, or twice that where it is no primary. */
const ttlAloneMs = 30_000;
/** Largest lag of a replica of an instance alone that counts as ready, bytes. */
const readinessLagMax = 1_048_576;

/** Which check a path asks for is found by words in it, in this order. */
export function isHealthy(url: URL, view: RestView): boolean {
  const path = url.pathname;
  const primary = isPrimary(view);
  const replica = isReplica(url, view);
  const tagged = passesTags(url, view);
  if (/standby_leader|standby-leader/.test(path)) return false;
  if (path.includes("leader")) return view.group ? holdsLease(view.group) : primary;
  if (path === "/" || /master|primary|read-write/.test(path)) return primary;
  if (path.includes("replica")) return replica && tagged;
  if (path.includes("read-only") && !/sync|quorum/.test(path)) {
    return primary || (replica && tagged);
  }
  if (path.includes("health")) return view.state === "running" && tagged;
  const kind = view.group && syncKind(view.group, view.name);
  switch (path) {
    case "/sync":
    case "/synchronous":
      return replica && tagged && kind === "sync";
    case "/read-only-sync":
    case "/read-only-synchronous":
      return primary || (replica && tagged && kind === "sync");
    case "/quorum":
      return replica && tagged && kind === "quorum";
    case "/read-only-quorum":
      return primary || (replica && tagged && kind === "quorum");
    case "/async":
    case "/asynchronous":
      return replica && tagged && kind === undefined;
    default:
      return false;
  }
}

/** GET /liveness: the loop comes round. */
export function isLive(view: RestView): boolean {
  const { group } = view;
  if (group && isPaused(group)) return true;
  const ttlMs = group?.view.settings.ttl_ms ?? ttlAloneMs;
  const primary = view.state === "running" && view.role === "primary";
  return view.cycleAgeMs < (primary ? ttlMs : 2 * ttlMs);
}

/** GET /readiness: the leader, or a replica that follows closely. */
export function isReady(url: URL, view: RestView): boolean {
  if (view.state !== "running") return false;
  if (view.role === "primary") return isPrimary(view);
  const most =
    parseBytes(url.searchParams.get("lag") ?? "") ??
    BigInt(view.group?.view.settings.maximum_lag_bytes ?? readinessLagMax);
  const position = url.searchParams.get("mode") === "write" ? "received" : "replayed";
  const lag = standbyLag(view, position);
  return view.server?.replicationState === "streaming" && lag !== undefined && lag <= most;
}

/** Users may write here. In a pause without any word of the store, being primary is enough. */
function isPrimary(view: RestView): boolean {
  if (view.state !== "running" || view.role !== "primary") return false;
  const { group } = view;
  return !group || isOpenPrimary(group) || (isPaused(group) && group.view.lease === null);
}

function isReplica(url: URL, view: RestView): boolean {
  if (view.state !== "running" || view.role !== "replica") return false;
  if (view.group && tagsOf(view.group).noloadbalance === true) return false;
  return passesFilters(url, view);
}

/** `lag` and `replication_state`; a lag that cannot be read is ignored. */
function passesFilters(url: URL, view: RestView): boolean {
  const state = url.searchParams.get("replication_state");
  if (state !== null && state !== view.server?.replicationState) return false;
  const most = parseBytes(url.searchParams.get("lag") ?? "");
  const lag = standbyLag(view);
  return most === undefined || (lag !== undefined && lag <= most);
}

/** Every `tag_<name>=<value>` equals the member's tag as text. */
function passesTags(url: URL, view: RestView): boolean {
  const tags = view.group ? tagsOf(view.group) : {};
  return [...url.searchParams].every(([key, value]) => {
    if (!key.startsWith("tag_")) return true;
    const tag = tags[key.slice("tag_".length)];
    return tag !== undefined && String(tag) === value;
  });
}

/** "16MB" or a number of bytes, as PostgreSQL reads sizes; undefined when it is neither. */
function parseBytes(value: string): bigint | undefined {
  const match = /^\s*(\d{1,18})\s*(B|kB|MB|GB|TB)?\s*$/.exec(value);
  if (!match) return undefined;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = units.indexOf(match[2] ?? "B");
  return BigInt(match[1] ?? "0") * 1024n ** BigInt(power);
}
