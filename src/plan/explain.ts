// A plan as text that a person reads: the answer of a dry run, and what golden tests keep.
import type { Json } from "../base/json.ts";
import {
  type InputChange,
  type Plan,
  type PlanKind,
  resourceKey,
  type Step,
  type StepReason,
} from "./resource.ts";

const TITLE: Readonly<Record<PlanKind, string>> = {
  create: "Create",
  update: "Update",
  delete: "Delete",
  restart_instance: "Restart an instance of",
  stop_instance: "Stop an instance of",
  start_instance: "Start an instance of",
  reload_instance: "Reload the configuration of an instance of",
  checkpoint_instance: "Make a checkpoint in an instance of",
  reinitialize_instance: "Copy the data of an instance anew, of",
  rewind_instance: "Rewind an instance of",
  switchover: "Change a primary of",
  failover: "Replace a primary of",
};

const REASON: Readonly<Record<StepReason, string>> = {
  does_not_exist: "does not exist",
  needs_recreate: "is gone or was never finished",
  has_error: "failed last time",
  force_update: "update forced",
  dependency_updated: "follows a change of what it depends on",
  has_diff: "differs",
  not_wanted: "no longer wanted",
  requested: "requested",
  makes_way: "the primary makes way for what follows",
};

/** Several lines, each ended by a line feed. Equal plans give equal texts. */
export function explainPlan(plan: Plan): string {
  const head = [heading(plan), ...consequences(plan)];
  const steps = plan.steps.flatMap(stepLines);
  return [...head, ...(steps.length > 0 ? ["", ...steps] : []), ""].join("\n");
}

function heading(plan: Plan): string {
  const { kind, databaseId, parentGeneration, generation, steps } = plan;
  const size = steps.length === 1 ? "1 step" : `${steps.length} steps`;
  const amount = steps.length === 0 ? "nothing to do" : size;
  return `${TITLE[kind]} ${databaseId}, generation ${parentGeneration} to ${generation}: ${amount}.`;
}

function consequences(plan: Plan): readonly string[] {
  const gaps = Object.entries(plan.writeGapMs).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const times = gaps.map(([node, ms]) => `${node} for about ${ms / 1000} s`);
  return [
    ...(plan.restarts.length > 0 ? [`PostgreSQL restarts: ${plan.restarts.join(", ")}.`] : []),
    ...(plan.switchovers.length > 0 ? [`Switchovers: ${plan.switchovers.join(", ")}.`] : []),
    ...(times.length > 0 ? [`No writes: ${times.join(", ")}.`] : []),
  ];
}

function stepLines(step: Step): readonly string[] {
  const number = numberOf(step.id);
  const indent = " ".repeat(number.length + 2);
  const what = `${step.action} ${resourceKey(step.resource)} on ${step.resource.hostId}`;
  const after = step.after.map(numberOf).join(", ");
  return [
    `${number}  ${what}: ${REASON[step.reason]}${effect(step)}`,
    ...step.changes.flatMap(changeLines).map((line) => `${indent}  ${line}`),
    ...(after === "" ? [] : [`${indent}after ${after}`]),
  ];
}

/** What happens to PostgreSQL, where the action does not say it. */
function effect({ action, reason, restarts }: Step): string {
  if (action === "stop") return "; down until it is started or its database updated";
  if (!restarts || action === "restart") return "";
  const uncertain = reason === "has_error" || reason === "needs_recreate";
  return uncertain ? "; may restart PostgreSQL" : "; restarts PostgreSQL";
}

/** The number that a step's id begins with. */
function numberOf(stepId: string): string {
  return stepId.slice(0, stepId.indexOf("-"));
}

function changeLines({ path, before, after }: InputChange): readonly string[] {
  if (isList(before) && isList(after)) {
    const [old, next] = [before.map(text), after.map(text)];
    const edits = [
      ...old.filter((line) => !next.includes(line)).map((line) => `- ${line}`),
      ...next.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
    ];
    return [`${path}:`, ...(edits.length > 0 ? edits : ["in another order"]).map((e) => `  ${e}`)];
  }
  return [`${path}: ${text(before)} -> ${text(after)}`];
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** Whole objects only as far as a line of them says something. */
const objectCharsMax = 160;

function text(value: Json | undefined): string {
  if (value === undefined) return "(none)";
  const written = JSON.stringify(value);
  const isLong = typeof value === "object" && written.length > objectCharsMax;
  return isLong ? `${written.slice(0, objectCharsMax - 1)}…` : written;
}
