// Makes plans: what has to be done so that a database becomes what its spec says, or ceases to be.
import { type Diagnostic, fail, ok, type Result } from "../base/result.ts";
import { type Change, diffResources } from "./diff.ts";
import type { DesiredInput } from "./draft.ts";
import { primaryInputs } from "./inputs.ts";
import { nothingObserved, type ObservedDatabase } from "./observed.ts";
import { dependentsFirst, inDependencyOrder, neededFirst } from "./order.ts";
import { afterStep } from "./outcome.ts";
import { primariesOf, retreat, rollout, switchover, type Wave } from "./policy.ts";
import { refusals } from "./refusals.ts";
import { type Plan, type PlanKind, resourceKey, type StoredResource } from "./resource.ts";
import { writeGaps } from "./restart.ts";
import { type Stage, stagesOf } from "./stages.ts";
import { numberedSteps, type OrderedWave, removalWave, stepOf } from "./steps.ts";

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
  const stages = stagesOf(input, input.observed);
  const waves: OrderedWave[] = [];
  let now: StageInput = input;
  let removed: readonly Change[] = [];
  for (const [index, stage] of stages.entries()) {
    const { changes, ordered } = wavesOf(now, stage);
    const isLast = index === stages.length - 1;
    const generation = input.parentGeneration + index + 1;
    waves.push(...ordered.map((wave) => (isLast ? wave : { ...wave, generation })));
    if (isLast) removed = changes.filter(({ action }) => action === "delete");
    now = after(now, changes, ordered);
  }
  return ok(
    assemble({
      kind: input.kind,
      databaseId: input.databaseId,
      parentGeneration: input.parentGeneration,
      stages: stages.length,
      waves,
      removed,
      stored: input.stored,
      observed: input.observed,
      primaries: now.primaries ?? primariesOf(input.stored, input.observed),
    }),
  );
}

/** What a stage starts from. */
type StageInput = Pick<PlanInput, "databaseId" | "stored" | "observed" | "forceUpdate"> & {
  /** Where an earlier stage decided it. */
  readonly primaries?: ReadonlyMap<string, string>;
};

function wavesOf(
  input: StageInput,
  stage: Stage,
): { readonly changes: readonly Change[]; readonly ordered: readonly OrderedWave[] } {
  const { lowering, inPlace } = stage;
  const desired = inDependencyOrder(stage.desired.map((resource) => ({ resource }))).map(
    ({ resource }) => resource,
  );
  const changes = diffResources({ ...input, desired });
  const wanted = changes.filter(({ action }) => action !== "delete");
  const waves = [
    ...rollout({ ...input, desired, changes: wanted, lowering, inPlace }),
    ...departures(input, stage),
  ];
  const needed = neededFirst(desired, new Set(wanted.map(({ resource }) => resourceKey(resource))));
  return { changes, ordered: waves.map((wave) => ({ changes: wave, before: needed })) };
}

/** Primaries on their way out, when everything that may take their place is there. */
function departures({ databaseId, stored, observed }: StageInput, stage: Stage): readonly Wave[] {
  const primaries = primariesOf(stored, observed);
  return [...stage.leaving].map((node) => {
    const members = stage.desired.filter(
      ({ kind, nodeName }) => kind === "database.instance" && nodeName === node,
    );
    const primary = members.find(({ id }) => id === primaries.get(node)) ?? members[0];
    const candidates = members.flatMap(({ id }) => (stage.staying.has(id) ? [id] : []));
    return [switchover({ databaseId, node, hostId: primary?.hostId ?? "", candidates })];
  });
}

/** What the next stage starts from: everything is applied, and nothing that was seen before is true any more. */
function after(
  input: StageInput,
  changes: readonly Change[],
  waves: readonly OrderedWave[],
): StageInput {
  const steps = changes
    .filter(({ action }) => action !== "delete")
    .map((change) => stepOf(change, { id: "", after: [], restarts: false }));
  const primaries = new Map(primariesOf(input.stored, input.observed));
  for (const { resource, action } of waves.flatMap((wave) => wave.changes)) {
    if (action !== "switchover") continue;
    const [first] = primaryInputs(resource).candidates;
    if (first !== undefined) primaries.set(resource.nodeName ?? "", first);
  }
  return {
    databaseId: input.databaseId,
    stored: steps.reduce(afterStep, input.stored),
    observed: { ...nothingObserved, primaries },
    forceUpdate: false,
    primaries,
  };
}

/** The plan that leaves nothing of a database: everything that is stored, what depends on others first. */
export function makeDeletePlan(input: {
  readonly databaseId: string;
  readonly parentGeneration: number;
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
}): Plan {
  const removed = diffResources({ ...input, desired: [], forceUpdate: false });
  const primaries = primariesOf(input.stored, input.observed);
  return assemble({ ...input, kind: "delete", stages: 1, waves: [], removed, primaries });
}

interface Assembly {
  readonly kind: PlanKind;
  readonly databaseId: string;
  readonly parentGeneration: number;
  readonly stages: number;
  readonly waves: readonly OrderedWave[];
  readonly removed: readonly Change[];
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
  /** As they are when removals begin. */
  readonly primaries: ReadonlyMap<string, string>;
}

function assemble(input: Assembly): Plan {
  const { removed, observed } = input;
  const waves: OrderedWave[] = [...input.waves];
  const before = dependentsFirst(removed.map(({ resource }) => resource));
  for (const going of retreat(removed, input.primaries)) {
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
    generation: input.parentGeneration + input.stages,
    parentGeneration: input.parentGeneration,
    steps,
    restarts: restarting.flatMap(({ resource }) => resource.instanceId ?? []),
    switchovers: steps.flatMap(({ action, resource }) =>
      action === "switchover" ? (resource.nodeName ?? []) : [],
    ),
    writeGapMs: writeGaps(steps, primariesOf(input.stored, observed)),
  };
}
