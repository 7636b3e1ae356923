// A plan as the API shows it.
import type { PlanView } from "../spec/plan-view.ts";
import { explainPlan } from "./explain.ts";
import { type Plan, resourceKey, type Step } from "./resource.ts";

export function viewPlan(plan: Plan): PlanView {
  return {
    kind: plan.kind,
    database_id: plan.databaseId,
    generation: plan.generation,
    steps: plan.steps.map(viewStep),
    restarts: [...plan.restarts],
    switchovers: [...plan.switchovers],
    write_gap_ms: { ...plan.writeGapMs },
    text: explainPlan(plan),
  };
}

function viewStep(step: Step): PlanView["steps"][number] {
  return {
    id: step.id,
    action: step.action,
    resource: resourceKey(step.resource),
    host_id: step.resource.hostId,
    reason: step.reason,
    changes: step.changes.map((change) => ({ ...change })),
    restarts: step.restarts,
    after: [...step.after],
  };
}
