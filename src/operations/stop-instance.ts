// POST …/instances/{id}/stop-instance: PostgreSQL stops and stays so until it is started or its database updated.
import { planStop } from "../plan/instance-plans.ts";
import type { Task } from "../spec/task.ts";
import { changeRunning, type RunningRequest } from "./change-running.ts";
import type { OperationsDeps } from "./deps.ts";

export function stopInstance(deps: OperationsDeps, request: RunningRequest): Promise<Task> {
  return changeRunning(deps, request, {
    kind: "stop_instance",
    from: ["available", "degraded"],
    makePlan: planStop,
  });
}
