// The nodes of an rqlite cluster as any of them tells them, and what is done about them: removal, backup,
// restore, and going on from one that is left (https://rqlite.io/docs/clustering/general-guidelines/).
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { storeNodesTimeoutMs, storeVotePollMs, storeVoteTimeoutMs } from "../base/limits.ts";
import { ask, type NodeAccess } from "./capabilities.ts";
import type { RqlitedPaths } from "./rqlited-files.ts";
import { StoreError } from "./store-error.ts";

const Node = Type.Object({
  id: Type.String(),
  addr: Type.String(),
  voter: Type.Boolean(),
  leader: Type.Boolean(),
});
const NodesAnswer = Type.Object({ nodes: Type.Array(Node) });

/** One node of the cluster. `addr` is its Raft address. */
export type StoreNode = typeof Node.static;

/** All nodes, as the first that answers says. Throws StoreError when none does. */
export async function listNodes(
  nodes: readonly NodeAccess[],
  clock: Clock,
): Promise<readonly StoreNode[]> {
  const response = await askAny(nodes, clock, "/nodes?nonvoters&ver=2");
  const answer: unknown = await response.json();
  if (Value.Check(NodesAnswer, answer)) return answer.nodes;
  throw new StoreError("unavailable", "the store does not tell its nodes");
}

/** Takes a node out of the cluster; nothing happens when it is not in it. */
export async function removeNode(
  nodes: readonly NodeAccess[],
  clock: Clock,
  id: string,
): Promise<void> {
  await askAny(nodes, clock, "/remove", { method: "DELETE", body: JSON.stringify({ id }) });
}

/** A node, and where the others of its cluster are, by id. */
export interface Neighbourhood {
  readonly self: NodeAccess;
  readonly others: ReadonlyMap<string, NodeAccess>;
}

/**
 * Whether the node votes: only when it and its leader say so, since what the node alone has heard may be of a cluster
 * that the others left; not when the leader says no. Undefined where neither is known, as when the node lags behind or
 * no leader can be asked.
 */
export async function voteOf(
  { self, others }: Neighbourhood,
  clock: Clock,
  id: string,
): Promise<boolean | undefined> {
  const listed = await listNodes([self], clock);
  const leader = listed.find((node) => node.leader)?.id ?? "";
  const access = leader === id ? self : others.get(leader);
  if (!access) return undefined;
  const counted = findVote(await listNodes([access], clock), id);
  return counted && !findVote(listed, id) ? undefined : counted;
}

function findVote(nodes: readonly StoreNode[], id: string): boolean | undefined {
  return nodes.find((node) => node.id === id)?.voter;
}

/**
 * Waits until the node has its vote: rqlited ignores a join, and calls it a success, for a node that is there already,
 * whatever vote it asks for. Throws StoreError when it has none in time.
 */
export async function awaitVote(node: Neighbourhood, clock: Clock, id: string): Promise<void> {
  const endMs = clock.monotonicMs() + storeVoteTimeoutMs;
  while (!(await voteOf(node, clock, id))) {
    if (clock.monotonicMs() >= endMs) {
      throw new StoreError("unavailable", `the store does not count the vote of ${id}`);
    }
    await clock.sleep(storeVotePollMs);
  }
}

/** Makes a stopped node the only one of its cluster at its next start; all that it applied is kept. */
export async function writeLonePeer(
  paths: RqlitedPaths,
  node: { readonly id: string; readonly raft: string },
): Promise<void> {
  const directory = join(paths.data, "raft");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const peers = [{ id: node.id, address: node.raft, non_voter: false }];
  await writeFile(join(directory, "peers.json"), JSON.stringify(peers), { mode: 0o600 });
}

/** The first good answer. Throws a StoreError that says what each of them answered. */
export async function askAny(
  nodes: readonly NodeAccess[],
  clock: Clock,
  path: string,
  init: Parameters<typeof ask>[3] = {},
): Promise<Response> {
  const failures: string[] = [];
  for (const node of nodes) {
    try {
      const response = await ask(node, path, clock.deadline(storeNodesTimeoutMs), init);
      if (response.ok) return response;
      failures.push(`${node.url}: ${response.status} ${(await response.text()).slice(0, 200)}`);
    } catch (thrown) {
      failures.push(`${node.url}: ${messageOf(thrown)}`);
    }
  }
  throw new StoreError("unavailable", failures.join("; ") || "no node of the store is known");
}
