// Promotes a standby to the timeline that was allotted to it, and to no other. Two histories under one number would
// be taken for one by PostgreSQL and pg_rewind alike, so numbers come from the store and those in between are taken.
import { AppError } from "../../../src/base/errors.ts";
import { promotedCheckpointTimeoutMs, promotePollMs } from "../../../src/base/limits.ts";
import { formatLsn } from "../../../src/postgres/lsn.ts";
import {
  checkpoint,
  promote as orderPromotion,
  selectCheckpointTimeline,
  selectPromotion,
} from "../../../src/postgres/sql/replication.ts";
import { historyFileName } from "../../../src/postgres/timeline-history.ts";
import type { SqlSession } from "../sql.ts";

import type { Allotted, PromoteOutcome, PromotionSurvey } from "./mechanics.ts";
import { forgetFormerPrimary } from "./offline.ts";
import type { StandbyDeps } from "./places.ts";
import { readPositions } from "./positions.ts";
import { forgetUnproven } from "./replace-data.ts";
import { listHistories, reserveTimelines } from "./wal-files.ts";

/** See `StandbyMechanics.surveyPromotion`. */
export async function surveyPromotion(
  deps: StandbyDeps,
  session: SqlSession,
): Promise<PromotionSurvey> {
  const [{ inRecovery, end }, { used, reserved }] = await Promise.all([
    readPositions(deps, session),
    listHistories(deps.executor, deps.file.layout.data_dir),
  ]);
  return { inRecovery, timeline: end.timeline, taken: [...used, ...reserved] };
}

/** See `StandbyMechanics.promote`. */
export async function promote(
  deps: StandbyDeps,
  session: SqlSession,
  allotted: Allotted,
  signal: AbortSignal,
): Promise<PromoteOutcome> {
  const startedMs = deps.clock.monotonicMs();
  const survey = allotted.survey ?? (await surveyPromotion(deps, session));
  if (!survey.inRecovery) return outcome(deps, session, allotted, startedMs);
  const refusal = await reserve(deps, survey, allotted.timeline);
  if (refusal !== undefined) return { kind: "refused", why: refusal };
  await Promise.all([forgetUnproven(deps), forgetFormerPrimary(deps)]);
  signal.throwIfAborted();
  await session.query(orderPromotion);
  const stuck = await untilPromoted(deps, session, allotted.stallMs, signal);
  if (stuck !== undefined) return { kind: "timed_out", why: stuck };
  return outcome(deps, session, allotted, startedMs);
}

/** See `StandbyMechanics.checkpoint`. */
export async function checkpointPromoted(
  deps: StandbyDeps,
  session: SqlSession,
  signal: AbortSignal,
): Promise<void> {
  const { inRecovery, end } = await readPositions(deps, session);
  if (inRecovery) throw new AppError("retryable", "the server is still in recovery");
  await session.query("SET statement_timeout = 0");
  await session.query(checkpoint, [], { deadlineMs: promotedCheckpointTimeoutMs, signal });
  const [row] = await session.query(selectCheckpointTimeline);
  if (row?.timeline === end.timeline) return;
  const text = `the last checkpoint is on timeline ${String(row?.timeline)}, not ${end.timeline}`;
  throw new AppError("retryable", text);
}

/**
 * Takes every free number between the present timeline and the allotted one: PostgreSQL takes the first that no
 * history file names. Answers why the allotted one cannot be had.
 */
async function reserve(
  deps: StandbyDeps,
  { timeline: present, taken }: PromotionSurvey,
  wanted: number,
): Promise<string | undefined> {
  if (wanted <= present) return `timeline ${wanted} is not after ${present}, on which this data is`;
  const later = taken.find((timeline) => timeline >= wanted);
  if (later !== undefined)
    return `${historyFileName(later)} is there already, and ${wanted} was allotted`;
  const gap = Array.from({ length: wanted - present - 1 }, (_, index) => present + 1 + index);
  await reserveTimelines(
    deps,
    deps.file.layout.data_dir,
    gap.filter((timeline) => !taken.includes(timeline)),
  );
  return undefined;
}

/** Waits as long as the log is replayed; answers where it stands when it no longer is (hazard H12). */
async function untilPromoted(
  deps: StandbyDeps,
  session: SqlSession,
  stallMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { clock } = deps;
  let replayed: unknown;
  let movedMs = clock.monotonicMs();
  for (;;) {
    const [row] = await session.query(selectPromotion, [], { signal });
    if (row?.in_recovery === false) return undefined;
    if (row?.replay_lsn !== replayed) {
      replayed = row?.replay_lsn;
      movedMs = clock.monotonicMs();
    }
    if (clock.monotonicMs() - movedMs > stallMs) {
      return `no progress for ${stallMs} ms; replayed up to ${String(replayed)}`;
    }
    await clock.sleep(promotePollMs, signal);
  }
}

async function outcome(
  deps: StandbyDeps,
  session: SqlSession,
  allotted: Allotted,
  startedMs: number,
): Promise<PromoteOutcome> {
  const { end } = await readPositions(deps, session);
  if (end.timeline !== allotted.timeline) {
    deps.log.error("promoted to a timeline that was not allotted", {
      timeline: end.timeline,
      allotted: allotted.timeline,
    });
    return { kind: "wrong_timeline", timeline: end.timeline };
  }
  const tookMs = Math.round(deps.clock.monotonicMs() - startedMs);
  deps.log.info("promoted", {
    timeline: end.timeline,
    lsn: formatLsn(end.lsn),
    durationMs: tookMs,
  });
  return { kind: "promoted", timeline: end.timeline, lsn: end.lsn, tookMs };
}
