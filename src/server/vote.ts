// Gives this host's member of the store its vote once it has everything. Until then it must not count: a host
// that fails while it joins would take the quorum with it.

import { awaitVote, listNodes, removeNode } from "../store/rqlite-nodes.ts";
import type { Member } from "./member.ts";
import { nodesOf } from "./open-store.ts";
import { wantsVote } from "./seat.ts";

/** True when the vote is as the configuration wants it. `told` is called after it changed. */
export async function settleVote(member: Member, told: () => Promise<void>): Promise<boolean> {
  const { environment, membership, opened } = member;
  const { config, clock, log } = environment;
  const { own } = membership.content;
  // To give up a vote takes a restart of the server: see seat.ts.
  if (!own || own.voter || !wantsVote(environment)) return true;
  const [self, ...known] = nodesOf(environment, { ...member, rqlited: opened.rqlited });
  if (!self) return false;
  // After a recovery a member may still run what was before: its word, as that a node was removed, is not about this store.
  const listed = await listNodes([self], clock);
  const isIn = (host: string) => listed.some(({ id }) => id === host);
  const others = membership.others(config.host_id).filter(({ id }) => isIn(id));
  if (others.length === 0) return false;
  const nodes = known.filter(({ url }) => others.some((other) => other.url === url));
  await opened.rqlited.restart({ voter: true, join: others.map(({ raft }) => raft) }, () =>
    removeNode(nodes, clock, config.host_id),
  );
  await awaitVote([self], clock, config.host_id);
  await membership.update({ own: { raft: opened.rqlited.raft, voter: true } });
  await told();
  log.component("cluster").info("has a vote in the store");
  return true;
}
