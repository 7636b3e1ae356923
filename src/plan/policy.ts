// In which order the parts of a database change. Existing instances go one at a time, so that what a change breaks
// is found on the first of them; new ones go together; removals come last, when everything else has succeeded.
import type { Change } from "./diff.ts";
import type { ObservedDatabase } from "./observed.ts";
import { primaryResource } from "./primary-resource.ts";
import type { Resource, StoredResource } from "./resource.ts";
import { mayRestart } from "./restart.ts";

/** Changes that may run together; a wave begins when the one before it has ended. */
export type Wave = readonly Change[];

export interface RolloutInput {
  readonly databaseId: string;
  /** In dependency order, nodes in the order of the spec. */
  readonly changes: readonly Change[];
  /** All that there should be when they are done. */
  readonly desired: readonly Resource[];
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
  /** See stages.ts. */
  readonly lowering: ReadonlySet<string>;
  readonly inPlace: ReadonlySet<string>;
}

/**
 * Waves in their order: for each existing node its standbys one by one, its primary, then its new instances; after
 * all of them the new nodes together, their homes before the standbys that copy them. A primary that has to restart
 * gives its place to a standby before. Removals are none of its business.
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
    // Slots are made when every keeper knows them: one that does not would drop them again.
    const slots = changes.filter(({ resource }) => resource.kind === "database.slots");
    const others = changes.filter((change) => !slots.includes(change));
    const instances = Map.groupBy(others, instanceOf);
    const old = [...instances.keys()].filter((id) => existing.has(id));
    const primary = primaries.get(node);
    const standbys = old.filter((id) => id !== primary).map((id) => instances.get(id) ?? []);
    const own = others.filter((change) => instanceOf(change) === primary);
    if (input.lowering.has(node)) waves.push(own, ...standbys);
    else waves.push(...standbys, handover(input, node, own), own);
    waves.push(
      slots,
      others.filter((change) => !existing.has(instanceOf(change))),
    );
  }
  return [...waves, ...homesFirst(newNodes)].filter((wave) => wave.length > 0);
}

/** A switchover to one of the standbys that are there, if what comes then restarts the primary. */
function handover(input: RolloutInput, node: string, own: readonly Change[]): Wave {
  const restart = own.find((change) => mayRestart(change, input.observed));
  const candidates = groupOf(input.stored, input.desired, node).filter(
    (id) => id !== restart?.resource.id,
  );
  if (restart === undefined || candidates.length === 0 || input.inPlace.has(node)) return [];
  return [switchover({ ...input, node, hostId: restart.resource.hostId, candidates })];
}

/** The instances of a group that are there and stay. */
function groupOf(
  stored: readonly StoredResource[],
  desired: readonly Resource[],
  node: string,
): readonly string[] {
  const ready = new Set(
    stored.flatMap(({ kind, id, state }) =>
      kind === "database.instance" && state !== "needs_recreate" ? [id] : [],
    ),
  );
  return desired
    .filter(
      ({ kind, id, nodeName }) =>
        kind === "database.instance" && nodeName === node && ready.has(id),
    )
    .map(({ id }) => id);
}

/** The change that gives a node another primary. */
export function switchover(of: {
  readonly databaseId: string;
  readonly node: string;
  readonly hostId: string;
  readonly candidates: readonly string[];
}): Change {
  const inputs = { candidates: [...of.candidates], any_lag: false };
  const resource = primaryResource({ ...of, nodeName: of.node, inputs });
  return { action: "switchover", resource, reason: "makes_way", changes: [] };
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
