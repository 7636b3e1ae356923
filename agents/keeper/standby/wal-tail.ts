// Proves that two servers have the same log up to a position, by its last bytes in both. Records hold checksums, the
// position of the one before, and times; equal bytes at the end mean equal histories. Numbers of timelines alone do
// not: two standbys that were promoted apart can give their histories the same one.
import { logTailBytes } from "../../../src/base/limits.ts";
import { walSegmentName } from "../../../src/postgres/lsn.ts";
import { selectLogFile } from "../../../src/postgres/sql/replication.ts";
import type { TimelineHistory } from "../../../src/postgres/timeline-history.ts";
import type { SqlSession } from "../sql.ts";
import { readPart } from "./wal-files.ts";

export type TailVerdict =
  | { readonly kind: "same" }
  | { readonly kind: "different" }
  /** One side no longer has these bytes. */
  | { readonly kind: "unknown"; readonly why: string };

export interface TailQuestion {
  /** Everything before it is compared, as far as `logTailBytes` reach. */
  readonly lsn: bigint;
  readonly segmentBytes: number;
  readonly local: { readonly dataDir: string; readonly history: TimelineHistory };
  readonly remote: { readonly session: SqlSession; readonly history: TimelineHistory };
}

/** Compares the bytes before the position. */
export async function compareTails(question: TailQuestion): Promise<TailVerdict> {
  const { lsn, segmentBytes, local, remote } = question;
  if (lsn === 0n) return { kind: "unknown", why: "there is no log before it" };
  const last = lsn - 1n;
  const inSegment = Number(last % BigInt(segmentBytes)) + 1;
  const offset = Math.max(0, inSegment - logTailBytes);
  const length = inSegment - offset;
  const part = { lsn: last, offset, length, segmentBytes };
  const ours = await readLocal(local.dataDir, local.history, part);
  if (!ours) return { kind: "unknown", why: "the own log no longer reaches back so far" };
  const theirs = await readRemote(remote.session, remote.history, part);
  if (!theirs) return { kind: "unknown", why: "the other log no longer reaches back so far" };
  return { kind: Buffer.compare(ours, theirs) === 0 ? "same" : "different" };
}

/** Whether the other server has the segment in which the log goes on at this position. */
export async function hasLogAt(
  session: SqlSession,
  history: TimelineHistory,
  at: { readonly lsn: bigint; readonly segmentBytes: number },
): Promise<boolean> {
  const part = { ...at, offset: 0, length: 8 };
  return (await readRemote(session, history, part)) !== undefined;
}

interface Part {
  readonly lsn: bigint;
  readonly offset: number;
  readonly length: number;
  readonly segmentBytes: number;
}

/**
 * A segment in which a timeline ends is copied into the first of the next one, and may lose its own name then, so
 * every timeline of the history from that of the position on can hold the bytes.
 */
function namesOf(history: TimelineHistory, { lsn, segmentBytes }: Part): readonly string[] {
  const later = history.ancestors.filter(({ switchLsn }) => lsn < switchLsn);
  const first = later.map(({ timeline }) => timeline);
  return [...first, history.timeline].map((timeline) =>
    walSegmentName(timeline, lsn, segmentBytes),
  );
}

async function readLocal(
  dataDir: string,
  history: TimelineHistory,
  part: Part,
): Promise<Uint8Array | undefined> {
  for (const name of namesOf(history, part)) {
    const bytes = await readPart(`${dataDir}/pg_wal/${name}`, part.offset, part.length);
    if (bytes?.length === part.length) return bytes;
  }
  return undefined;
}

async function readRemote(
  session: SqlSession,
  history: TimelineHistory,
  part: Part,
): Promise<Uint8Array | undefined> {
  for (const name of namesOf(history, part)) {
    const params = [name, String(part.offset), String(part.length)];
    const [row] = await session.query(selectLogFile, params);
    const bytes = typeof row?.bytes === "string" ? Buffer.from(row.bytes, "hex") : undefined;
    if (bytes?.length === part.length) return bytes;
  }
  return undefined;
}
