// Where the data of a running PostgreSQL ends, and on which timeline.
import { AppError } from "../../../src/base/errors.ts";
import { letGoTimeoutMs } from "../../../src/base/limits.ts";
import type { ControlData } from "../../../src/postgres/controldata.ts";
import { maxLsn, parseLsn, walSegmentName } from "../../../src/postgres/lsn.ts";
import { selectPositions } from "../../../src/postgres/sql/replication.ts";
import {
  endOfTimeline,
  parseHistoryFileName,
  type TimelineHistory,
  timelineAt,
} from "../../../src/postgres/timeline-history.ts";
import type { Row, SqlSession } from "../sql.ts";
import { readControl } from "./control.ts";
import type { Positions } from "./mechanics.ts";
import type { StandbyDeps } from "./places.ts";
import { readHistory } from "./wal-files.ts";

const pollMs = 20;

/** See `StandbyMechanics.positions`. */
export async function readPositions(deps: StandbyDeps, session: SqlSession): Promise<Positions> {
  const [row = {}] = await session.query(selectPositions, [], { kept: true });
  const inRecovery = row.in_recovery === true;
  const receiveLsn = lsnOf(row.receive_lsn);
  const replayLsn = lsnOf(row.replay_lsn);
  const lsn = inRecovery ? maxLsn(receiveLsn ?? 0n, replayLsn ?? 0n) : (lsnOf(row.flush_lsn) ?? 0n);
  const history = inRecovery
    ? await replayedHistory(deps, lsn, numberOf(row.received_timeline))
    : await readHistory(
        deps.executor,
        deps.file.layout.data_dir,
        numberOf(row.write_timeline) ?? 1,
      );
  return {
    inRecovery,
    end: { timeline: history.timeline, lsn },
    replayLsn,
    receiveLsn,
    receiving: numberOf(row.receiver_pid) !== undefined,
    sender: senderOf(row),
    replayPaused: row.replay_paused === true,
    history,
  };
}

/** See `StandbyMechanics.letGo`. */
export async function letGo(
  deps: StandbyDeps,
  session: SqlSession,
  signal: AbortSignal,
): Promise<Positions> {
  const { clock } = deps;
  const endMs = clock.monotonicMs() + letGoTimeoutMs;
  for (;;) {
    const positions = await readPositions(deps, session);
    if (!positions.receiving) return positions;
    if (clock.monotonicMs() > endMs) {
      throw new AppError("retryable", `the receiver is still there after ${letGoTimeoutMs} ms`);
    }
    await clock.sleep(pollMs, signal);
  }
}

/**
 * The history that a standby's data belongs to at a position. The receiver's timeline, and files of histories, tell
 * of timelines that were not reached yet, or never will be: what counts is on which one the log there was written.
 */
async function replayedHistory(
  deps: StandbyDeps,
  lsn: bigint,
  received: number | undefined,
): Promise<TimelineHistory> {
  const { executor } = deps;
  const { data_dir } = deps.file.layout;
  const control = await readControl(deps, data_dir);
  const certain = Math.max(control.minRecoveryTimeline, control.checkpointTimeline);
  const files = new Set(await executor.list(`${data_dir}/pg_wal`));
  const newer = [...files].map(parseHistoryFileName).filter((number) => (number ?? 0) > certain);
  for (const timeline of new Set([received, ...newer.toReversed()])) {
    if (timeline === undefined || timeline <= certain) continue;
    const history = await readHistory(executor, data_dir, timeline);
    if (endOfTimeline(history, certain) === undefined) continue;
    const written = timelineAt(history, lsn);
    if (!files.has(segmentBefore(written, lsn, control))) continue;
    return ancestry(history, written);
  }
  return readHistory(executor, data_dir, certain);
}

/** The segment that holds the last byte before a position. */
function segmentBefore(timeline: number, lsn: bigint, control: ControlData): string {
  return walSegmentName(timeline, lsn === 0n ? 0n : lsn - 1n, control.walSegmentBytes);
}

function ancestry(history: TimelineHistory, timeline: number): TimelineHistory {
  if (timeline === history.timeline) return history;
  return { timeline, ancestors: history.ancestors.filter((entry) => entry.timeline < timeline) };
}

function senderOf(row: Row): Positions["sender"] {
  const port = numberOf(row.sender_port);
  return typeof row.sender_host === "string" && port !== undefined
    ? { host: row.sender_host, port }
    : undefined;
}

function lsnOf(value: unknown): bigint | undefined {
  return typeof value === "string" ? parseLsn(value) : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
