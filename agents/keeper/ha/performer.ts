// Does what src/ha decided: one function for every kind of action. Short ones are awaited, long ones run beside the
// loop. What fails is thrown, or remembered where the next decision needs it.
import { must } from "../../../src/base/assert.ts";
import { AppError, messageOf } from "../../../src/base/errors.ts";
import {
  offerMs,
  offerPollMs,
  rejoinPauseMaxMs,
  rejoinPauseMs,
  rewindReadyPollMs,
  rewindReadyTimeoutMs,
} from "../../../src/base/limits.ts";
import type { HaAction, Performer } from "../../../src/ha/action.ts";
import type { LeaseRow } from "../../../src/ha/lease.ts";
import type { Doing } from "../../../src/ha/observed.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import { formatLsn } from "../../../src/postgres/lsn.ts";
import { makeData, restart, stop } from "../act.ts";
import { forgetServer, session, sqlTarget } from "../observe.ts";
import { openSession } from "../sql.ts";
import type { Judgement, LostLog, Peer, StandbyMechanics } from "../standby/mechanics.ts";
import { faultPoint } from "./fault-point.ts";
import { fence } from "./fence.ts";
import { noAttempts } from "./ha-file.ts";
import type { Released } from "./lease-watch.ts";
import type { WorkHandle } from "./long-work.ts";
import type { PerformerInput } from "./parts.ts";
import { promoteNow, SurveyAhead } from "./promotion.ts";

/** Performs one action. Throws AppError when it could not be done; the loop decides anew later. */
export function createPerformer(
  input: PerformerInput,
): (action: HaAction, signal: AbortSignal) => Promise<void> {
  const ahead = new SurveyAhead();
  return async (action, signal) => {
    faultPoint("before", action.kind);
    const table: Performer<Promise<void>> = performerOf(input, ahead, signal);
    await dispatch(table, action);
    faultPoint("after", action.kind);
  };
}

function dispatch<Kind extends HaAction["kind"]>(
  table: Performer<Promise<void>>,
  action: Extract<HaAction, { readonly kind: Kind }>,
): Promise<void> {
  const perform: (action: Extract<HaAction, { readonly kind: Kind }>) => Promise<void> =
    table[action.kind];
  return perform(action);
}

function performerOf(
  input: PerformerInput,
  ahead: SurveyAhead,
  signal: AbortSignal,
): Performer<Promise<void>> {
  const { deps, memory, group, mechanics, file } = input;
  const { renewer, work } = group;
  const long = (
    kind: Doing["kind"],
    source: string | null,
    run: (handle: WorkHandle) => Promise<void>,
  ) => {
    const epoch = group.watch.sight?.row?.epoch ?? 0;
    work.begin({ kind, source, epoch }, signal, run);
  };
  return {
    none: async () => undefined,
    create_lease: async ({ beginning }) => {
      await renewer.create(beginning, signal);
    },
    acquire: async (action) => {
      const allowed = () => (file.promise?.untilMs ?? 0) <= deps.boot.bootMs();
      ahead.begin(input);
      const result = await renewer.acquire(action, allowed, signal);
      if (result === "done") void group.wakeOthers(signal);
    },
    adopt: async ({ row }) => {
      // A lease whose deadline nobody would keep is better left to expire.
      await deps.fencer.required().status();
      await renewer.adopt(row, signal);
    },
    change_lease: async ({ change }) => renewer.change(change),
    release: async ({ ending }) => {
      const announce = (released: Released) => offer(input, released, signal);
      const result = await renewer.release(ending, announce, signal);
      if (result === "done") await group.wakeOthers(signal);
    },
    ask_failsafe: async ({ members, question }) => {
      const sentAtMs = deps.boot.bootMs();
      if (await group.peers.agree(members, question, signal)) await renewer.extend(sentAtMs);
    },
    bootstrap: async () => long("bootstrap", null, () => makeData(deps, memory, signal)),
    clone: async ({ source, intent }) => {
      const peer = peerOf(input, source);
      long("clone", source, (handle) => clone(input, peer, intent, handle));
    },
    rewind: async ({ source, intent }) => {
      const peer = peerOf(input, source);
      long("rewind", source, (handle) =>
        intent === null ? rewind(input, peer, handle) : rewindAsked(input, peer, intent, handle),
      );
    },
    promote: async (action) => {
      long("promote", null, (handle) => promoteNow(input, action, ahead, handle));
    },
    checkpoint: async () => checkpointBeside(input, signal),
    vote: async ({ version }) => {
      const positions = await mechanics.letGo(await session(deps, memory), signal);
      const { timeline, lsn } = positions.end;
      await file.save({ vote: { ...version, timeline, lsn: formatLsn(lsn) } });
    },
    fence: async () => {
      await work.cancel();
      memory.ending = true;
      await fence(deps);
      await forgetServer(memory);
      group.sensor.forgetServer();
      group.sensor.forgetData();
      memory.process = "stopped";
      memory.remaining = 0;
    },
    restart: async ({ intent }) => {
      long("restart", null, async ({ signal: ended }) => {
        await settle(input, intent, "running", null, ended);
        const failed = await restart(deps, memory, undefined, ended);
        const state = failed === undefined ? "done" : "failed";
        await settle(input, intent, state, failed ?? "restarted", signal);
      });
    },
    cancel: () => work.cancel(),
    start_intent: ({ id }) => settle(input, id, "running", null, signal),
    finish_intent: ({ id, state, answer }) => settle(input, id, state, answer, signal),
  };
}

/** Leaves the lease to its successor for a moment, so that one write to the store is enough; answers what became of it. */
async function offer(
  { deps, group }: PerformerInput,
  released: Released,
  signal: AbortSignal,
): Promise<LeaseRow | undefined> {
  if (!released.row.ending?.successor) return undefined;
  void group.wakeOthers(signal, released);
  const endMs = deps.clock.monotonicMs() + offerMs;
  while (deps.clock.monotonicMs() < endMs) {
    const row = group.watch.sight?.row;
    if (row && row.epoch > released.row.epoch) return row;
    await deps.clock.sleep(offerPollMs, signal);
  }
  return undefined;
}

function peerOf({ ha, deps }: PerformerInput, id: string): Peer {
  const member: HaMember | undefined = ha().members.find(({ instance_id }) => instance_id === id);
  if (!member) throw new AppError("retryable", `${id} is no member of the group`);
  if (id === deps.file.instance_id) throw new AppError("bug", "an instance cannot copy itself");
  return { instanceId: id, addresses: member.addresses, port: member.port };
}

async function settle(
  { deps, group }: PerformerInput,
  id: string,
  state: "running" | "done" | "failed" | "canceled",
  answer: string | null,
  signal: AbortSignal,
): Promise<void> {
  const options = { signal, timeoutMs: group.settings.retry_ms };
  await deps.leases.settleIntent(id, { state, answer }, deps.clock.nowMs(), options);
  await group.watch.look(signal);
}

/** A copy of a member's data, in place of what is here. */
async function clone(
  input: PerformerInput,
  peer: Peer,
  intent: string | null,
  handle: WorkHandle,
): Promise<void> {
  const { deps, memory, group, mechanics } = input;
  memory.doing = "creating replica";
  deps.publish();
  try {
    await stopFirst(input);
    await mechanics.cloneFrom(peer, { signal: handle.signal, onProgress: handle.progress });
    faultPoint("after", "cloned");
    memory.data = undefined;
    await forgetTried(input);
    if (intent !== null) await settle(input, intent, "running", "copied", handle.signal);
  } catch (error) {
    await remember(input, "clones", error, handle.signal);
  } finally {
    memory.doing = undefined;
    group.sensor.forgetData();
  }
}

/** A new copy was asked for while it runs. */
async function stopFirst({ deps, memory, group }: PerformerInput): Promise<void> {
  if (memory.process === "stopped") return;
  memory.ending = true;
  await forgetServer(memory);
  await fence(deps);
  memory.process = "stopped";
  group.sensor.forgetServer();
}

async function rewind(input: PerformerInput, peer: Peer, handle: WorkHandle): Promise<void> {
  const { group } = input;
  try {
    await turnBack(input, peer, handle);
  } catch (error) {
    await remember(input, "rewinds", error, handle.signal);
  } finally {
    group.sensor.forgetData();
  }
}

/** Whoever asked is told what came of it; nothing else is tried in its place. */
async function rewindAsked(
  input: PerformerInput,
  peer: Peer,
  intent: string,
  handle: WorkHandle,
): Promise<void> {
  const { deps, group } = input;
  const { signal } = handle;
  await settle(input, intent, "running", null, signal);
  try {
    const answer = await turnBack(input, peer, handle);
    await settle(input, intent, "done", answer, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    deps.log.warn("the rewind that was asked for failed", { error: messageOf(error) });
    await settle(input, intent, "failed", messageOf(error), signal);
  } finally {
    group.sensor.forgetData();
  }
}

/** Answers what was done, in words. */
async function turnBack(input: PerformerInput, peer: Peer, handle: WorkHandle): Promise<string> {
  const { memory, mechanics } = input;
  const own = await stoppedEnd(input, handle);
  const judgement = await judgeReady(input, peer, own, handle);
  if (judgement.kind === "follow") {
    await mechanics.prepareStandby();
    return `nothing to rewind: its data is part of the history of ${peer.instanceId}`;
  }
  const outcome = await mechanics.rewind(peer, judgement, {
    signal: handle.signal,
    onProgress: handle.progress,
  });
  if (outcome.kind !== "rewound") throw new AppError("terminal", outcome.why);
  await tellLoss(input, judgement, outcome.lost, handle.signal);
  faultPoint("after", "rewound");
  memory.data = undefined;
  await forgetTried(input);
  return `rewound to the history of ${peer.instanceId}`;
}

/** What only this instance had goes into the log and into the history of the node. */
async function tellLoss(
  { deps, group }: PerformerInput,
  judgement: Judgement,
  lost: LostLog | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (!lost || judgement.kind !== "diverged") return;
  const [from, to] = [formatLsn(lost.fromLsn), formatLsn(lost.toLsn)];
  const { timeline } = lost;
  deps.log.warn("rewound: the log that only this instance had is set aside", {
    from,
    to,
    timeline,
    keptIn: lost.keptIn,
  });
  const { history } = judgement.upstream;
  const after = history.ancestors.find((entry) => entry.timeline > judgement.kinship.timeline);
  const began = after?.timeline ?? history.timeline;
  const text = `${deps.file.instance_id}: ${from} to ${to} of timeline ${timeline} (${lost.toLsn - lost.fromLsn} bytes of log)`;
  const options = { signal, timeoutMs: group.settings.retry_ms };
  await deps.leases
    .noteLoss(began, text, options)
    .catch((error) => deps.log.warn("the loss is not in the history", { error: messageOf(error) }));
}

type OwnData = Parameters<StandbyMechanics["judge"]>[1];

/**
 * Stops in order, which pg_rewind asks for, and answers where the data ends. A standby says so while it runs; a primary
 * that crashed is recovered first.
 */
async function stoppedEnd(input: PerformerInput, handle: WorkHandle): Promise<OwnData> {
  const { deps, memory, group, mechanics } = input;
  if (memory.process !== "stopped") {
    const { end, history } = await mechanics.positions(await session(deps, memory));
    await stop(deps, memory);
    group.sensor.forgetServer();
    return { ...end, history };
  }
  let offline = must(await mechanics.inspectOffline(), "data to rewind");
  if (offline.endUnknown === "crashed_primary") {
    await mechanics.recoverAlone({ signal: handle.signal, onProgress: handle.progress });
    offline = must(await mechanics.inspectOffline(), "data to rewind");
  }
  if (offline.end) return { ...offline.end, history: offline.history };
  const text = `where the stopped data ends is not known: ${offline.endUnknown}`;
  throw new AppError("retryable", text);
}

/** The primary may not have made its first checkpoint yet, without which pg_rewind would be misled. */
async function judgeReady(
  { deps, mechanics }: PerformerInput,
  peer: Peer,
  own: OwnData,
  handle: WorkHandle,
): Promise<Judgement> {
  const endMs = deps.clock.monotonicMs() + rewindReadyTimeoutMs;
  for (;;) {
    const judgement = await mechanics.judge(peer, own, handle.signal);
    handle.progress();
    if (judgement.kind !== "wait") return judgement;
    if (deps.clock.monotonicMs() > endMs) throw new AppError("retryable", judgement.why);
    await deps.clock.sleep(rewindReadyPollMs, handle.signal);
  }
}

/** What failed is not tried again at once, and after some failures something else is tried. */
async function remember(
  { deps, file }: PerformerInput,
  what: "rewinds" | "clones",
  error: unknown,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw error;
  const { attempts } = file;
  const count = attempts.rejoin[what] + 1;
  const pauseMs = Math.min(rejoinPauseMs * 2 ** Math.min(count - 1, 8), rejoinPauseMaxMs);
  const retryAtMs = deps.boot.bootMs() + pauseMs;
  const rejoin = { ...attempts.rejoin, [what]: count, retryAtMs, error: messageOf(error) };
  await file.save({ attempts: { ...attempts, rejoin } });
  deps.log.error("rejoining failed", { what, count, error: messageOf(error) });
}

async function forgetTried({ file }: PerformerInput): Promise<void> {
  const { attempts } = file;
  await file.save({ attempts: { ...attempts, rejoin: noAttempts.rejoin } });
}

/** In a session of its own, because it can take long; one at a time. */
async function checkpointBeside(input: PerformerInput, signal: AbortSignal): Promise<void> {
  const { deps, memory, group, mechanics } = input;
  if (memory.checkpointing) return;
  memory.checkpointing = true;
  const run = async () => {
    const open = await openSession(sqlTarget(deps, memory, "postgres"), deps.clock, signal);
    try {
      await mechanics.checkpoint(open, signal);
    } finally {
      await open.close();
    }
  };
  void run()
    .catch((error) => deps.log.warn("the checkpoint failed", { error: messageOf(error) }))
    .finally(() => {
      memory.checkpointing = false;
      group.sensor.forgetServer();
      deps.wake();
    });
}
