// Invariants of every plan. Run on each generated plan before it is stored, and by tests on each they make.
// A finding is a bug of the planner, never of the user.
import type { Diagnostic } from "../base/result.ts";
import { concerning, ordering, waitsFor } from "./check-order.ts";
import { secretsIn } from "./check-secrets.ts";
import { instancesInUse } from "./policy.ts";
import {
  type Plan,
  type PlanKind,
  type Resource,
  type ResourceKey,
  resourceKey,
  type Step,
  type StepAction,
  type StoredResource,
} from "./resource.ts";

const ACTIONS: Readonly<Record<PlanKind, ReadonlySet<StepAction>>> = {
  create: new Set(["create", "update", "delete"]),
  update: new Set(["create", "update", "delete", "switchover"]),
  delete: new Set(["delete"]),
  restart_instance: new Set(["restart"]),
  stop_instance: new Set(["stop"]),
  start_instance: new Set(["start"]),
  reload_instance: new Set(["reload"]),
  checkpoint_instance: new Set(["checkpoint"]),
  reinitialize_instance: new Set(["reinitialize"]),
  rewind_instance: new Set(["rewind"]),
  switchover: new Set(["switchover"]),
  failover: new Set(["failover"]),
};

/** Longest that any step may take. */
const timeoutMaxMs = 24 * 3_600_000;

/** What is wrong with a plan that starts from `stored`; empty for a sound one. */
export function checkPlan(plan: Plan, stored: readonly StoredResource[]): readonly Diagnostic[] {
  return [
    ...identity(plan),
    ...ordering(plan.steps),
    ...needs(plan, stored),
    ...removals(plan, stored),
    ...restarts(plan),
    ...places(plan.steps),
    ...keepsData(plan, stored),
    ...plan.steps.flatMap(secretsIn),
  ];
}

/** 1. One generation further with every stage. 2. Step ids are unique and sort as text. 3. Only actions of the kind, bounded in time. */
function identity(plan: Plan): Diagnostic[] {
  const found: Diagnostic[] = [];
  const stages = new Set([plan.generation, ...plan.steps.map((step) => step.generation)]);
  stages.delete(undefined);
  if (plan.generation !== plan.parentGeneration + stages.size || plan.parentGeneration < 0) {
    found.push(concerning("", "generation", "does not follow its parent"));
  }
  let generation = plan.parentGeneration + 1;
  for (const step of plan.steps) {
    const own = step.generation ?? plan.generation;
    if (own < generation || own > plan.generation) {
      found.push(concerning(step.id, "generation", `is of ${own} after ${generation}`));
    }
    generation = own;
  }
  let last = "";
  for (const { id, action, timeoutMs } of plan.steps) {
    if (id <= last) found.push(concerning(id, "step_id", `does not sort after ${last}`));
    if (!ACTIONS[plan.kind].has(action)) {
      found.push(concerning(id, "action", `${action} has no place in a plan of kind ${plan.kind}`));
    }
    if (!(timeoutMs > 0 && timeoutMs <= timeoutMaxMs)) {
      found.push(concerning(id, "timeout", `${timeoutMs} ms is no time limit`));
    }
    last = id;
  }
  return found;
}

/**
 * 4. A resource is worked on once in a stage. 5. What a step needs is there already, or made by a step that it waits
 * for.
 */
function needs(plan: Plan, stored: readonly StoredResource[]): Diagnostic[] {
  const found: Diagnostic[] = [];
  const makers = Map.groupBy(plan.steps, ({ resource }) => resourceKey(resource));
  for (const [key, steps] of makers) {
    const stages = new Set(
      steps.map(({ action, generation }) => `${action === "delete"} ${generation}`),
    );
    const [, second] = steps;
    if (second && stages.size < steps.length && second.action !== "switchover") {
      found.push(concerning(second.id, "twice", `${key} has two steps`));
    }
  }
  const present = new Map(stored.map((resource) => [resourceKey(resource), resource]));
  const place = new Map(plan.steps.map(({ id }, index) => [id, index]));
  for (const step of plan.steps) {
    if (step.action !== "create" && step.action !== "update") continue;
    for (const key of step.resource.dependsOn) {
      const all = makers.get(key) ?? [];
      const earlier = all.filter(({ id }) => (place.get(id) ?? 0) < (place.get(step.id) ?? 0));
      const maker = earlier.at(-1) ?? all.find(({ generation }) => generation === step.generation);
      const later = maker === undefined && all.length > 0 ? present.get(key) : undefined;
      const problem =
        all.length > 0 && maker === undefined && later === undefined
          ? "is only made later"
          : neededProblem(step, maker, present.get(key), plan.steps);
      if (problem !== undefined) found.push(concerning(step.id, "dependency", `${key} ${problem}`));
    }
  }
  return found;
}

function neededProblem(
  step: Step,
  maker: Step | undefined,
  stored: StoredResource | undefined,
  steps: readonly Step[],
): string | undefined {
  if (maker === undefined) {
    if (stored === undefined) return "does not exist and nothing makes it";
    return stored.state === "applied" ? undefined : `is ${stored.state} and nothing mends it`;
  }
  if (maker.action === "delete") return "is deleted";
  return step.after.includes(maker.id) || isOfEarlierStage(maker, step, steps)
    ? undefined
    : `is not waited for (${maker.id})`;
}

/** Stages do not overlap: what an earlier one made is there. */
function isOfEarlierStage(maker: Step, step: Step, steps: readonly Step[]): boolean {
  if (maker.generation === undefined || maker.generation === step.generation) return false;
  return waitsFor(steps, step, maker);
}

/** 6. Nothing goes that something kept depends on, and nothing before what depends on it. */
function removals(plan: Plan, stored: readonly StoredResource[]): Diagnostic[] {
  const steps = new Map(plan.steps.map((step) => [resourceKey(step.resource), step]));
  const known = new Map<ResourceKey, Resource>();
  for (const resource of stored) known.set(resourceKey(resource), resource);
  for (const [key, { resource }] of steps) known.set(key, resource);
  const found: Diagnostic[] = [];
  for (const [key, { dependsOn }] of known) {
    for (const needed of dependsOn) {
      const removal = steps.get(needed);
      if (removal?.action !== "delete") continue;
      const own = steps.get(key);
      if (own?.action !== "delete") {
        found.push(concerning(removal.id, "still_needed", `${key} depends on ${needed}`));
      } else if (!removal.after.includes(own.id)) {
        found.push(concerning(removal.id, "too_early", `does not wait for ${own.id}`));
      }
    }
  }
  return found;
}

/**
 * 7. Only database.instance steps restart; the plan lists exactly those, and the nodes whose primary changes; a gap is
 * told only where one of both happens.
 */
function restarts(plan: Plan): Diagnostic[] {
  const found: Diagnostic[] = [];
  const restarting = plan.steps.filter((step) => step.restarts);
  for (const { id, resource, action } of restarting) {
    if (resource.kind !== "database.instance" || action === "delete" || action === "stop") {
      found.push(concerning(id, "restart", `a ${action} of ${resource.kind} cannot restart`));
    }
  }
  const listed = JSON.stringify(plan.restarts);
  if (listed !== JSON.stringify(restarting.map(({ resource }) => resource.id))) {
    found.push(concerning("", "restarts", `lists ${listed}`));
  }
  const moving = plan.steps.filter(({ resource }) => resource.kind === "database.primary");
  const moved = moving.map(({ resource }) => resource.nodeName);
  if (JSON.stringify(plan.switchovers) !== JSON.stringify(moved)) {
    found.push(concerning("", "switchovers", `lists ${plan.switchovers.join(", ")}`));
  }
  const nodes = new Set([...restarting, ...moving].map(({ resource }) => resource.nodeName));
  for (const node of Object.keys(plan.writeGapMs)) {
    if (!nodes.has(node))
      found.push(concerning("", "write_gap", `nothing of ${node} restarts or changes`));
  }
  return found;
}

/** 8. Every step has one host, and all steps of one instance have the same. */
function places(steps: readonly Step[]): Diagnostic[] {
  const hosts = new Map<string, string>();
  const found: Diagnostic[] = [];
  for (const { id, resource } of steps) {
    const { hostId, instanceId } = resource;
    if (hostId === "") found.push(concerning(id, "host", "has no host"));
    if (instanceId === undefined) continue;
    const known = hosts.get(instanceId) ?? hostId;
    if (known !== hostId) found.push(concerning(id, "host", `${instanceId} is on ${known} too`));
    hosts.set(instanceId, hostId);
  }
  return found;
}

/**
 * 9. A node that was in use keeps an instance as long as it stays in the spec, or its primary moves to a new one. 10. No instance changes its major
 * version in place.
 */
function keepsData(plan: Plan, stored: readonly StoredResource[]): Diagnostic[] {
  const found: Diagnostic[] = [];
  const instances = plan.steps.filter(({ resource }) => resource.kind === "database.instance");
  const removed = new Set(instances.filter(isRemoval).map(({ resource }) => resource.id));
  const finished = instancesInUse(stored);
  const survivors = new Set(
    finished.flatMap(({ id, nodeName }) => (removed.has(id) ? [] : [nodeName])),
  );
  const emptied = new Set(
    finished.flatMap(({ nodeName }) => (survivors.has(nodeName) ? [] : [nodeName])),
  );
  for (const { id, action, resource, changes } of instances) {
    const moves = plan.switchovers.includes(resource.nodeName ?? "");
    if (action === "create" && emptied.has(resource.nodeName) && !moves) {
      found.push(concerning(id, "data_loss", `replaces all instances of ${resource.nodeName}`));
    }
    if (changes.some(({ path }) => path === "/postgres_major")) {
      found.push(concerning(id, "major_version", "changes the major version in place"));
    }
  }
  return found;
}

function isRemoval({ action }: Step): boolean {
  return action === "delete";
}
