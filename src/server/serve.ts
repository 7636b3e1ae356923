// A member at work: what its API needs, and everything that goes on beside it.
import { dirname } from "node:path";
import { createWorker } from "../apply/worker.ts";
import { must } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import { voteCheckMs } from "../base/limits.ts";
import type { Secret } from "../base/secret.ts";
import type { ClusterRuntime } from "../operations/deps.ts";
import { joinTokenText, newJoinToken, parseJoinToken } from "../pki/join-token.ts";
import type { HostRecord } from "../spec/host.ts";
import { listNodes, removeNode } from "../store/rqlite-nodes.ts";
import { admit } from "./admit.ts";
import { startBackground, type Work } from "./background.ts";
import { backupStore, restoreStore } from "./backup.ts";
import { Entry } from "./entry.ts";
import { hostCertificateFiles } from "./host-certificate.ts";
import type { Member } from "./member.ts";
import { followMembers } from "./members.ts";
import { keeperPasswordPath, nodesOf } from "./open-store.ts";
import { openPeers, type Peers } from "./peers.ts";
import { recoverQuorum, rotateHostCertificates, watchLeftBehind } from "./recover.ts";
import { renewCertificate } from "./renew-certificate.ts";
import { HostCare } from "./ssh-host/care.ts";
import { openProbe } from "./ssh-host/probe.ts";
import { createSshWays, type SshWays } from "./ssh-host/ways.ts";
import { createHostWork } from "./ssh-host/work.ts";
import { storeUrlsPath, writeStoreUrls } from "./store-urls.ts";
import { StoreUsers } from "./store-users.ts";
import { superviseKeepers } from "./supervise-keepers.ts";
import { settleVote } from "./vote.ts";

/** Why a host leaves its cluster: it was removed, or has to join again since the cluster was recovered without it. */
export type Leave = "removed" | "again";

/** A cluster that this server serves. */
export interface ServedCluster {
  readonly runtime: ClusterRuntime;
  /** Aborts when the cluster no longer knows this host, or went on without it; the reason tells which. */
  readonly left: AbortSignal;
  /** Whether this host came in by this token without anybody having been told; true once. */
  tellJoined(token: Secret): Promise<boolean>;
  /** Ends the work in progress, which the next server continues, and then the store. */
  stop(): Promise<void>;
}

/**
 * Serves. `first`: resolves when the host is in the list of hosts, with its vote. `again`: at once, since
 * the others may be away; the host is known to them already.
 */
export async function serve(
  member: Member,
  time: "first" | "again",
  signal: AbortSignal,
): Promise<ServedCluster> {
  const { environment, opened } = member;
  const leaving = new AbortController();
  const certificates = dirname(member.certificate.files.certificate);
  const ways = createSshWays({
    clock: environment.clock,
    log: environment.log.component("hosts"),
    sealer: member.sealer,
  });
  const storeUsers = new StoreUsers(member);
  const peers = await openPeers({
    environment,
    store: opened.store,
    routes: storeUsers.routes(),
    certificates,
    otherwise: (host) => ways.executor(host),
  });
  const entry = new Entry(member, peers, () => leaving.abort("removed" satisfies Leave));
  if (time === "first") {
    try {
      await entry.enter(signal);
    } catch (thrown) {
      await peers.stop();
      throw thrown;
    }
    await settleVote(member, () => entry.register(signal)).catch(logVote(member));
  }
  const runtime = runtimeOf(member, peers, storeUsers);
  const background = startBackground(environment, {
    ...pieces(member, runtime, entry, ways),
    peers: peers.follow,
    storeUsers: (ending) => storeUsers.run(peers.executor, ending),
    leftBehind: (ending) =>
      watchLeftBehind(member, (how) => leaving.abort(how), storeUsers, ending),
  });
  return {
    runtime,
    left: leaving.signal,
    async tellJoined(token) {
      const id = member.membership.content.unanswered_join;
      if (id === undefined || id !== parseJoinToken(token)?.id) return false;
      await member.membership.answered();
      return true;
    },
    async stop() {
      await background.stop();
      await ways.stop();
      await peers.stop();
      await opened.rqlited.stop();
    },
  };
}

function logVote({ environment }: Member) {
  return (thrown: unknown) => environment.log.warn("has no vote yet", { error: messageOf(thrown) });
}

function runtimeOf(member: Member, peers: Peers, storeUsers: StoreUsers): ClusterRuntime {
  const { environment, membership, opened, sealer, authority } = member;
  const { clock, rng } = environment;
  return {
    clusterId: membership.content.cluster_id,
    hostId: environment.config.host_id,
    store: opened.store,
    sealer,
    joinTokenText: (secret) => joinTokenText(authority.certificatePem, secret),
    newJoinToken() {
      const token = newJoinToken(authority.certificatePem, rng);
      return must(parseJoinToken(token), "the parts of a new token");
    },
    admit: (request) => admit({ ...member, storeUsers }, request),
    recoverQuorum: () => recoverQuorum(member),
    rotateCertificates: () => rotateHostCertificates(member),
    backup: () => backupStore(member),
    restore: (file) => restoreStore(member, file),
    removeNode: (hostId) =>
      removeNode(nodesOf(environment, { ...member, rqlited: opened.rqlited }), clock, hostId),
    driver: peers.driver,
    executor: peers.executor,
    storeNodes: () =>
      listNodes(nodesOf(environment, { ...member, rqlited: opened.rqlited }), clock),
    openSsh: (hostId, access) => openProbe(member, hostId, access),
    machine: process.arch === "arm64" ? "aarch64" : "x86_64",
  };
}

function pieces(
  member: Member,
  runtime: ClusterRuntime,
  entry: Entry,
  ways: SshWays,
): Readonly<Record<string, Work>> {
  const { environment, authority, opened } = member;
  const { config, clock, ids, rng, log } = environment;
  const care = new HostCare(member, ways);
  const worker = createWorker({
    ...runtime,
    clock,
    ids,
    rng,
    log: log.component("worker"),
    hostId: config.host_id,
    incarnation: ids.uuid(),
    leading: (ending) => opened.rqlited.leads(ending),
    issuer: authority,
    keeperAccess: (host) => keeperAccess(member, host),
    hostWork: createHostWork(member, ways, care, runtime),
    duties: [(term) => care.run(term)],
  });
  /** What writes to the store waits until the host is a member again. */
  const inside =
    (work: Work): Work =>
    async (ending) => {
      await entry.entered(ending);
      await work(ending);
    };
  return {
    enter: (ending) => entry.enter(ending),
    keepers: (ending) => superviseKeepers(environment, ending),
    storeUrls: (ending) => writeStoreUrls(member, ending),
    worker: inside((ending) => worker.run(ending)),
    report: inside((ending) => entry.report(ending)),
    members: inside((ending) => followMembers(member, () => entry.removed(), ending)),
    certificate: inside((ending) => renewCertificate(member, () => entry.register(ending), ending)),
    vote: inside((ending) => keepVote(member, entry, ending)),
  };
}

/** Looks again and again: a vote that was lost would be missed only when others fail. */
async function keepVote(member: Member, entry: Entry, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await settleVote(member, () => entry.register(signal));
    await member.environment.clock.sleep(voteCheckMs, signal);
  }
}

/** How a keeper on that host reaches the store: its own member first. */
function keeperAccess({ environment, membership, opened }: Member, host: HostRecord) {
  const { config } = environment;
  const { component_levels, level } = config.logging;
  const files = hostCertificateFiles(host.data_dir);
  const others = membership.others(host.id).map(({ url }) => url);
  return {
    // The rest is in the file, so that a new member is no reason to write keeper files.
    ...(host.store
      ? { store_urls: [host.store.url], store_urls_file: storeUrlsPath(host.data_dir) }
      : { store_urls: others, store_urls_file: storeUrlsPath(host.data_dir) }),
    store_username: opened.rqlited.users.keeper.username,
    store_password_file: keeperPasswordPath(host.data_dir),
    store_tls: { ca_file: files.ca, cert_file: files.certificate, key_file: files.key },
    log_level: component_levels.keeper ?? level,
  };
}
