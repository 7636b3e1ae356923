// Decides what a running task does next. Pure: the worker asks after every step that ended.
import type { Step, StepAction } from "../plan/resource.ts";
import { resourceKey } from "../plan/resource.ts";

/** How far the steps of a task are. A step in none of the sets has not started. */
export interface Progress {
  readonly done: ReadonlySet<string>;
  readonly running: ReadonlySet<string>;
  /** Step id to error text. */
  readonly failed: ReadonlyMap<string, string>;
  readonly canceling: boolean;
}

export type Decision =
  | { readonly kind: "start"; readonly steps: readonly Step[] }
  | { readonly kind: "wait" }
  | { readonly kind: "complete" }
  | { readonly kind: "fail"; readonly error: string }
  | { readonly kind: "cancel" };

/** The one next move. After a failure or a cancel nothing new starts, and what runs comes to its end first. */
export function decide(
  steps: readonly Step[],
  progress: Progress,
  concurrencyMax: number,
): Decision {
  if (progress.canceling) {
    return progress.running.size > 0 ? { kind: "wait" } : { kind: "cancel" };
  }
  if (progress.failed.size > 0) {
    return progress.running.size > 0
      ? { kind: "wait" }
      : { kind: "fail", error: failureText(steps, progress.failed) };
  }
  const open = steps.filter(({ id }) => !progress.done.has(id) && !progress.running.has(id));
  if (open.length === 0 && progress.running.size === 0) return { kind: "complete" };
  const ready = open
    .filter((step) => step.after.every((id) => progress.done.has(id)))
    .slice(0, concurrencyMax - progress.running.size);
  if (ready.length > 0) return { kind: "start", steps: ready };
  if (progress.running.size > 0) return { kind: "wait" };
  return { kind: "fail", error: `no step can run: ${open.map(({ id }) => id).join(", ")}` };
}

const PRESENT: Readonly<Record<StepAction, string>> = {
  create: "creating",
  update: "updating",
  delete: "deleting",
  restart: "restarting",
  stop: "stopping",
  start: "starting",
  reload: "reloading",
  checkpoint: "making a checkpoint in",
  reinitialize: "copying anew",
  rewind: "rewinding",
  switchover: "switching over",
  failover: "failing over",
};

const PAST: Readonly<Record<StepAction, string>> = {
  create: "created",
  update: "updated",
  delete: "deleted",
  restart: "restarted",
  stop: "stopped",
  start: "started",
  reload: "reloaded",
  checkpoint: "made a checkpoint in",
  reinitialize: "copied anew",
  rewind: "looked after",
  switchover: "switched over",
  failover: "failed over",
};

/** "creating resource database.instance::shop-n1-0f3k2m1q": the log line of a step's start. */
export function startText(step: Step): string {
  return `${PRESENT[step.action]} resource ${resourceKey(step.resource)}`;
}

/** "created resource …": the log line of a step's success. */
export function successText(step: Step): string {
  return `${PAST[step.action]} resource ${resourceKey(step.resource)}`;
}

/** "failed to create resource …: why": the log line of a step's failure and part of the task's error. */
export function stepFailureText(step: Step, error: string): string {
  return `failed to ${step.action} resource ${resourceKey(step.resource)}: ${error}`;
}

function failureText(steps: readonly Step[], failed: ReadonlyMap<string, string>): string {
  return steps
    .flatMap((step) => {
      const error = failed.get(step.id);
      return error === undefined ? [] : [stepFailureText(step, error)];
    })
    .join("; ");
}
