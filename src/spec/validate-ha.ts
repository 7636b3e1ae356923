// Rules of high availability: times that leave room for each other, standbys that there are, tags that mean something.
import { nearest } from "../base/nearest.ts";
import type { Diagnostic } from "../base/result.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { KNOWN_TAGS, resolveHaSettings } from "./ha-settings.ts";
import type { HaSpec, HaTagsSpec } from "./ha-spec.ts";
import { type ResolvedNode, resolveNodes, type SettingValue } from "./normalise.ts";
import { problem } from "./problem.ts";

/** Settings that keepers of a node with standbys decide, with what to write instead. */
const OWNED: ReadonlyMap<string, string> = new Map([
  ["synchronous_standby_names", "use `ha.synchronous_mode`"],
  ["restart_after_crash", "use `ha.primary_start_timeout`"],
]);
/** Connections for replication beside one for each standby: base backups, and one to spare. */
const sendersBeside = 2;

const TAG_NAME = /^[a-z][a-z0-9_]{0,62}$/;
const tagValueCharsMax = 128;

/** Problems of the `ha` of a database and its nodes, each where it was written. */
export function checkHa(spec: DatabaseSpec): readonly Diagnostic[] {
  const allHosts = spec.nodes.flatMap(({ host_ids }) => host_ids);
  const problems = [
    ...checkTimes(spec.ha, undefined, "ha"),
    ...checkTags(spec.ha, allHosts, "ha"),
    ...spec.nodes.flatMap((node, index) => {
      const path = `nodes[${index}].ha`;
      return [
        ...checkTimes(spec.ha, node.ha, path),
        ...checkTags(node.ha, node.host_ids, path),
        ...checkStandbys(spec.ha, node.ha, node.host_ids.length, path),
      ];
    }),
  ];
  problems.push(...resolveNodes(spec).flatMap((node, index) => checkSettings(spec, node, index)));
  return [...new Map(problems.map((found) => [`${found.path} ${found.message}`, found])).values()];
}

/** Patroni's rule: a renewal that takes all its tries, and one more, fit into the ttl. */
function checkTimes(
  ofDatabase: HaSpec | undefined,
  ofNode: HaSpec | undefined,
  path: string,
): readonly Diagnostic[] {
  const level = path === "ha" ? ofDatabase : ofNode;
  const written = ["profile", "ttl", "loop_wait", "retry_timeout"] as const;
  if (!written.some((name) => level?.[name] !== undefined)) return [];
  const { ttl_ms, loop_ms, retry_ms } = resolveHaSettings(ofDatabase, ofNode);
  const least = loop_ms + 2 * retry_ms;
  if (ttl_ms >= least) return [];
  const message =
    `ttl is ${ttl_ms / 1_000} s; loop_wait and twice retry_timeout are ${least / 1_000} s ` +
    "and have to fit into it";
  return [problem(`${path}.ttl`, "conflict", message, "make ttl longer or the others shorter")];
}

/** Settings under which there could be no standbys. */
function checkSettings(
  spec: DatabaseSpec,
  node: ResolvedNode,
  index: number,
): readonly Diagnostic[] {
  if (node.hostIds.length < 2) return [];
  const own = Object.keys(spec.nodes[index]?.postgresql_conf ?? {});
  const shared = Object.keys(spec.postgresql_conf ?? {});
  return Object.entries(node.postgresqlConf).flatMap(([name, value]) => {
    const isName = (written: string) => written.toLowerCase() === name;
    const mine = own.find(isName);
    const path = mine === undefined ? "postgresql_conf" : `nodes[${index}].postgresql_conf`;
    const at = `${path}.${mine ?? shared.find(isName) ?? name}`;
    const instead = OWNED.get(name);
    if (instead !== undefined) {
      return [problem(at, "owned", "is decided by the keepers of a node with standbys", instead)];
    }
    const wrong = unfit(name, value, node.hostIds.length);
    return wrong === undefined ? [] : [problem(at, "conflict", wrong)];
  });
}

function unfit(name: string, value: SettingValue, instances: number): string | undefined {
  const text = String(value).toLowerCase();
  switch (name) {
    case "wal_level":
      return text === "minimal" ? "standbys need at least replica" : undefined;
    case "hot_standby":
      return ["off", "false", "no", "0"].includes(text)
        ? "standbys have to answer queries"
        : undefined;
    case "max_wal_senders":
    case "max_replication_slots":
      return Number(value) < instances + sendersBeside
        ? `must be at least ${instances + sendersBeside} for ${instances} instances`
        : undefined;
    default:
      return undefined;
  }
}

/** More synchronous standbys than there are standbys would never be reached. */
function checkStandbys(
  ofDatabase: HaSpec | undefined,
  ofNode: HaSpec | undefined,
  instances: number,
  path: string,
): readonly Diagnostic[] {
  const { synchronous } = resolveHaSettings(ofDatabase, ofNode);
  if (synchronous.mode === "off") return [];
  const asked = ofNode?.synchronous_node_count ?? ofDatabase?.synchronous_node_count;
  const own = ofNode?.synchronous_node_count === undefined ? "ha" : path;
  const standbys = instances - 1;
  if (synchronous.strict && synchronous.mode !== "auto" && standbys === 0) {
    const where = ofNode?.synchronous_mode_strict === undefined ? "ha" : path;
    const message = "no write could be acknowledged: a node here has no standby";
    return [
      problem(`${where}.synchronous_mode_strict`, "conflict", message, "add a host to host_ids"),
    ];
  }
  if (asked === undefined || asked <= standbys || standbys === 0) return [];
  const message = `asks for ${asked} standbys where there are ${standbys}`;
  return [problem(`${own}.synchronous_node_count`, "conflict", message)];
}

function checkTags(
  level: HaSpec | undefined,
  hostIds: readonly string[],
  path: string,
): readonly Diagnostic[] {
  return Object.entries(level?.tags ?? {}).flatMap(([hostId, tags]) => {
    const at = `${path}.tags.${hostId}`;
    if (!hostIds.includes(hostId)) {
      const known = [...new Set(hostIds)].sort().join(", ");
      return [problem(at, "unknown", "is not a host of it", `hosts: ${known}`)];
    }
    return [...checkHostTags(tags, at), ...checkUpstream(tags, hostId, hostIds, at)];
  });
}

function checkHostTags(tags: HaTagsSpec, path: string): readonly Diagnostic[] {
  return Object.entries(tags).flatMap(([name, value]) => {
    const at = `${path}.${name}`;
    const type = KNOWN_TAGS[name];
    if (type === undefined) return checkOwnTag(name, value, at);
    if (typeof value !== type) return [problem(at, "malformed", `must be a ${type}`)];
    const whole = typeof value !== "number" || (Number.isSafeInteger(value) && value >= 0);
    return whole ? [] : [problem(at, "malformed", "must be a whole number that is not negative")];
  });
}

/** A tag that looks like a known one is one that was misspelt. */
function checkOwnTag(name: string, value: unknown, path: string): readonly Diagnostic[] {
  const meant = nearest(name, Object.keys(KNOWN_TAGS));
  if (meant !== undefined) {
    return [problem(path, "unknown", "is not a tag", `did you mean ${meant}?`)];
  }
  if (!TAG_NAME.test(name)) {
    return [problem(path, "malformed", "must be lower-case letters, digits and underscores")];
  }
  return typeof value === "string" && value.length > tagValueCharsMax
    ? [problem(path, "too_long", `must have at most ${tagValueCharsMax} characters`)]
    : [];
}

/** `replicatefrom` names another host of the same node. */
function checkUpstream(
  tags: HaTagsSpec,
  hostId: string,
  hostIds: readonly string[],
  path: string,
): readonly Diagnostic[] {
  const upstream = tags.replicatefrom;
  if (typeof upstream !== "string") return [];
  const at = `${path}.replicatefrom`;
  if (upstream === hostId) return [problem(at, "conflict", "a host cannot follow itself")];
  return hostIds.includes(upstream)
    ? []
    : [problem(at, "unknown", `${upstream} is not a host of it`)];
}
