// Steps that a keeper does over its socket to PostgreSQL: scripts, roles, the database, slots.
import { must } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import { stepPollMs } from "../base/limits.ts";
import { databaseRequest, rolesRequest, scriptRequest, slotsRequest } from "../plan/requests.ts";
import type { Resource } from "../plan/resource.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { KeeperAnswer, KeeperRequest } from "../spec/instance-config.ts";
import { loadDatabase } from "../store/databases.ts";
import { loadLease } from "../store/ha-nodes.ts";
import { instanceExistsGuard, loadInstance } from "../store/instances.ts";
import { askKeeper, loadKeeperRequest, withdrawKeeperRequest } from "../store/keeper-requests.ts";
import type { StepDeps, StepHandler } from "./step-deps.ts";
import type { StepRun } from "./task-run.ts";
import { waitUntil } from "./wait-until.ts";

export const scriptStep = requestStep(scriptRequest);
export const rolesStep = requestStep(rolesRequest);
export const databaseStep = requestStep(databaseRequest);
export const slotsStep = requestStep(slotsRequest);

/** Removal is nothing: what lives in a PostgreSQL goes with its data directory. */
function requestStep(
  build: (resource: Resource, spec: DatabaseSpec) => KeeperRequest,
): StepHandler {
  return {
    async ensure(run, deps) {
      const { databaseId } = run.plan;
      const database = await loadDatabase(deps.store.db, deps.sealer, databaseId);
      if (!database) throw new AppError("terminal", `database ${databaseId} does not exist`);
      await askPrimary(run, deps, build(run.step.resource, database.spec));
    },
    async remove() {},
  };
}

/**
 * Asks the keeper of the step's instance once, however often the step runs, and waits for its answer. In a group
 * that is the keeper of whoever is primary; when the primary changes meanwhile, the new one is asked the same.
 */
async function askPrimary(run: StepRun, deps: StepDeps, payload: KeeperRequest): Promise<void> {
  const { databaseId } = run.plan;
  const { nodeName } = run.step.resource;
  const home = await loadInstance(deps.store.db, instanceOf(run));
  if (!home?.config?.ha) return askAndWait(run, deps, payload);
  const node = must(nodeName, "node of a request");
  for (;;) {
    const turn = await waitForTurn(run, deps, node);
    const id = `${run.taskId}:${run.step.id}@${turn.epoch}`;
    const moved = async () => {
      const now = await loadLease(deps.store.display, databaseId, node);
      return now !== undefined && now.epoch !== turn.epoch;
    };
    const answer = await ask(run, deps, { id, instanceId: turn.holder, payload, moved });
    if (answer === "moved" || answer.not_primary === true) {
      run.log(`the primary of ${node} changes: asking the next one`, { was: turn.holder });
      await deps.clock.sleep(stepPollMs, run.signal);
    } else {
      return conclude(run, answer);
    }
  }
}

async function waitForTurn(
  run: StepRun,
  { store, clock }: StepDeps,
  node: string,
): Promise<{ readonly holder: string; readonly epoch: number }> {
  return waitUntil({
    clock,
    signal: run.signal,
    missing: () => `node ${node} has no primary`,
    look: async () => {
      const lease = await loadLease(store.display, run.plan.databaseId, node);
      return lease && lease.holder !== null
        ? { holder: lease.holder, epoch: lease.epoch }
        : undefined;
    },
  });
}

/** Asks the keeper of the step's instance once, however often the step runs, and waits for its answer. */
export async function askAndWait(
  run: StepRun,
  deps: StepDeps,
  payload: KeeperRequest,
): Promise<void> {
  const id = `${run.taskId}:${run.step.id}`;
  const moved = async () => false;
  const answer = await ask(run, deps, { id, instanceId: instanceOf(run), payload, moved });
  if (answer !== "moved") conclude(run, answer);
}

interface Question {
  readonly id: string;
  readonly instanceId: string;
  readonly payload: KeeperRequest;
  /** Whether the answer would be of no use any more. */
  readonly moved: () => Promise<boolean>;
}

async function ask(
  run: StepRun,
  deps: StepDeps,
  question: Question,
): Promise<KeeperAnswer | "moved"> {
  const { store, clock, ids } = deps;
  const { id, instanceId, payload } = question;
  const instance = await loadInstance(store.db, instanceId);
  if (!instance?.config) throw new AppError("terminal", `instance ${instanceId} does not exist`);
  const request = { id, instanceId, generation: instance.config.generation, payload };
  const outcome = await store.commit({
    opId: ids.uuid(),
    guards: [run.guard, instanceExistsGuard(store.db, instanceId)],
    statements: [askKeeper(store.db, request, clock.nowMs())],
  });
  if (!outcome.ok) throw new AppError("terminal", `the plan is outdated (${outcome.conflict})`);
  return waitForAnswer(run, deps, question);
}

function conclude(run: StepRun, answer: KeeperAnswer): void {
  if (!answer.ok) throw new AppError("terminal", answer.detail);
  if (answer.detail !== "") run.log(answer.detail);
}

async function waitForAnswer(
  run: StepRun,
  deps: StepDeps,
  { id, instanceId, moved }: Question,
): Promise<KeeperAnswer | "moved"> {
  const { store, clock } = deps;
  try {
    const answer = await waitUntil<KeeperAnswer | "moved">({
      clock,
      signal: run.signal,
      missing: () => `the keeper of ${instanceId} has not answered`,
      look: async () => {
        const answered = (await loadKeeperRequest(store.display, id))?.answer;
        return answered ?? ((await moved()) ? "moved" : undefined);
      },
    });
    if (answer === "moved") await withdraw(run, deps, id);
    return answer;
  } catch (error) {
    await withdraw(run, deps, id);
    throw error;
  }
}

async function withdraw(run: StepRun, { store, ids }: StepDeps, id: string): Promise<void> {
  await store.commit({
    opId: ids.uuid(),
    guards: [run.guard],
    statements: [withdrawKeeperRequest(store.db, id)],
  });
}

function instanceOf({ step }: StepRun): string {
  return must(step.resource.instanceId, "instance of a request");
}
