// From a step to the handler of its kind of resource. The handlers are idempotent; none decides what should be.
import { assertNever } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import type { ResourceKind } from "../plan/resource.ts";
import { certificateStep } from "./step-certificates.ts";
import type { StepDeps, StepHandler } from "./step-deps.ts";
import { directoryStep, keeperStep } from "./step-driver.ts";
import { primaryStep } from "./step-handover.ts";
import {
  instanceStep,
  reinitializeInstance,
  restartInstance,
  rewindInstance,
  setRunning,
} from "./step-instance.ts";
import { monitorStep } from "./step-monitor.ts";
import { askAndWait, databaseStep, rolesStep, scriptStep, slotsStep } from "./step-request.ts";
import type { StepRun } from "./task-run.ts";

const HANDLERS: Readonly<Record<ResourceKind, StepHandler>> = {
  "filesystem.dir": directoryStep,
  "common.postgres_certs": certificateStep,
  "instance.keeper": keeperStep,
  "database.instance": instanceStep,
  "database.script": scriptStep,
  "database.roles": rolesStep,
  "database.postgres_database": databaseStep,
  "database.slots": slotsStep,
  "database.primary": primaryStep,
  "monitor.instance": monitorStep,
};

/** Runs one step to its end; throws when it failed. */
export function createStepRunner(deps: StepDeps): (run: StepRun) => Promise<void> {
  return async (run) => {
    const { action, resource } = run.step;
    const handler = HANDLERS[resource.kind];
    switch (action) {
      case "create":
      case "update":
        return handler.ensure(run, deps);
      case "delete":
        return handler.remove(run, deps);
      case "switchover":
      case "failover":
        return primaryStep.ensure(run, deps);
      case "restart":
        checkInstance(run);
        return restartInstance(run, deps);
      case "stop":
        checkInstance(run);
        return setRunning(run, deps, "stopped");
      case "reload":
      case "checkpoint":
        checkInstance(run);
        return askAndWait(run, deps, { kind: action });
      case "reinitialize":
        checkInstance(run);
        return reinitializeInstance(run, deps);
      case "rewind":
        checkInstance(run);
        return rewindInstance(run, deps);
      case "start":
        checkInstance(run);
        return setRunning(run, deps, "running");
      default:
        return assertNever(action, "action");
    }
  };
}

function checkInstance({ step }: StepRun): void {
  if (step.resource.kind !== "database.instance") {
    throw new AppError("bug", `cannot ${step.action} a ${step.resource.kind}`);
  }
}
