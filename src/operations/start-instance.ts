// POST …/instances/{id}/start-instance: a stopped PostgreSQL starts again.
import { planStart } from "../plan/instance-plans.ts";
import type { Task } from "../spec/task.ts";
import { changeRunning, type RunningRequest } from "./change-running.ts";
import type { OperationsDeps } from "./deps.ts";

export function startInstance(deps: OperationsDeps, request: RunningRequest): Promise<Task> {
  return changeRunning(deps, request, {
    kind: "start_instance",
    from: ["unknown", "stopped"],
    makePlan: planStart,
  });
}
