// Plans of one step that make another instance the primary of a node: in order, or because the primary is lost.
import { switchoverWriteGapMs } from "../base/limits.ts";
import type { PrimaryInputs } from "./inputs.ts";
import type { Plan, PlanKind, Resource } from "./resource.ts";
import { stepOf } from "./steps.ts";

export interface HandoverPlanInput {
  readonly databaseId: string;
  readonly nodeName: string;
  readonly parentGeneration: number;
  /** Host of one of the instances, for the log. */
  readonly hostId: string;
  readonly inputs: PrimaryInputs;
}

/** Another instance becomes primary and nothing is lost. */
export function planSwitchover(input: HandoverPlanInput): Plan {
  return planned(input, "switchover", { [input.nodeName]: switchoverWriteGapMs });
}

/** Another instance becomes primary with what it has. Writes have ceased already, so no gap is foretold. */
export function planFailover(input: HandoverPlanInput): Plan {
  return planned(input, "failover", {});
}

/** The thing that such a step works on. */
export function primaryResource(input: Omit<HandoverPlanInput, "parentGeneration">): Resource {
  const { databaseId, nodeName, hostId, inputs } = input;
  const id = `${databaseId}-${nodeName}`;
  return { kind: "database.primary", id, hostId, nodeName, inputs, dependsOn: [] };
}

function planned(
  input: HandoverPlanInput,
  kind: Extract<PlanKind, "switchover" | "failover">,
  writeGapMs: Readonly<Record<string, number>>,
): Plan {
  const resource = primaryResource(input);
  const step = stepOf(
    { action: kind, resource, reason: "requested", changes: [] },
    { id: `01-${resource.kind}::${resource.id}`, after: [], restarts: false },
  );
  return {
    kind,
    databaseId: input.databaseId,
    generation: input.parentGeneration + 1,
    parentGeneration: input.parentGeneration,
    steps: [step],
    restarts: [],
    switchovers: [input.nodeName],
    writeGapMs,
  };
}
