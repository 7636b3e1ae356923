// What a seed draws before anything happens: how many members, which times, how synchronous.
import type { Rng } from "../../src/base/rng.ts";
import type { HaMember, HaSettings, HaTags, SynchronousSettings } from "../../src/ha/settings.ts";

const TIMES = [
  { profile: "default", ttl_ms: 15_000, loop_ms: 2_000, retry_ms: 4_000, guard_ms: 2_000 },
  { profile: "fast", ttl_ms: 8_000, loop_ms: 1_000, retry_ms: 2_000, guard_ms: 1_500 },
  { profile: "default", ttl_ms: 20_000, loop_ms: 3_000, retry_ms: 3_000, guard_ms: 2_000 },
] as const;

const SYNC: readonly SynchronousSettings[] = [
  sync("off", 1, false, "first"),
  sync("on", 1, false, "first"),
  sync("on", 1, true, "first"),
  sync("on", 2, false, "first"),
  sync("on", 1, true, "any"),
  sync("quorum", 1, false, "any"),
  sync("quorum", 1, true, "any"),
  sync("quorum", 2, true, "any"),
  sync("auto", 1, false, "first"),
];

export function drawSettings(rng: Rng): HaSettings {
  return {
    ...pick(rng, TIMES),
    maximum_lag_bytes: rng.int(0, 1) === 0 ? 30 : 1_000_000,
    primary_start_timeout_ms: pick(rng, [0, 5_000, 10_000]),
    primary_stop_timeout_ms: pick(rng, [0, 3_000]),
    failsafe: rng.next() < 0.7,
    synchronous: pick(rng, SYNC),
  };
}

/** The same node with other times: a change of configuration. */
export function redrawTimes(rng: Rng, settings: HaSettings): HaSettings {
  return { ...settings, ...pick(rng, TIMES) };
}

export function drawMembers(rng: Rng): readonly HaMember[] {
  const count = pick(rng, [2, 3, 3, 3, 5]);
  return Array.from({ length: count }, (_, index) => ({
    instance_id: `m${index + 1}`,
    host_id: `m${index + 1}`,
    addresses: [],
    port: 1,
    rest_port: 2,
    tags: drawTags(rng, count, index),
  }));
}

function drawTags(rng: Rng, count: number, index: number): HaTags {
  if (count < 5 || index < 3) return {};
  const chance = rng.next();
  if (chance < 0.2) return { nofailover: true };
  if (chance < 0.4) return { nosync: true };
  return chance < 0.5 ? { replicatefrom: "m2" } : {};
}

function sync(
  mode: SynchronousSettings["mode"],
  count: number,
  strict: boolean,
  selection: SynchronousSettings["selection"],
): SynchronousSettings {
  return { mode, count, strict, selection, degrade_after_ms: 3_000 };
}

export function pick<T>(rng: Rng, items: readonly [T, ...T[]] | readonly T[]): T {
  const item = items[rng.int(0, items.length - 1)];
  if (item === undefined) throw new RangeError("nothing to pick from");
  return item;
}
