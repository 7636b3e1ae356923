// Files of pg_wal as the keeper reads and writes them: parts of segments, history files of timelines.
import { open } from "node:fs/promises";
import { historyFileBytesMax } from "../../../src/base/limits.ts";
import type { Executor } from "../../../src/host/executor.ts";
import { hasCode } from "../../../src/host/process.ts";
import type { ControlData } from "../../../src/postgres/controldata.ts";
import { walSegmentName } from "../../../src/postgres/lsn.ts";
import {
  historyFileName,
  isReservedHistory,
  parseHistory,
  parseHistoryFileName,
  reservedHistoryText,
  type TimelineHistory,
  type TimelinePosition,
  timelineAt,
} from "../../../src/postgres/timeline-history.ts";
import {
  pageHeadBytes,
  parseRecordHead,
  type RecordHead,
  recordEnd,
  recordHeadBytes,
} from "../../../src/postgres/wal-record.ts";
import { readControl } from "./control.ts";
import { ownedFile, removeFile, type StandbyDeps } from "./places.ts";

/** Bytes of a file from an offset; fewer at its end, undefined when there is no file. */
export async function readPart(
  path: string,
  offset: number,
  length: number,
): Promise<Uint8Array | undefined> {
  try {
    const handle = await open(path, "r");
    try {
      const { bytesRead, buffer } = await handle.read(new Uint8Array(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** The history of a timeline by its file; without ancestors when the file is gone. */
export async function readHistory(
  executor: Executor,
  dataDir: string,
  timeline: number,
): Promise<TimelineHistory> {
  const bytes =
    timeline === 1
      ? undefined
      : await executor.get(`${dataDir}/pg_wal/${historyFileName(timeline)}`, {
          bytesMax: historyFileBytesMax,
        });
  const history = bytes && parseHistory(timeline, new TextDecoder().decode(bytes));
  return history ?? { timeline, ancestors: [] };
}

/** Timelines that have a history file in pg_wal, ascending: of those that were used, and those only reserved. */
export async function listHistories(
  executor: Executor,
  dataDir: string,
): Promise<{ readonly used: readonly number[]; readonly reserved: readonly number[] }> {
  const used: number[] = [];
  const reserved: number[] = [];
  for (const name of await executor.list(`${dataDir}/pg_wal`)) {
    const timeline = parseHistoryFileName(name);
    if (timeline === undefined) continue;
    const bytes = await executor.get(`${dataDir}/pg_wal/${name}`, {
      bytesMax: historyFileBytesMax,
    });
    if (!bytes) continue;
    (isReservedHistory(new TextDecoder().decode(bytes)) ? reserved : used).push(timeline);
  }
  return { used, reserved };
}

/**
 * Makes these timeline numbers be taken, so that a promotion takes a later one. The files are marked for the archive
 * too, because a restore stops at the first number that is missing there (hazard H15).
 */
export async function reserveTimelines(
  deps: StandbyDeps,
  dataDir: string,
  timelines: readonly number[],
): Promise<void> {
  for (const timeline of timelines) {
    const name = historyFileName(timeline);
    await deps.executor.put(`${dataDir}/pg_wal/${name}`, reservedHistoryText, ownedFile(deps.file));
    const ready = `${dataDir}/pg_wal/archive_status/${name}.ready`;
    await deps.executor.put(ready, "", ownedFile(deps.file));
  }
}

/**
 * Removes history files, newest first, of timelines that the data cannot reach: a server that starts as a standby takes
 * the highest number for its target. One that is only reserved has no ancestors, and one that left the common history
 * before the end of this data does not contain it; either would end the server ("not a child of this server's history",
 * "does not contain minimum recovery point"). The files of living timelines are fetched again from who has them.
 */
export async function removeUnreachable(deps: StandbyDeps, dataDir: string): Promise<void> {
  const { executor, log } = deps;
  const control = await readControl(deps, dataDir);
  const { used, reserved } = await listHistories(executor, dataDir);
  const descending = [...used, ...reserved].sort((a, b) => b - a);
  for (const timeline of descending) {
    const isReserved = reserved.includes(timeline);
    if (!isReserved && reaches(await readHistory(executor, dataDir, timeline), control)) return;
    const name = historyFileName(timeline);
    await removeFile(deps, `${dataDir}/pg_wal/archive_status/${name}.ready`);
    await removeFile(deps, `${dataDir}/pg_wal/archive_status/${name}.done`);
    await removeFile(deps, `${dataDir}/pg_wal/${name}`);
    const why = isReserved ? "nobody took it" : "it began before the end of this data";
    log.info("a timeline that cannot be reached is forgotten", { timeline, why });
  }
}

/** What PostgreSQL asks of its target before it recovers. */
function reaches(history: TimelineHistory, control: ControlData): boolean {
  const { checkpointLsn, checkpointTimeline, minRecoveryLsn, minRecoveryTimeline } = control;
  if (timelineAt(history, checkpointLsn + 1n) !== checkpointTimeline) return false;
  return minRecoveryLsn === 0n || timelineAt(history, minRecoveryLsn) === minRecoveryTimeline;
}

/** The head of the record that begins here; undefined when it cannot be read. */
export async function readRecordHead(
  dataDir: string,
  at: TimelinePosition,
  control: ControlData,
): Promise<RecordHead | undefined> {
  const segmentBytes = control.walSegmentBytes;
  const geometry = { blockBytes: control.walBlockBytes, segmentBytes };
  const offset = Number(at.lsn % BigInt(segmentBytes));
  const path = `${dataDir}/pg_wal/${walSegmentName(at.timeline, at.lsn, segmentBytes)}`;
  const bytes = await readPart(path, offset, recordHeadBytes + 64);
  if (!bytes) return undefined;
  const onPage = geometry.blockBytes - (offset % geometry.blockBytes);
  if (onPage >= recordHeadBytes) return parseRecordHead(bytes);
  const nextPage = at.lsn + BigInt(onPage);
  const rest = onPage + pageHeadBytes(nextPage, geometry);
  const head = new Uint8Array(recordHeadBytes);
  head.set(bytes.subarray(0, onPage));
  const more = bytes.subarray(rest, rest + recordHeadBytes - onPage);
  if (more.length < recordHeadBytes - onPage) return undefined;
  head.set(more, onPage);
  return parseRecordHead(head);
}

/** Where the record that begins here ends. */
export function endOfRecord(lsn: bigint, head: RecordHead, control: ControlData): bigint {
  return recordEnd(lsn, head.totalBytes, {
    blockBytes: control.walBlockBytes,
    segmentBytes: control.walSegmentBytes,
  });
}
