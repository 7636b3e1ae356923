// Becoming primary: configuration first where it protects, then the promotion to the allotted timeline.

import { messageOf } from "../../../src/base/errors.ts";
import { attemptsCountMs, promoteStallMs, surveyFreshMs } from "../../../src/base/limits.ts";
import type { HaAction } from "../../../src/ha/action.ts";
import type { Attempts } from "../../../src/ha/observed.ts";
import { isAsynchronous } from "../../../src/ha/quorum.ts";
import { replicatorName, superuserName } from "../../../src/postgres/hba.ts";
import { clientBackends, endBackend } from "../../../src/postgres/sql/backends.ts";
import { applyPart } from "../act.ts";
import { session } from "../observe.ts";
import type { SqlSession } from "../sql.ts";
import type { PromotionSurvey } from "../standby/mechanics.ts";
import { faultPoint } from "./fault-point.ts";
import type { WorkHandle } from "./long-work.ts";
import type { PerformerInput } from "./parts.ts";

/** What a promotion has to know, looked up while the lease for it is being taken. */
export class SurveyAhead {
  #begun:
    | { readonly atMs: number; readonly survey: Promise<PromotionSurvey | undefined> }
    | undefined;

  begin({ deps, memory, mechanics }: PerformerInput): void {
    const open = memory.session;
    if (!open?.usable) return;
    const survey = mechanics.surveyPromotion(open).catch((error) => {
      deps.log.debug("no survey ahead of a promotion", { error: messageOf(error) });
      return undefined;
    });
    this.#begun = { atMs: deps.boot.bootMs(), survey };
  }

  /** The survey, once; undefined when none was made lately. */
  async take({ deps }: PerformerInput): Promise<PromotionSurvey | undefined> {
    const begun = this.#begun;
    this.#begun = undefined;
    if (!begun || deps.boot.bootMs() - begun.atMs > surveyFreshMs) return undefined;
    return begun.survey;
  }
}

type PromoteAction = Extract<HaAction, { readonly kind: "promote" }>;

/** The whole of it. A promotion that fails is remembered with its epoch; the next decision gives the lease away. */
export async function promoteNow(
  input: PerformerInput,
  action: PromoteAction,
  ahead: SurveyAhead,
  handle: WorkHandle,
): Promise<void> {
  const { deps, memory, group, mechanics, file } = input;
  group.sensor.standby.promotingSinceMs = deps.boot.bootMs();
  const open = await session(deps, memory);
  const guarded = action.gate === "closed" || !isAsynchronous(action.sync);
  if (guarded) {
    // What the last primary waited for holds from the first commit of this one on.
    const { gate, sync } = action;
    await applyPart(deps, memory, { upstream: null, sync, gate, atLeast: undefined });
    if (gate === "closed") await endUsers(open);
  }
  faultPoint("before", "promotion");
  const survey = await ahead.take(input);
  const allotted = {
    timeline: action.timeline,
    stallMs: promoteStallMs,
    ...(survey ? { survey } : {}),
  };
  const watched = watching(open, handle);
  const outcome = await mechanics.promote(watched, allotted, handle.signal);
  faultPoint("after", "promotion");
  group.sensor.forgetServer();
  group.sensor.standby.promotingSinceMs = null;
  if (outcome.kind === "promoted") {
    deps.publish();
    return;
  }
  const nowMs = deps.boot.bootMs();
  const { attempts } = file;
  const failedPromotions = [
    ...recentFailures(attempts, nowMs),
    { epoch: action.epoch, atMs: nowMs },
  ];
  await file.save({ attempts: { ...attempts, failedPromotions } });
  deps.log.error("the promotion failed", { ...outcome });
}

/** Every answer while it goes on counts as progress: it replays, or has just begun. */
function watching(open: SqlSession, handle: WorkHandle): SqlSession {
  let last = "";
  return {
    get usable() {
      return open.usable;
    },
    async query(text, params, options) {
      const rows = await open.query(text, params, options);
      const now = JSON.stringify(rows);
      if (now !== last) handle.progress();
      last = now;
      return rows;
    },
    close: () => open.close(),
  };
}

/** Sessions that came in while it was a standby could write behind the gate. */
async function endUsers(open: SqlSession): Promise<void> {
  const users = await open.query(clientBackends, [superuserName, replicatorName]);
  for (const { pid } of users) await open.query(endBackend, [pid]);
}

/** Failed promotions that still count. */
function recentFailures(attempts: Attempts, nowMs: number): Attempts["failedPromotions"] {
  return attempts.failedPromotions.filter(({ atMs }) => nowMs - atMs < attemptsCountMs);
}
