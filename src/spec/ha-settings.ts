// From what users write of high availability to the settings that keepers decide with: the node's word, then the
// database's, then the profile's.
import type { HaSettings, HaTags } from "../ha/settings.ts";
import type { HaSpec } from "./ha-spec.ts";

/** Tags with a meaning, and the type that their value has. */
export const KNOWN_TAGS: Readonly<Record<string, "boolean" | "number" | "string">> = {
  nofailover: "boolean",
  noloadbalance: "boolean",
  nosync: "boolean",
  nostream: "boolean",
  clonefrom: "boolean",
  failover_priority: "number",
  sync_priority: "number",
  replicatefrom: "string",
};

/** Bytes; Patroni's default. */
const maximumLagBytes = 1024 ** 2;

type Times = Pick<
  HaSettings,
  "ttl_ms" | "loop_ms" | "retry_ms" | "guard_ms" | "primary_start_timeout_ms"
>;

const PROFILES: Readonly<Record<HaSettings["profile"], Times>> = {
  default: times(15, 2, 4, 2, 10),
  fast: times(8, 1, 2, 1.5, 5),
  wide: times(60, 5, 15, 5, 30),
};

/** How long replication may be silent before the connection counts as dead, by profile; seconds. */
export const REPLICATION_TIMEOUT_S: Readonly<Record<HaSettings["profile"], number>> = {
  default: 10,
  fast: 5,
  wide: 30,
};

/** The settings of a node; both levels may be absent. */
export function resolveHaSettings(ofDatabase: HaSpec = {}, ofNode: HaSpec = {}): HaSettings {
  const spec = { ...ofDatabase, ...ofNode };
  const profile = spec.profile ?? "default";
  const known = PROFILES[profile];
  const mode = spec.synchronous_mode ?? "off";
  return {
    profile,
    ttl_ms: milliseconds(spec.ttl) ?? known.ttl_ms,
    loop_ms: milliseconds(spec.loop_wait) ?? known.loop_ms,
    retry_ms: milliseconds(spec.retry_timeout) ?? known.retry_ms,
    guard_ms: known.guard_ms,
    maximum_lag_bytes: spec.maximum_lag_on_failover ?? maximumLagBytes,
    primary_start_timeout_ms:
      milliseconds(spec.primary_start_timeout) ?? known.primary_start_timeout_ms,
    primary_stop_timeout_ms: milliseconds(spec.primary_stop_timeout) ?? 0,
    failsafe: spec.failsafe_mode ?? true,
    synchronous: {
      mode,
      count: spec.synchronous_node_count ?? 1,
      strict: spec.synchronous_mode_strict ?? false,
      selection: spec.synchronous_selection ?? (mode === "quorum" ? "any" : "first"),
      degrade_after_ms: milliseconds(spec.synchronous_degrade_after) ?? 10_000,
    },
  };
}

/** The tags of the instances of a node, by host id; the node's win tag by tag. */
export function resolveTags(
  hostIds: readonly string[],
  ofDatabase: HaSpec = {},
  ofNode: HaSpec = {},
): ReadonlyMap<string, HaTags> {
  return new Map(
    hostIds.map((id) => [id, { ...ofDatabase.tags?.[id], ...ofNode.tags?.[id] }] as const),
  );
}

function times(ttl: number, loop: number, retry: number, guard: number, restart: number): Times {
  return {
    ttl_ms: ttl * 1_000,
    loop_ms: loop * 1_000,
    retry_ms: retry * 1_000,
    guard_ms: guard * 1_000,
    primary_start_timeout_ms: restart * 1_000,
  };
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1_000;
}
