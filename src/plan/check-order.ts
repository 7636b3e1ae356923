// Invariants of the order of a plan's steps.
import type { Diagnostic } from "../base/result.ts";
import type { Step } from "./resource.ts";

/** A finding about one step, or about the whole plan when the id is empty. */
export function concerning(stepId: string, code: string, message: string): Diagnostic {
  return { path: stepId === "" ? "plan" : `steps.${stepId}`, code, message };
}

/** What is wrong with the order of the steps; empty for a sound one. */
export function ordering(steps: readonly Step[]): readonly Diagnostic[] {
  const backwards = waitsForEarlierOnly(steps);
  // The others follow `after` through the plan, which only ends where that is sound.
  return backwards.length > 0 ? backwards : [...removalsLast(steps), ...oneRestartAtATime(steps)];
}

/** 11. A step waits for existing steps that come before it; so there is no cycle. */
function waitsForEarlierOnly(steps: readonly Step[]): Diagnostic[] {
  const earlier = new Set<string>();
  const found: Diagnostic[] = [];
  for (const { id, after } of steps) {
    for (const other of after) {
      if (!earlier.has(other)) found.push(concerning(id, "order", `waits for ${other}`));
    }
    earlier.add(id);
  }
  return found;
}

/** 12. Removals begin when everything else has ended. */
function removalsLast(steps: readonly Step[]): Diagnostic[] {
  const removals = new Set(steps.flatMap(({ id, action }) => (action === "delete" ? [id] : [])));
  const others = steps.filter(({ id }) => !removals.has(id));
  const awaited = new Set(others.flatMap(({ after }) => after));
  const ends = others.filter(({ id }) => !awaited.has(id));
  const found = others
    .filter(({ after }) => after.some((id) => removals.has(id)))
    .map(({ id }) => concerning(id, "order", "waits for a removal"));
  for (const { id, action, after } of steps) {
    if (action !== "delete" || after.some((other) => removals.has(other))) continue;
    const named = new Set(after);
    const missed = ends.filter((end) => !named.has(end.id));
    found.push(...missed.map((end) => concerning(id, "order", `does not wait for ${end.id}`)));
  }
  return found;
}

/** 13. Of all steps that restart PostgreSQL each waits, directly or not, for the one before it. */
function oneRestartAtATime(steps: readonly Step[]): Diagnostic[] {
  const position = new Map(steps.map(({ id }, index) => [id, index]));
  const restarting = steps.flatMap(({ restarts }, index) => (restarts ? [index] : []));
  return restarting.slice(1).flatMap((index, previous) => {
    const earlier = restarting[previous] ?? 0;
    if (reaches(steps, position, index, earlier)) return [];
    const [one, other] = [steps[index]?.id ?? "", steps[earlier]?.id ?? ""];
    return [concerning(one, "rolling", `restarts without waiting for ${other}`)];
  });
}

/** Whether one step waits for another, directly or not. */
export function waitsFor(steps: readonly Step[], step: Step, other: Step): boolean {
  const position = new Map(steps.map(({ id }, index) => [id, index]));
  const [from, to] = [position.get(step.id) ?? 0, position.get(other.id) ?? 0];
  return reaches(steps, position, from, to);
}

/** Whether the step at `from` waits for the one at `to`; looks only at the steps between. */
function reaches(
  steps: readonly Step[],
  position: ReadonlyMap<string, number>,
  from: number,
  to: number,
): boolean {
  const seen = new Set<number>([from]);
  const open = [from];
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    if (index === to) return true;
    for (const id of steps[index]?.after ?? []) {
      const next = position.get(id) ?? -1;
      if (next < to || seen.has(next)) continue;
      seen.add(next);
      open.push(next);
    }
  }
  return false;
}
