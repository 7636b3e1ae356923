// Gives this host's member of the store its vote once it has everything. Until then it must not count: a host
// that fails while it joins would take the quorum with it.

import { messageOf } from "../base/errors.ts";
import { awaitVote, listNodes, removeNode, voteOf } from "../store/rqlite-nodes.ts";
import type { Member } from "./member.ts";
import { nodesOf } from "./open-store.ts";
import { wantsVote } from "./seat.ts";

/**
 * Sees to it that the vote is as the configuration wants it, and that the leader of the store counts it, where that can
 * be done now. `told` is called after it changed.
 */
export async function settleVote(member: Member, told: () => Promise<void>): Promise<void> {
  const { environment, membership, opened } = member;
  const { config, clock, log } = environment;
  const { own } = membership.content;
  // To give up a vote takes a restart of the server: see seat.ts.
  if (!own || !wantsVote(environment)) return;
  const seen = await lookAround(member).catch((thrown: unknown) => {
    if (!own.voter) throw thrown;
    log.component("cluster").debug("cannot ask for the vote", { error: messageOf(thrown) });
    return undefined;
  });
  if (!seen || (own.voter && seen.vote !== false)) return;
  if (own.voter) log.component("cluster").warn("has lost its vote in the store, asks for it again");
  const { node, joining, vote } = seen;
  if (!vote) {
    await opened.rqlited.restart({ voter: true, join: joining }, () =>
      removeNode([...node.others.values()], clock, config.host_id),
    );
    await awaitVote(node, clock, config.host_id);
  }
  await membership.update({ own: { raft: opened.rqlited.raft, voter: true } });
  await told();
  log.component("cluster").info("has a vote in the store");
}

/** The members that this host's own lists, their Raft addresses, and what they say of its vote; undefined without others. */
async function lookAround(member: Member) {
  const { environment, membership, opened } = member;
  const { config, clock } = environment;
  const [self, ...known] = nodesOf(environment, { ...member, rqlited: opened.rqlited });
  if (!self) return undefined;
  // After a recovery a member may still run what was before: its word, as that a node was removed, is not about this store.
  const listed = await listNodes([self], clock);
  const isIn = (host: string) => listed.some(({ id }) => id === host);
  const others = membership.others(config.host_id).filter(({ id }) => isIn(id));
  if (others.length === 0) return undefined;
  const access = others.flatMap(({ id, url }) =>
    known.filter((node) => node.url === url).map((node) => [id, node] as const),
  );
  const node = { self, others: new Map(access) };
  const vote = await voteOf(node, clock, config.host_id);
  return { node, joining: others.map(({ raft }) => raft), vote };
}
