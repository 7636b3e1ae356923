// Plans of one step that make another instance the primary of a node: in order, or because the primary is lost.
import { switchoverWriteGapMs } from "../base/limits.ts";
import { type PrimaryPlace, primaryResource } from "./primary-resource.ts";
import type { Plan, PlanKind } from "./resource.ts";
import { stepOf } from "./steps.ts";

export interface HandoverPlanInput extends PrimaryPlace {
  readonly parentGeneration: number;
}

/** Another instance becomes primary and nothing is lost. */
export function planSwitchover(input: HandoverPlanInput): Plan {
  return planned(input, "switchover", { [input.nodeName]: switchoverWriteGapMs });
}

/** Another instance becomes primary with what it has. Writes have ceased already, so no gap is foretold. */
export function planFailover(input: HandoverPlanInput): Plan {
  return planned(input, "failover", {});
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
