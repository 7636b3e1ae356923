// In which order the parts of a database change. Existing instances go one at a time, so that what a change breaks
// is found on the first of them; new ones go together; removals come last, when everything else has succeeded.
import type { Change } from "./diff.ts";
import type { ObservedDatabase } from "./observed.ts";
import type { StoredResource } from "./resource.ts";

/** Changes that may run together; a wave begins when the one before it has ended. */
export type Wave = readonly Change[];

export interface RolloutInput {
  /** In dependency order, nodes in the order of the spec. */
  readonly changes: readonly Change[];
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
}

/**
 * Waves in their order: for each existing node its standbys one by one, its primary, then its new instances; after
 * all of them the new nodes together, their homes before the standbys that copy them. Removals are none of its
 * business.
 */
export function rollout(input: RolloutInput): readonly Wave[] {
  const existing = existingInstances(input);
  const existingNodes = new Set(existing.values());
  const primaries = primariesOf(input.stored, input.observed);
  const waves: Wave[] = [];
  const newNodes: Change[] = [];
  for (const [node, changes] of Map.groupBy(input.changes, nodeOf)) {
    if (!existingNodes.has(node)) {
      newNodes.push(...changes);
      continue;
    }
    const instances = Map.groupBy(changes, instanceOf);
    const old = [...instances.keys()].filter((id) => existing.has(id));
    const primary = primaries.get(node);
    const ordered = [...old.filter((id) => id !== primary), ...old.filter((id) => id === primary)];
    for (const id of ordered) waves.push(instances.get(id) ?? []);
    waves.push(changes.filter((change) => !existing.has(instanceOf(change))));
  }
  return [...waves, ...homesFirst(newNodes)].filter((wave) => wave.length > 0);
}

function homesFirst(changes: readonly Change[]): readonly Wave[] {
  const homes = new Set(
    changes.flatMap(({ resource }) =>
      resource.kind === "database.roles" ? [resource.instanceId] : [],
    ),
  );
  const isHome = ({ resource }: Change) => homes.has(resource.instanceId);
  return [changes.filter(isHome), changes.filter((change) => !isHome(change))];
}

/**
 * Removals in their order: where several instances of a node go, its primary last, so that no standby takes over
 * from it on the way.
 */
export function retreat(
  removed: readonly Change[],
  primaries: ReadonlyMap<string, string>,
): readonly Wave[] {
  const leaving = Map.groupBy(
    removed.filter(({ resource }) => resource.kind === "database.instance"),
    nodeOf,
  );
  const last = new Set(
    [...leaving].flatMap(([node, instances]) =>
      instances.length > 1 ? (primaries.get(node) ?? []) : [],
    ),
  );
  const isLast = (change: Change) => last.has(instanceOf(change));
  return [removed.filter((change) => !isLast(change)), removed.filter(isLast)];
}

/** The primary of each node: the one that was seen, otherwise the one that the node was created on. */
export function primariesOf(
  stored: readonly StoredResource[],
  observed: ObservedDatabase,
): ReadonlyMap<string, string> {
  const primaries = new Map<string, string>();
  for (const { kind, nodeName, instanceId } of stored) {
    if (kind !== "database.roles" || nodeName === undefined || instanceId === undefined) continue;
    primaries.set(nodeName, instanceId);
  }
  for (const [node, instanceId] of observed.primaries) primaries.set(node, instanceId);
  return primaries;
}

/**
 * Instances that may hold somebody's data: finished ones of nodes whose creation once came to its end, which is the
 * monitor's first look. Before that nobody was told that they are there.
 */
export function instancesInUse(stored: readonly StoredResource[]): readonly StoredResource[] {
  const finished = stored.filter(({ state }) => state !== "needs_recreate");
  const nodes = new Set(
    finished.flatMap(({ kind, nodeName }) => (kind === "monitor.instance" ? [nodeName] : [])),
  );
  return finished.filter(
    ({ kind, nodeName }) => kind === "database.instance" && nodes.has(nodeName),
  );
}

/** Nodes by the instances that are there, be it half. */
function existingInstances(input: RolloutInput): ReadonlyMap<string, string> {
  return new Map(
    input.stored.flatMap(({ kind, id, nodeName }) =>
      kind === "database.instance" && nodeName !== undefined ? [[id, nodeName]] : [],
    ),
  );
}

function nodeOf({ resource }: Change): string {
  return resource.nodeName ?? "";
}

function instanceOf({ resource }: Change): string {
  return resource.instanceId ?? "";
}
