// The keeper's loop: look, decide, do one thing, tell. By level: every cycle starts from what is, not from what
// was done before.
import { AppError, levelOf, messageOf } from "../../src/base/errors.ts";
import {
  crashBackoffFirstMs,
  crashBackoffMaxMs,
  crashForgottenAfterMs,
  keeperBusyAfterStartMs,
  keeperBusyPollMs,
  keeperHotPollMs,
  keeperProbeIntervalMs,
  keeperStartingPollMs,
} from "../../src/base/limits.ts";
import { backoffMs } from "../../src/base/retry.ts";
import type { Rng } from "../../src/base/rng.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import { type ActDeps, perform, rememberExit } from "./act.ts";
import { type ConfigurationTexts, renderConfiguration } from "./configuration-files.ts";
import { type Decision, decide, type Observed, type Wanted } from "./decide.ts";
import type { Group } from "./ha/group.ts";
import { configOfPart, roleOfPart } from "./ha/replication-role.ts";
import type { Memory } from "./memory.ts";
import { observe, session, summarise } from "./observe.ts";
import { buildReport } from "./report.ts";
import type { Wake } from "./wake.ts";

export interface LoopDeps extends ActDeps {
  /** The group that this instance is a member of; undefined while the node has one instance. */
  readonly group: () => Group | undefined;
  readonly rng: Rng;
  readonly alarm: Wake;
  readonly startedAtMs: number;
  /** Operating-system users that may be the superuser locally. */
  readonly systemUsers: readonly string[];
  /** The configuration is in effect; remembered for a keeper that comes after a refused one. */
  readonly onAccepted: (config: InstanceConfig) => void;
  /** The configuration changed: REST API, and the copy for a start without the store. */
  readonly onConfig: (config: InstanceConfig) => Promise<void>;
}

const RETRY = { firstMs: crashBackoffFirstMs, maxMs: crashBackoffMaxMs };

/** Runs until the signal aborts. PostgreSQL keeps running. */
export async function runLoop(deps: LoopDeps, memory: Memory, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await cycle(deps, memory, signal);
    } catch (error) {
      if (signal.aborted) return;
      fail(deps, memory, error);
    }
    deps.publish();
    memory.cycleAtMs = deps.clock.monotonicMs();
    await deps.alarm.wait(pauseMs(deps, memory), signal);
  }
}

/** Whether changes are to be noticed quickly: there is work, or the keeper has just started. */
export function isBusy(deps: Pick<LoopDeps, "clock" | "startedAtMs" | "store">, memory: Memory) {
  const { clock, startedAtMs, store } = deps;
  if (clock.monotonicMs() - startedAtMs < keeperBusyAfterStartMs) return true;
  if (memory.lane || store.requests.length > 0) return true;
  return (memory.config?.generation ?? 0) > memory.appliedGeneration && !memory.refusal;
}

/** What the store, the REST API and earlier cycles want of the keeper. */
export function wantedOf(deps: Pick<LoopDeps, "store" | "group">, memory: Memory): Wanted {
  return {
    config: memory.config,
    fromStore: memory.fromStore,
    appliedGeneration: memory.appliedGeneration,
    restartedGeneration: memory.restartedGeneration,
    requests: deps.store.requests,
    goal: memory.goal,
    held: deps.group()?.work.doing != null,
    busy: memory.lane !== undefined,
    restartReason: memory.restartReason,
    reloadAsked: memory.reloadAsked,
  };
}

/** How PostgreSQL ended reaches memory, the report and the loop at once. */
export function onPostgresExit(
  deps: LoopDeps,
  memory: Memory,
): (exit: Parameters<typeof rememberExit>[2]) => void {
  return (exit) => {
    memory.remaining = exit.remaining;
    const expected = memory.ending;
    if (!expected) {
      const noted = deps.group()?.noteCrash();
      noted?.catch((error) => deps.log.error("not noted", { error: messageOf(error) }));
    }
    rememberExit(deps, memory, exit)
      .catch((error) => deps.log.error("log could not be read", { error: messageOf(error) }))
      .finally(() => {
        deps.log.warn("PostgreSQL ended", { ...exit, expected: memory.ending });
        deps.publish();
        deps.alarm.wake();
      });
  };
}

async function cycle(deps: LoopDeps, memory: Memory, signal: AbortSignal): Promise<void> {
  await takeConfiguration(deps, memory);
  const seen = await observe(deps, memory);
  const observed = await withGroup(deps, memory, seen, signal);
  if (!observed) return;
  void tendAlone(deps, memory, signal);
  const decision = decide(observed, wantedOf(deps, memory));
  note(deps, memory, decision);
  if (memory.failure && deps.clock.monotonicMs() < memory.failure.retryAtMs) return;
  await perform(deps, memory, decision.action, signal);
  if (decision.action.kind !== "none") {
    memory.failure = undefined;
    deps.alarm.wake();
  } else if (decision.settled) {
    memory.failure = undefined;
  }
}

/**
 * The group decides first; the rules of one instance act within its goal. Answers what they are to act on, or nothing
 * when the group did something that changes it.
 */
async function withGroup(
  deps: LoopDeps,
  memory: Memory,
  seen: Observed,
  signal: AbortSignal,
): Promise<Observed | undefined> {
  const group = deps.group();
  if (!group) return seen;
  group.leave(memory.config?.run === "stopped");
  const acted = await group.cycle(signal);
  memory.goal = group.goal;
  deps.render();
  if (acted) deps.alarm.wake();
  return acted ? undefined : summarise(deps.clock, memory);
}

/** Slots of an instance that belongs to no group; beside the loop, because PostgreSQL may take its time. */
async function tendAlone(deps: LoopDeps, memory: Memory, signal: AbortSignal): Promise<void> {
  if (deps.group() || !memory.accepting || memory.status?.inRecovery !== false) return;
  try {
    const nobody = { members: [], primary: undefined };
    const alone = { kind: "primary" } as const;
    await deps.slots.tend(await session(deps, memory), alone, nobody, signal);
  } catch (error) {
    if (signal.aborted) return;
    deps.log[levelOf(error)]("slots were not looked after", { error: messageOf(error) });
  }
}

/** Renders the files again when the configuration or the part in the group changed. */
export function renderer(deps: Pick<LoopDeps, "file" | "systemUsers">, memory: Memory): () => void {
  let rendered = "";
  return () => {
    const { config, part, systemIdentifier, slotLogBytes, decodingWaitsFor, copySlots } = memory;
    if (!config) return;
    const refused = memory.refusal?.generation === config.generation;
    const of = [config.generation, refused, memory.accepted?.generation];
    const ofGroup = [systemIdentifier, part, slotLogBytes, decodingWaitsFor, copySlots];
    const key = JSON.stringify([of, ofGroup], plainBigint);
    if (key === rendered) return;
    rendered = key;
    takeFiles(deps, memory, config);
  };
}

function plainBigint(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

/** A newer configuration replaces the one in memory; an older one never does. */
async function takeConfiguration(deps: LoopDeps, memory: Memory): Promise<void> {
  const { desired } = deps.store;
  if (!desired) return;
  const { config, lastReport } = desired;
  if (!memory.fromStore && lastReport) {
    memory.appliedGeneration = lastReport.applied_generation;
    memory.systemIdentifier ??= lastReport.system_identifier;
  }
  memory.fromStore = true;
  if (!config || (memory.config && config.generation < memory.config.generation)) return;
  if (memory.takenGeneration === config.generation) return;
  memory.config = config;
  memory.failure = undefined;
  memory.onDiskAtMs = Number.NEGATIVE_INFINITY;
  takeFiles(deps, memory, config);
  await deps.onConfig(config);
  memory.takenGeneration = config.generation;
}

/** What cannot even be written as a file is refused like what PostgreSQL refuses. */
export function takeFiles(
  deps: Pick<LoopDeps, "file" | "systemUsers">,
  memory: Memory,
  config: InstanceConfig,
): void {
  memory.wanted = undefined;
  const base = groundOf(memory, config);
  memory.substituted = base !== config;
  try {
    memory.wanted = renderWanted(deps, memory, base);
  } catch (error) {
    if (!(error instanceof AppError) || error.kind !== "terminal") throw error;
    memory.refusal = { generation: config.generation, error: error.message };
  }
}

/** The part in a group changes whatever became of the newest configuration: it is laid over the last good one then. */
function groundOf({ part, refusal, accepted }: Memory, config: InstanceConfig): InstanceConfig {
  const refused = refusal?.generation === config.generation;
  return part && refused && accepted ? accepted : config;
}

function renderWanted(
  { file: { layout }, systemUsers }: Pick<LoopDeps, "file" | "systemUsers">,
  { part, systemIdentifier = "", slotLogBytes, decodingWaitsFor, copySlots }: Memory,
  config: InstanceConfig,
): ConfigurationTexts {
  if (!part) return renderConfiguration(config, layout, systemUsers);
  const input = { config, layout, systemIdentifier, slotLogBytes, decodingWaitsFor, copySlots };
  const role = roleOfPart(part, input);
  return renderConfiguration(configOfPart(part, config), layout, systemUsers, role);
}

/** One log line for every change of mind. */
function note(deps: LoopDeps, memory: Memory, decision: Decision): void {
  const { config, crash, readyAtMs } = memory;
  const group = deps.group()?.decision?.sentence;
  const sentence = group === undefined ? decision.sentence : `${group}; ${decision.sentence}`;
  if (sentence !== memory.decision) {
    deps.log.info(decision.sentence, {
      action: decision.action.kind,
      generation: config?.generation ?? 0,
    });
    memory.decision = sentence;
    deps.publish();
  }
  memory.error = decision.error;
  if (decision.settled && config) {
    memory.appliedGeneration = config.generation;
    const runs = memory.process === "running" && !memory.refusal;
    if (runs && memory.accepted?.generation !== config.generation) {
      memory.accepted = config;
      deps.onAccepted(config);
    }
  }
  const nowMs = deps.clock.monotonicMs();
  const stable = readyAtMs !== undefined && nowMs - readyAtMs >= crashForgottenAfterMs;
  if (crash && stable) memory.crash = undefined;
}

function fail(deps: LoopDeps, memory: Memory, error: unknown): void {
  const count = (memory.failure?.count ?? 0) + 1;
  const waitMs = backoffMs(RETRY, count - 1, deps.rng);
  const text = messageOf(error);
  memory.failure = { text, count, retryAtMs: deps.clock.monotonicMs() + waitMs };
  const bug = error instanceof AppError ? error.kind === "bug" : true;
  deps.log.error("the last action failed", { error: bug ? error : text, retryInMs: waitMs });
}

function pauseMs(deps: LoopDeps, memory: Memory): number {
  const starting = memory.process === "running" && !memory.accepting;
  if (starting && memory.goal?.kind !== "standby") return keeperStartingPollMs;
  if (memory.racing) return keeperBusyPollMs;
  if (memory.hot) return keeperHotPollMs;
  return isBusy(deps, memory) ? keeperBusyPollMs : keeperProbeIntervalMs;
}

/** The report of this moment. */
export function currentReport(deps: LoopDeps, memory: Memory) {
  return buildReport(memory, deps.file, deps.incarnation, deps.clock);
}
