// Makes plans: what has to be done so that a database becomes what its spec says, or ceases to be.
import { type Diagnostic, fail, ok, type Result } from "../base/result.ts";
import { desiredResources } from "./desired.ts";
import { type Change, diffResources } from "./diff.ts";
import type { DesiredInput } from "./draft.ts";
import type { ObservedDatabase } from "./observed.ts";
import { dependentsFirst, inDependencyOrder, neededFirst } from "./order.ts";
import { primariesOf, retreat, rollout, type Wave } from "./policy.ts";
import { refusals } from "./refusals.ts";
import {
  type Plan,
  type PlanKind,
  type ResourceKey,
  resourceKey,
  type StoredResource,
} from "./resource.ts";
import { writeGaps } from "./restart.ts";
import { numberedSteps, type OrderedWave, removalWave } from "./steps.ts";

export interface PlanInput extends DesiredInput {
  readonly kind: "create" | "update";
  /** Generation of the spec that this one replaces; 0 for a new database. */
  readonly parentGeneration: number;
  readonly observed: ObservedDatabase;
  readonly forceUpdate: boolean;
}

/** The plan from what is stored to what `spec` says, or all reasons why there is none. */
export function makePlan(input: PlanInput): Result<Plan, readonly Diagnostic[]> {
  const problems = refusals(input);
  if (problems.length > 0) return fail(problems);
  const desired = inDependencyOrder(desiredResources(input).map((resource) => ({ resource }))).map(
    ({ resource }) => resource,
  );
  const changes = diffResources({ ...input, desired });
  const removed = changes.filter(({ action }) => action === "delete");
  const wanted = changes.filter(({ action }) => action !== "delete");
  const waves = rollout({ ...input, changes: wanted });
  return ok(
    assemble({
      kind: input.kind,
      databaseId: input.databaseId,
      parentGeneration: input.parentGeneration,
      waves,
      needed: neededFirst(desired, new Set(wanted.map(({ resource }) => resourceKey(resource)))),
      removed,
      stored: input.stored,
      observed: input.observed,
    }),
  );
}

/** The plan that leaves nothing of a database: everything that is stored, what depends on others first. */
export function makeDeletePlan(input: {
  readonly databaseId: string;
  readonly parentGeneration: number;
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
}): Plan {
  const removed = diffResources({ ...input, desired: [], forceUpdate: false });
  return assemble({ ...input, kind: "delete", waves: [], needed: new Map(), removed });
}

interface Assembly {
  readonly kind: PlanKind;
  readonly databaseId: string;
  readonly parentGeneration: number;
  readonly waves: readonly Wave[];
  readonly needed: ReadonlyMap<ResourceKey, readonly ResourceKey[]>;
  readonly removed: readonly Change[];
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
}

function assemble(input: Assembly): Plan {
  const { removed, needed, observed } = input;
  const waves: OrderedWave[] = input.waves.map((changes) => ({ changes, before: needed }));
  const primaries = primariesOf(input.stored, observed);
  const before = dependentsFirst(removed.map(({ resource }) => resource));
  for (const going of retreat(removed, primaries)) {
    waves.push({ changes: removalWave(going), before });
  }
  const steps = numberedSteps(
    waves.filter(({ changes }) => changes.length > 0),
    observed,
  );
  const restarting = steps.filter(({ restarts }) => restarts);
  return {
    kind: input.kind,
    databaseId: input.databaseId,
    generation: input.parentGeneration + 1,
    parentGeneration: input.parentGeneration,
    steps,
    restarts: restarting.flatMap(({ resource }) => resource.instanceId ?? []),
    switchovers: [],
    writeGapMs: writeGaps(restarting, primaries),
  };
}
