// Timelines: history files (manual 25.3.5, "Timelines"), and how one server's data relates to another's history.
import { formatLsn, maxLsn, minLsn, parseLsn, timelineHex } from "./lsn.ts";

/** One ancestor: its timeline was left at `switchLsn` for the next one. */
export interface HistoryEntry {
  readonly timeline: number;
  readonly switchLsn: bigint;
  readonly reason: string;
}

/** A timeline with its ancestors, oldest first. Numbers in between that nobody used are not among them. */
export interface TimelineHistory {
  readonly timeline: number;
  readonly ancestors: readonly HistoryEntry[];
}

/** A position in the log of one server. */
export interface TimelinePosition {
  readonly timeline: number;
  /** End of the last record: everything before it is there. */
  readonly lsn: bigint;
}

const STUB = "# timeline reserved by the control plane, never used";

/** Name of the history file of a timeline. */
export function historyFileName(timeline: number): string {
  return `${timelineHex(timeline)}.history`;
}

/** The content of a file that only makes a number be taken, so that a promotion takes a later one. */
export const reservedHistoryText = `${STUB}\n`;

/** Whether a history file only reserves its number. */
export function isReservedHistory(text: string): boolean {
  return text.trim() === STUB;
}

/** The timeline of a history file's name; undefined for other names. */
export function parseHistoryFileName(name: string): number | undefined {
  const match = /^([0-9A-F]{8})\.history$/.exec(name);
  return match ? Number.parseInt(match[1] ?? "", 16) : undefined;
}

/** The ancestors that a history file lists; undefined when a line is none, or their order is impossible. */
export function parseHistory(timeline: number, text: string): TimelineHistory | undefined {
  const ancestors: HistoryEntry[] = [];
  for (const line of text.split("\n")) {
    if (/^\s*(#|$)/.test(line)) continue;
    const match = /^\s*(\d{1,10})\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)(?:\s+(.*))?$/.exec(line);
    const switchLsn = match?.[2] === undefined ? undefined : parseLsn(match[2]);
    if (!match || switchLsn === undefined) return undefined;
    const parent = Number(match[1]);
    const last = ancestors.at(-1);
    if (parent >= timeline || (last && parent <= last.timeline)) return undefined;
    ancestors.push({ timeline: parent, switchLsn, reason: match[3] ?? "" });
  }
  return { timeline, ancestors };
}

/** Where a timeline of the history ended: null for the one that goes on, undefined for one that is none of it. */
export function endOfTimeline(
  history: TimelineHistory,
  timeline: number,
): bigint | null | undefined {
  if (timeline === history.timeline) return null;
  return history.ancestors.find((entry) => entry.timeline === timeline)?.switchLsn;
}

/** The timeline that a record ending at this position belongs to. */
export function timelineAt(history: TimelineHistory, lsn: bigint): number {
  const entry = history.ancestors.find((ancestor) => lsn <= ancestor.switchLsn);
  return entry?.timeline ?? history.timeline;
}

/** How own data relates to the history of another server. */
export type Kinship =
  /** All of it is part of that history: it can be followed. */
  | { readonly kind: "prefix" }
  /** It has records that the other history does not have, from `forkLsn` on. */
  | {
      readonly kind: "diverged";
      /** The last timeline of both, and where they part. */
      readonly timeline: number;
      readonly forkLsn: bigint;
      /** What would be lost: from the fork to the own end. */
      readonly lost: { readonly from: bigint; readonly to: bigint; readonly timeline: number };
    }
  /** Nothing common is known. */
  | { readonly kind: "unrelated" };

/**
 * Compares own data, its end and its history, with the history of a server that goes on. That numbers are the same
 * does not prove that histories are: see `agents/keeper/standby/wal-tail.ts`.
 */
export function kinshipOf(
  own: TimelinePosition & { readonly history: TimelineHistory },
  other: TimelineHistory,
): Kinship {
  const theirs = segmentsOf(other, ENDLESS);
  const mine = segmentsOf(knownHistory(own.history, other), own.lsn);
  let fork: Segment | undefined;
  for (const [index, segment] of mine.entries()) {
    const counterpart = theirs[index];
    if (counterpart?.timeline !== segment.timeline) break;
    fork = { timeline: segment.timeline, end: minLsn(segment.end, counterpart.end) };
    const whole =
      index === mine.length - 1 ? fork.end === own.lsn : segment.end === counterpart.end;
    if (!whole) break;
    if (index === mine.length - 1) return { kind: "prefix" };
  }
  if (!fork) return { kind: "unrelated" };
  const lost = { from: fork.end, to: maxLsn(own.lsn, fork.end), timeline: own.timeline };
  return { kind: "diverged", timeline: fork.timeline, forkLsn: fork.end, lost };
}

interface Segment {
  readonly timeline: number;
  readonly end: bigint;
}

const ENDLESS = 0xffff_ffff_ffff_ffffn;

/** Ancestors that are not known (their file is gone) cannot contradict the other history. */
function knownHistory(own: TimelineHistory, other: TimelineHistory): TimelineHistory {
  if (own.timeline === 1 || own.ancestors.length > 0) return own;
  if (endOfTimeline(other, own.timeline) === undefined) return own;
  const ancestors = other.ancestors.filter((entry) => entry.timeline < own.timeline);
  return { timeline: own.timeline, ancestors };
}

function segmentsOf(history: TimelineHistory, end: bigint): readonly Segment[] {
  const past = history.ancestors.map(({ timeline, switchLsn }) => ({ timeline, end: switchLsn }));
  return [...past, { timeline: history.timeline, end }];
}

/** One sentence about a divergence, for people. */
export function describeKinship(kinship: Kinship): string {
  switch (kinship.kind) {
    case "prefix":
      return "the data is part of the other history";
    case "unrelated":
      return "the data has no timeline in common with the other history";
    case "diverged": {
      const { from, to, timeline } = kinship.lost;
      return `the data left the common history at ${formatLsn(from)} and has its own up to ${formatLsn(to)} on timeline ${timeline}`;
    }
  }
}
