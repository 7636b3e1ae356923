// No two nodes may acknowledge writes at the same time. Every acknowledged write carries the timeline it was written on:
// a write that was *sent* after a newer timeline had already acknowledged one, and was acknowledged all the same, proves
// two writable nodes. A timeline on which two nodes acknowledged is a fork that shares its number.
import { type Attempt, rowId } from "../attempt.ts";
import type { Finding } from "./finding.ts";

export interface Overlap {
  /** Time in which an older timeline went on acknowledging after a newer one had begun to. */
  readonly ms: number;
  /** Acknowledged writes of that time on the older timeline. */
  readonly writes: number;
  readonly sample: string;
}

/** All such times of a recording together. */
export function overlap(attempts: readonly Attempt[]): Overlap {
  const acked = attempts.filter(({ outcome }) => outcome === "acked");
  const began = new Map<number, number>();
  for (const { timeline, endedMs } of acked) {
    began.set(timeline, Math.min(began.get(timeline) ?? Number.POSITIVE_INFINITY, endedMs));
  }
  let ms = 0;
  let writes = 0;
  let sample = "";
  for (const timeline of began.keys()) {
    const newer = [...began].filter(([other]) => other > timeline);
    const limitMs = Math.min(...newer.map(([, beganMs]) => beganMs));
    const late = acked.filter((each) => each.timeline === timeline && each.sentMs > limitMs);
    const [first] = late;
    if (!first) continue;
    ms += late.reduce((last, { endedMs }) => Math.max(last, endedMs), 0) - limitMs;
    writes += late.length;
    sample ||= `${rowId(first)} on ${first.host} (timeline ${timeline})`;
  }
  return { ms, writes, sample };
}

/** Timelines on which more than one node acknowledged. */
export function sharedTimelines(attempts: readonly Attempt[]): Map<number, Set<string>> {
  const owners = new Map<number, Set<string>>();
  for (const { outcome, timeline, host } of attempts) {
    if (outcome !== "acked") continue;
    const hosts = owners.get(timeline) ?? new Set();
    owners.set(timeline, hosts.add(host));
  }
  return new Map([...owners].filter(([, hosts]) => hosts.size > 1));
}

export function checkTwoPrimaries(attempts: readonly Attempt[]): Finding[] {
  const findings: Finding[] = [];
  const { ms, writes, sample } = overlap(attempts);
  if (writes > 0) {
    const message = `two nodes acknowledged for ${Math.round(ms)} ms: ${writes} writes on an old timeline, the first ${sample}`;
    findings.push({ check: "two-primaries", message });
  }
  for (const [timeline, hosts] of sharedTimelines(attempts)) {
    const message = `timeline ${timeline} was written by ${[...hosts].sort().join(" and ")}`;
    findings.push({ check: "shared-timeline", message });
  }
  return findings;
}
