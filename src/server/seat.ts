// How this host's member of the store begins: as the others know it, or with a new address or vote.
import { removeNode, writeLonePeer } from "../store/rqlite-nodes.ts";
import { ensureUsers, rqlitedPaths } from "../store/rqlited-files.ts";
import type { ServerEnvironment } from "./environment.ts";
import { endStore, type Secrets } from "./member.ts";
import type { MembershipFile } from "./membership.ts";
import { raftAddress, type StoreSeat } from "./open-store.ts";

export type SeatChange = Pick<StoreSeat, "voter" | "join" | "fresh">;

/** Whether the configuration wants this host's member to vote. */
export function wantsVote({ config }: ServerEnvironment): boolean {
  return config.etcd_mode === "server";
}

/**
 * Compares what the configuration wants with what the others know, and makes way for a change. Throws a
 * retryable AppError when the others have to be told and cannot be.
 */
export async function seatFor(
  environment: ServerEnvironment,
  { certificate }: Secrets,
  membership: MembershipFile,
): Promise<SeatChange> {
  const { config, clock, rng, log } = environment;
  const { own, registered } = membership.content;
  const others = membership.others(config.host_id);
  // A join that was cut short goes on where it was; the vote comes when it serves.
  const wanted = registered || !own ? wantsVote(environment) : own.voter;
  const needed = own?.voter === true && !others.some((other) => other.voter);
  if (needed && !wanted) log.warn("keeps its vote in the store: no other host has one");
  const voter = wanted || needed;
  const raft = await raftAddress(environment);
  if (!own || (own.raft === raft && own.voter === voter)) return { voter };
  log.info("tells the store a new address or vote", { raft, voter, before: own });
  await endStore(environment);
  if (others.length === 0) {
    await writeLonePeer(rqlitedPaths(config.data_dir), { id: config.host_id, raft });
    return { voter: true, fresh: true };
  }
  if (own.voter !== voter) {
    const { server } = await ensureUsers(rqlitedPaths(config.data_dir), rng);
    const nodes = others.map(({ url }) => ({
      url,
      credentials: server,
      tls: () => certificate.tls(),
    }));
    await removeNode(nodes, clock, config.host_id);
  }
  return { voter, join: others.map((other) => other.raft), fresh: true };
}
