// Turns waves of changes into numbered steps that say which steps they wait for.
import {
  copyStepTimeoutMs,
  fileStepTimeoutMs,
  scriptStepTimeoutMs,
  stepTimeoutMs,
} from "../base/limits.ts";
import type { Change } from "./diff.ts";
import { instanceInputs } from "./inputs.ts";
import type { ObservedDatabase } from "./observed.ts";
import { inDependencyOrder } from "./order.ts";
import type { Wave } from "./policy.ts";
import { type ResourceKey, type ResourceKind, resourceKey, type Step } from "./resource.ts";
import { mayRestart } from "./restart.ts";

const TIMEOUT_MS: Readonly<Record<ResourceKind, number>> = {
  "filesystem.dir": fileStepTimeoutMs,
  "common.postgres_certs": fileStepTimeoutMs,
  "instance.keeper": stepTimeoutMs,
  "database.instance": stepTimeoutMs,
  "database.script": scriptStepTimeoutMs,
  "database.roles": stepTimeoutMs,
  "database.postgres_database": stepTimeoutMs,
  "database.slots": stepTimeoutMs,
  "database.primary": stepTimeoutMs,
  "monitor.instance": stepTimeoutMs,
};

/** Changes with the keys of those that go before each of them. */
export interface OrderedWave {
  readonly changes: Wave;
  /** Of what its steps write; absent = the plan's. */
  readonly generation?: number;
  readonly before: ReadonlyMap<ResourceKey, readonly ResourceKey[]>;
}

/**
 * The steps of all waves. A step waits for what it needs; a step that needs nothing of its own wave waits for the
 * ends of the wave before, so waves never overlap and every step still names few others.
 */
export function numberedSteps(
  waves: readonly OrderedWave[],
  observed: ObservedDatabase,
): readonly Step[] {
  const total = waves.reduce((sum, { changes }) => sum + changes.length, 0);
  const width = Math.max(2, String(total).length);
  const ids = new Map<ResourceKey, string>();
  const steps: Step[] = [];
  let ends: readonly string[] = [];
  for (const { changes, before, generation } of waves) {
    const wave = new Set(changes.map(({ resource }) => resourceKey(resource)));
    const awaited = new Set<ResourceKey>();
    for (const change of changes) {
      const key = resourceKey(change.resource);
      const needed = before.get(key) ?? [];
      const within = needed.filter((other) => wave.has(other));
      for (const other of within) awaited.add(other);
      const named = needed.flatMap((other) => ids.get(other) ?? []);
      const id = `${String(steps.length + 1).padStart(width, "0")}-${key}`;
      ids.set(key, id);
      const after = [...new Set(within.length === 0 ? [...named, ...ends] : named)].sort();
      const restarts = mayRestart(change, observed);
      const step = stepOf(change, { id, after, restarts });
      steps.push(generation === undefined ? step : { ...step, generation });
    }
    ends = [...wave].filter((key) => !awaited.has(key)).flatMap((key) => ids.get(key) ?? []);
  }
  return steps;
}

/** Removals as the last wave, what depends on others first; node by node, in whatever order they were stored. */
export function removalWave(removed: readonly Change[]): Wave {
  const place = ({ resource }: Change): string =>
    `${resource.nodeName ?? ""} ${resource.instanceId ?? ""} ${resourceKey(resource)}`;
  const sorted = removed
    .map((change) => ({ ...change, place: place(change) }))
    .sort((a, b) => (a.place < b.place ? 1 : a.place > b.place ? -1 : 0));
  return inDependencyOrder(sorted).toReversed();
}

/** A member of a group that is new, or is not as it should be, may have to copy all data of its primary. */
function copiesData({ action, resource }: Pick<Step, "action" | "resource">): boolean {
  const changes = ["create", "update", "start", "reinitialize", "rewind"].includes(action);
  return (
    changes && resource.kind === "database.instance" && instanceInputs(resource).ha !== undefined
  );
}

/** One step of a change. */
export function stepOf(
  change: Pick<Step, "action" | "resource" | "reason" | "changes">,
  place: Pick<Step, "id" | "after" | "restarts">,
): Step {
  const { action, resource, reason, changes } = change;
  const { id, after, restarts } = place;
  const timeoutMs = copiesData(change) ? copyStepTimeoutMs : TIMEOUT_MS[resource.kind];
  return { id, action, resource, reason, changes, after, restarts, timeoutMs };
}
