// Steps that a keeper does over its socket to PostgreSQL: scripts, roles, the database.
import { must } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import { databaseRequest, rolesRequest, scriptRequest } from "../plan/requests.ts";
import type { Resource } from "../plan/resource.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { KeeperAnswer, KeeperRequest } from "../spec/instance-config.ts";
import { loadDatabase } from "../store/databases.ts";
import { instanceExistsGuard, loadInstance } from "../store/instances.ts";
import { askKeeper, loadKeeperRequest, withdrawKeeperRequest } from "../store/keeper-requests.ts";
import type { StepDeps, StepHandler } from "./step-deps.ts";
import type { StepRun } from "./task-run.ts";
import { waitUntil } from "./wait-until.ts";

export const scriptStep = requestStep(scriptRequest);
export const rolesStep = requestStep(rolesRequest);
export const databaseStep = requestStep(databaseRequest);

/** Removal is nothing: what lives in a PostgreSQL goes with its data directory. */
function requestStep(
  build: (resource: Resource, spec: DatabaseSpec) => KeeperRequest,
): StepHandler {
  return {
    async ensure(run, deps) {
      const { databaseId } = run.plan;
      const database = await loadDatabase(deps.store.db, deps.sealer, databaseId);
      if (!database) throw new AppError("terminal", `database ${databaseId} does not exist`);
      await askAndWait(run, deps, build(run.step.resource, database.spec));
    },
    async remove() {},
  };
}

/** Asks the keeper of the step's instance once, however often the step runs, and waits for its answer. */
export async function askAndWait(
  run: StepRun,
  deps: StepDeps,
  payload: KeeperRequest,
): Promise<void> {
  const { store, clock, ids } = deps;
  const instanceId = must(run.step.resource.instanceId, "instance of a request");
  const id = `${run.taskId}:${run.step.id}`;
  const instance = await loadInstance(store.db, instanceId);
  if (!instance?.config) throw new AppError("terminal", `instance ${instanceId} does not exist`);
  const request = { id, instanceId, generation: instance.config.generation, payload };
  const outcome = await store.commit({
    opId: ids.uuid(),
    guards: [run.guard, instanceExistsGuard(store.db, instanceId)],
    statements: [askKeeper(store.db, request, clock.nowMs())],
  });
  if (!outcome.ok) throw new AppError("terminal", `the plan is outdated (${outcome.conflict})`);
  const answer = await waitForAnswer(run, deps, { id, instanceId });
  if (!answer.ok) throw new AppError("terminal", answer.detail);
  if (answer.detail !== "") run.log(answer.detail);
}

async function waitForAnswer(
  run: StepRun,
  deps: StepDeps,
  request: { readonly id: string; readonly instanceId: string },
): Promise<KeeperAnswer> {
  const { store, clock, ids } = deps;
  try {
    return await waitUntil({
      clock,
      signal: run.signal,
      missing: () => `the keeper of ${request.instanceId} has not answered`,
      look: async () => (await loadKeeperRequest(store.display, request.id))?.answer,
    });
  } catch (error) {
    await store.commit({
      opId: ids.uuid(),
      guards: [run.guard],
      statements: [withdrawKeeperRequest(store.db, request.id)],
    });
    throw error;
  }
}
