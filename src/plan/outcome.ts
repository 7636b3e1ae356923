// What the store should remember of a resource after a step, so that the next plan starts from the truth.
import { type Resource, resourceKey, type Step, type StoredResource } from "./resource.ts";

/** After the step finished; undefined = forget the resource. */
export function storedAfter(step: Step): StoredResource | undefined {
  return step.action === "delete" || isEvent(step) ? undefined : applied(step.resource);
}

/** Before the step starts: a creation leaves a trace, so that a crash within it is not mistaken for nothing. */
export function storedBefore(step: Step): StoredResource | undefined {
  if (step.action !== "create") return undefined;
  return { ...applied(step.resource), state: "needs_recreate", error: "was not finished" };
}

/**
 * After the step failed. `previous` is what was stored before the step: its inputs stay, so that the next plan
 * still shows, and still does, everything that this one did not finish.
 */
export function storedAfterFailure(
  step: Step,
  previous: StoredResource | undefined,
  error: string,
): StoredResource | undefined {
  if (step.action === "create" || previous === undefined) {
    if (step.action === "delete") return undefined;
    return { ...applied(step.resource), state: "needs_recreate", error };
  }
  return { ...previous, state: "failed", error };
}

/** Who is primary is nothing that a plan leaves behind. */
function isEvent({ resource }: Step): boolean {
  return resource.kind === "database.primary";
}

/** The resources of a database after one more step; for models and tests. */
export function afterStep(
  stored: readonly StoredResource[],
  step: Step,
): readonly StoredResource[] {
  const key = resourceKey(step.resource);
  const after = storedAfter(step);
  const others = stored.filter((resource) => resourceKey(resource) !== key);
  return after === undefined ? others : [...others, after];
}

function applied(resource: Resource): StoredResource {
  const { kind, id, hostId, instanceId, nodeName, inputs, dependsOn } = resource;
  return {
    kind,
    id,
    hostId,
    ...(instanceId === undefined ? {} : { instanceId }),
    ...(nodeName === undefined ? {} : { nodeName }),
    inputs,
    dependsOn,
    state: "applied",
  };
}
