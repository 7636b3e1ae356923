// Gives this host's member of the store its vote once it has everything. Until then it must not count: a host
// that fails while it joins would take the quorum with it.
import { awaitVote, removeNode } from "../store/rqlite-nodes.ts";
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
  const others = membership.others(config.host_id);
  if (others.length === 0) return false;
  const nodes = nodesOf(environment, { ...member, rqlited: opened.rqlited }).slice(1);
  await opened.rqlited.restart({ voter: true, join: others.map(({ raft }) => raft) }, () =>
    removeNode(nodes, clock, config.host_id),
  );
  await awaitVote(nodes, clock, config.host_id);
  await membership.update({ own: { raft: opened.rqlited.raft, voter: true } });
  await told();
  log.component("cluster").info("has a vote in the store");
  return true;
}
