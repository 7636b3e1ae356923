// A plan leads to its spec in one stage, or in a few where one would break something: instances that leave stay
// members until their place is taken, and settings that a standby may not have smaller than its primary are raised
// everywhere before others are lowered. Each stage is a whole set of desired resources.
import type { HostRecord } from "../spec/host.ts";
import type { ResolvedNode } from "../spec/normalise.ts";
import { desiredResources } from "./desired.ts";
import type { DesiredInput } from "./draft.ts";
import { instanceInputs } from "./inputs.ts";
import type { ObservedDatabase } from "./observed.ts";
import { instancesInUse, primariesOf } from "./policy.ts";
import { type Resource, resourceKey, type StoredResource } from "./resource.ts";

export interface Stage {
  readonly desired: readonly Resource[];
  /** Nodes whose primary moves to an instance that stays, when everything else of the stage is done. */
  readonly leaving: ReadonlySet<string>;
  /** Instances that the spec names. */
  readonly staying: ReadonlySet<string>;
  /** Nodes whose primary restarts where it is, before its standbys, because settings become smaller. */
  readonly lowering: ReadonlySet<string>;
  /** Nodes whose primary is not changed for a restart: a later stage has to know who it is. */
  readonly inPlace: ReadonlySet<string>;
}

/** Settings that standbys keep at least as high as their primary (manual 26.4.3). */
const NEVER_BELOW_PRIMARY = [
  "max_connections",
  "max_locks_per_transaction",
  "max_prepared_transactions",
  "max_wal_senders",
  "max_worker_processes",
] as const;

/** The last one is what the spec says. */
export function stagesOf(input: DesiredInput, observed: ObservedDatabase): readonly Stage[] {
  const moves = movesOf(input, observed);
  // A node that moves has a lease from then on.
  const leased = new Set([...input.leased, ...moves.map(({ node }) => node)]);
  const final = desiredResources({ ...input, leased, nodes: settled(input, moves) });
  const stages: Stage[] = [];
  const nothing = new Set<string>();
  const staying = new Set(
    final.flatMap(({ kind, id }) => (kind === "database.instance" ? [id] : [])),
  );
  if (moves.length > 0) {
    const desired = held(desiredResources({ ...input, nodes: united(input, moves) }), input.stored);
    const leaving = new Set(
      moves.flatMap(({ node, primaryLeaves }) => (primaryLeaves ? [node] : [])),
    );
    stages.push({ desired, leaving, staying, lowering: nothing, inPlace: nothing });
  }
  const raised = held(final, input.stored);
  const lowering = loweredNodes(raised, final);
  if (moves.length === 0 && raisesToo(lowering, final, input.stored)) {
    stages.push({
      desired: raised,
      leaving: nothing,
      staying,
      lowering: nothing,
      inPlace: lowering,
    });
  }
  stages.push({ desired: final, leaving: nothing, staying, lowering, inPlace: lowering });
  return stages;
}

/** A node that some of its instances leave while others take their place. */
interface Move {
  readonly node: string;
  readonly hostIds: readonly string[];
  readonly primaryLeaves: boolean;
}

/** Nodes whose leaving instances are needed for a while: the primary, or those that new ones stand in for. */
function movesOf(input: DesiredInput, observed: ObservedDatabase): readonly Move[] {
  const primaries = primariesOf(input.stored, observed);
  const known = new Set(input.hosts.map(({ id }) => id));
  const existing = Map.groupBy(instancesInUse(input.stored), ({ nodeName }) => nodeName);
  return input.nodes.flatMap((node): readonly Move[] => {
    const before = existing.get(node.name) ?? [];
    const leaving = before.filter(
      ({ hostId }) => !node.hostIds.includes(hostId) && known.has(hostId),
    );
    const primaryLeaves = leaving.some(({ id }) => id === primaries.get(node.name));
    const arrives = node.hostIds.some((id) => !before.some(({ hostId }) => hostId === id));
    if (leaving.length === 0 || !(primaryLeaves || arrives)) return [];
    return [
      { node: node.name, hostIds: leaving.map(({ hostId }) => hostId).sort(), primaryLeaves },
    ];
  });
}

/** The nodes with what leaves them, those that leave first: the data is there. */
export function nodesWithLeaving(
  nodes: readonly ResolvedNode[],
  stored: readonly StoredResource[],
  hosts: readonly HostRecord[],
): readonly ResolvedNode[] {
  const known = new Set(hosts.map(({ id }) => id));
  return nodes.map((node) => {
    const leaving = instancesInUse(stored).filter(
      ({ nodeName, hostId }) =>
        nodeName === node.name && known.has(hostId) && !node.hostIds.includes(hostId),
    );
    return leaving.length === 0 ? node : joined(node, leaving.map(({ hostId }) => hostId).sort());
  });
}

function united(input: DesiredInput, moves: readonly Move[]): readonly ResolvedNode[] {
  return input.nodes.map((node) => {
    const move = moves.find((one) => one.node === node.name);
    return move === undefined ? node : joined(node, move.hostIds);
  });
}

/** An instance that was alone becomes a member of a group for the move: it needs both ports. */
function joined(node: ResolvedNode, hostIds: readonly string[]): ResolvedNode {
  return { ...withPorts(node), hostIds: [...hostIds, ...node.hostIds] };
}

function settled(input: DesiredInput, moves: readonly Move[]): readonly ResolvedNode[] {
  const moved = new Set(moves.map(({ node }) => node));
  return input.nodes.map((node) => (moved.has(node.name) ? withPorts(node) : node));
}

function withPorts(node: ResolvedNode): ResolvedNode {
  return { ...node, port: node.port ?? 0, patroniPort: node.patroniPort ?? 0 };
}

/** The same resources, with settings that standbys may not have below their primary as high as they were. */
function held(
  desired: readonly Resource[],
  stored: readonly StoredResource[],
): readonly Resource[] {
  const before = new Map(stored.map((resource) => [resourceKey(resource), resource]));
  return desired.map((resource) => {
    const old = before.get(resourceKey(resource));
    if (resource.kind !== "database.instance" || old === undefined) return resource;
    const inputs = instanceInputs(resource);
    if (inputs.ha === undefined || inputs.ha.members.length < 2) return resource;
    const high = NEVER_BELOW_PRIMARY.flatMap((name) => {
      const was = instanceInputs(old).parameters[name];
      const is = inputs.parameters[name];
      return was !== undefined && is !== undefined && Number(was) > Number(is) ? [[name, was]] : [];
    });
    if (high.length === 0) return resource;
    const parameters = { ...inputs.parameters, ...Object.fromEntries(high) };
    return { ...resource, inputs: { ...inputs, parameters } };
  });
}

/** Nodes of which the second set has something smaller. */
function loweredNodes(
  raised: readonly Resource[],
  final: readonly Resource[],
): ReadonlySet<string> {
  const same = new Map(final.map((resource) => [resourceKey(resource), resource]));
  return new Set(
    raised.flatMap((resource) =>
      same.get(resourceKey(resource)) === resource ? [] : (resource.nodeName ?? []),
    ),
  );
}

/** Whether one of the nodes also has something raised, which its standbys need before their primary. */
function raisesToo(
  nodes: ReadonlySet<string>,
  final: readonly Resource[],
  stored: readonly StoredResource[],
): boolean {
  const before = new Map(stored.map((resource) => [resourceKey(resource), resource]));
  return final.some((resource) => {
    const old = before.get(resourceKey(resource));
    if (resource.kind !== "database.instance" || old === undefined) return false;
    const [was, is] = [instanceInputs(old).parameters, instanceInputs(resource).parameters];
    return (
      nodes.has(resource.nodeName ?? "") &&
      NEVER_BELOW_PRIMARY.some((name) => Number(is[name] ?? 0) > Number(was[name] ?? Infinity))
    );
  });
}
