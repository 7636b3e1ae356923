// Places in the write-ahead log of a node: a timeline and an LSN, and the line of timelines that leads to the current
// one. Numbers of timelines are given out once (lease.ts), so two members on one timeline have one history.
import { formatLsn, parseLsn } from "../postgres/lsn.ts";
import type { EpochRow } from "./lease.ts";
import type { LocalView } from "./observed.ts";
import type { MemberStatus } from "./state.ts";

export interface Position {
  readonly timeline: number;
  readonly lsn: bigint;
}

/** Later timelines first, then more of the same one: negative when `a` is behind `b`. */
export function comparePositions(a: Position, b: Position): number {
  if (a.timeline !== b.timeline) return a.timeline - b.timeline;
  return a.lsn < b.lsn ? -1 : a.lsn > b.lsn ? 1 : 0;
}

export function lsnOf(text: string | null): bigint | null {
  return text === null ? null : (parseLsn(text) ?? null);
}

export function describePosition({ timeline, lsn }: Position): string {
  return `${formatLsn(lsn)} on timeline ${timeline}`;
}

/** How far the data of this instance reaches; null = not known. */
export function ownPosition({ data, postgres }: LocalView): Position | null {
  if (postgres.kind === "standby") return { timeline: postgres.timeline, lsn: postgres.received };
  if (postgres.kind === "primary") return { timeline: postgres.timeline, lsn: postgres.flushed };
  if (data.kind !== "ready" || data.end === null) return null;
  return { timeline: data.timeline, lsn: data.end };
}

/** How far another member said that its data reaches. */
export function positionOf({ timeline, receive_lsn }: MemberStatus): Position | null {
  const lsn = lsnOf(receive_lsn);
  return timeline === null || lsn === null ? null : { timeline, lsn };
}

/** The timelines that lead to one, with the position up to which each counts; null = to its end. */
export type Line = ReadonlyMap<number, bigint | null>;

/**
 * The line that leads to `timeline`, and whether it was followed to its beginning. Where an epoch ended before it was
 * recorded what its timeline branched from, the line stops there.
 */
export function lineTo(
  timeline: number,
  history: readonly EpochRow[],
): { readonly line: Line; readonly complete: boolean } {
  const line = new Map<number, bigint | null>();
  let end: bigint | null = null;
  let current = timeline;
  const first = Math.min(...history.map((row) => row.timeline), timeline);
  while (!line.has(current)) {
    line.set(current, end);
    const fork = history.find((row) => row.timeline === current && row.from_timeline !== null);
    if (!fork || fork.from_timeline === null) return { line, complete: current <= first };
    end = lsnOf(fork.switch_lsn);
    current = fork.from_timeline;
  }
  return { line, complete: true };
}

/** prefix: everything it has is part of the line. diverged: some is not. unknown: the line is not known that far. */
export type Belonging = "prefix" | "diverged" | "unknown";

/** Whether data up to `position` is part of the history that leads to `timeline`. */
export function belongsTo(
  position: Position,
  timeline: number,
  history: readonly EpochRow[],
): Belonging {
  const { line, complete } = lineTo(timeline, history);
  const end = line.get(position.timeline);
  if (end === undefined) return complete ? "diverged" : "unknown";
  return end === null || position.lsn <= end ? "prefix" : "diverged";
}

/**
 * Whether data up to `position` may become the continuation of the newest epoch. Epochs that ended before they
 * recorded what they branched from do not exclude anybody: if one of them acknowledged commits synchronously, the
 * record of voters says who has them.
 */
export function mayContinue(position: Position, history: readonly EpochRow[]): boolean {
  for (const row of [...history].reverse()) {
    if (row.timeline === position.timeline) {
      return belongsTo(position, row.timeline, history) === "prefix";
    }
    const known = row.from_timeline !== null || row.epoch === 1;
    if (known) return belongsTo(position, row.timeline, history) === "prefix";
  }
  return true;
}
