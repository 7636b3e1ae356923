// Who the members of the store are, kept on this host's disk for when the store is away.
import { messageOf } from "../base/errors.ts";
import { membersQuietMs, newsPollMs } from "../base/limits.ts";
import { listHosts, type StoredHost } from "../store/hosts.ts";
import type { Member } from "./member.ts";
import type { NamedMember } from "./membership.ts";

/** Follows the list of hosts until the signal aborts or this host is no longer in it. */
export async function followMembers(
  { environment, membership, opened }: Member,
  removed: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { config, log } = environment;
  const { store } = opened;
  while (!signal.aborted) {
    let version = 0;
    try {
      version = await store.changeVersion(signal, newsPollMs / 2);
      const hosts = await listHosts(store.display);
      const members = membersOf(hosts);
      if (!isIn(hosts, config.host_id)) {
        // Asked again from a quorum: nothing is given up for one stale answer.
        if (isIn(await listHosts(store.db), config.host_id)) continue;
        removed();
        return;
      }
      if (JSON.stringify(members) !== JSON.stringify(membership.content.members)) {
        const clustered = membership.content.clustered || members.length > 1;
        await membership.update({ members: [...members], clustered });
        log.component("cluster").info("members changed", { members: members.map(({ id }) => id) });
      }
    } catch (thrown) {
      if (signal.aborted) return;
      log.component("cluster").debug("cannot list the members", { error: messageOf(thrown) });
    }
    await store.waitForNews(version, signal, membersQuietMs);
  }
}

function membersOf(hosts: readonly StoredHost[]): readonly NamedMember[] {
  return hosts.flatMap(({ record: { id, store, peer_port: port, peer_addresses } }) => {
    if (!store) return [];
    const [address = ""] = peer_addresses;
    const host = address.includes(":") ? `[${address}]` : address;
    return [{ id, ...store, ...(port === undefined ? {} : { peer: `${host}:${port}` }) }];
  });
}

function isIn(hosts: readonly StoredHost[], hostId: string): boolean {
  return hosts.some(({ record }) => record.id === hostId);
}
