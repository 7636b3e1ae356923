// Plans of one step for one instance: restart, stop, start.
import { fail, ok, type Result } from "../base/result.ts";
import { instanceInputs } from "./inputs.ts";
import type { ObservedDatabase } from "./observed.ts";
import { primariesOf } from "./policy.ts";
import type { InputChange, Plan, PlanKind, Resource, Step, StoredResource } from "./resource.ts";
import { writeGaps } from "./restart.ts";
import { stepOf } from "./steps.ts";

export interface InstancePlanInput {
  readonly databaseId: string;
  readonly instanceId: string;
  readonly parentGeneration: number;
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
}

/** Restarts PostgreSQL of the instance. Fails when nothing is stored of it. */
export function planRestart(input: InstancePlanInput): Result<Plan, "not_found"> {
  return planned(input, "restart_instance", "restart");
}

/** Stops PostgreSQL of the instance and leaves it stopped until it is started or its database updated. */
export function planStop(input: InstancePlanInput): Result<Plan, "not_found"> {
  return planned(input, "stop_instance", "stop", "stopped");
}

/** Starts PostgreSQL of the instance again. */
export function planStart(input: InstancePlanInput): Result<Plan, "not_found"> {
  return planned(input, "start_instance", "start", "running");
}

/** PostgreSQL of the instance reads its configuration again. */
export function planReload(input: InstancePlanInput): Result<Plan, "not_found"> {
  return planned(input, "reload_instance", "reload");
}

export function planCheckpoint(input: InstancePlanInput): Result<Plan, "not_found"> {
  return planned(input, "checkpoint_instance", "checkpoint");
}

/** A standby's data is replaced by a new copy; `from` is the instance to copy from, when it matters. */
export function planReinitialize(
  input: InstancePlanInput,
  from: string | undefined,
): Result<Plan, "not_found"> {
  const plan = planned(input, "reinitialize_instance", "reinitialize");
  if (!plan.ok || from === undefined) return plan;
  const changes = [{ path: "/data", after: `a copy of ${from}` }];
  return ok({ ...plan.value, steps: plan.value.steps.map((step) => ({ ...step, changes, from })) });
}

/** A standby's data is turned back to the history of its primary, if it left it. */
export function planRewind(input: InstancePlanInput): Result<Plan, "not_found"> {
  return planned(input, "rewind_instance", "rewind");
}

function planned(
  input: InstancePlanInput,
  kind: PlanKind,
  action: Step["action"],
  run?: "running" | "stopped",
): Result<Plan, "not_found"> {
  const stored = input.stored.find(
    (resource) => resource.kind === "database.instance" && resource.id === input.instanceId,
  );
  if (stored === undefined) return fail("not_found");
  const { state: _, error: __, ...current } = stored;
  const { resource, changes } =
    run === undefined ? { resource: current, changes: [] } : running(current, run);
  const restarts = action === "restart";
  const step = stepOf(
    { action, resource, reason: "requested", changes },
    { id: `01-database.instance::${stored.id}`, after: [], restarts },
  );
  return ok({
    kind,
    databaseId: input.databaseId,
    generation: input.parentGeneration + 1,
    parentGeneration: input.parentGeneration,
    steps: [step],
    restarts: restarts ? [stored.id] : [],
    switchovers: [],
    writeGapMs: restarts ? writeGaps([step], primariesOf(input.stored, input.observed)) : {},
  });
}

function running(
  resource: Resource,
  run: "running" | "stopped",
): { readonly resource: Resource; readonly changes: readonly InputChange[] } {
  const inputs = instanceInputs(resource);
  const changes = inputs.run === run ? [] : [{ path: "/run", before: inputs.run, after: run }];
  return { resource: { ...resource, inputs: { ...inputs, run } }, changes };
}
