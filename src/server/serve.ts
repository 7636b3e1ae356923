// A member at work: what its API needs, and everything that goes on beside it.
import { dirname } from "node:path";
import { createWorker } from "../apply/worker.ts";
import { must } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import type { Secret } from "../base/secret.ts";
import { buildVersion } from "../base/version.ts";
import type { Config } from "../config/schema.ts";
import { type ConfiguredHost, HostReporter, observeHost } from "../observe/host-report.ts";
import type { ClusterRuntime } from "../operations/deps.ts";
import type { Authority } from "../pki/authority.ts";
import { joinTokenText, newJoinToken, parseJoinToken } from "../pki/join-token.ts";
import type { HostRecord } from "../spec/host.ts";
import type { ClusterKey } from "../store/cluster-key.ts";
import { listHosts } from "../store/hosts.ts";
import { removeNode } from "../store/rqlite-nodes.ts";
import type { Sealer } from "../store/sealing.ts";
import { admit } from "./admit.ts";
import { startBackground, type Work } from "./background.ts";
import { backupStore, restoreStore } from "./backup.ts";
import type { ServerEnvironment } from "./environment.ts";
import { type HostCertificate, hostCertificateFiles } from "./host-certificate.ts";
import { followMembers } from "./members.ts";
import type { MembershipFile } from "./membership.ts";
import { keeperPasswordPath, migrateStore, nodesOf, type OpenedStore } from "./open-store.ts";
import { openPeers, type Peers } from "./peers.ts";
import { recoverQuorum, rotateHostCertificates } from "./recover.ts";
import { renewCertificate } from "./renew-certificate.ts";
import { storeUrlsPath, writeStoreUrls } from "./store-urls.ts";
import { ownFacts, superviseKeepers } from "./supervise-keepers.ts";
import { settleVote } from "./vote.ts";

/** Everything of a host that is a member. */
export interface Member {
  readonly environment: ServerEnvironment;
  readonly membership: MembershipFile;
  readonly opened: OpenedStore;
  readonly key: ClusterKey;
  readonly sealer: Sealer;
  readonly authority: Authority;
  readonly certificate: HostCertificate;
}

/** A cluster that this server serves. */
export interface ServedCluster {
  readonly runtime: ClusterRuntime;
  /** Aborts when the cluster no longer knows this host. */
  readonly removed: AbortSignal;
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
  const removal = new AbortController();
  const certificates = dirname(member.certificate.files.certificate);
  const peers = await openPeers({ environment, store: opened.store, certificates });
  const entry = new Entry(member, peers, () => removal.abort());
  if (time === "first") {
    try {
      await entry.enter(signal);
    } catch (thrown) {
      await peers.stop();
      throw thrown;
    }
    await settleVote(member, () => entry.register(signal)).catch(logVote(member));
  }
  const runtime = runtimeOf(member, peers);
  const background = startBackground(environment, {
    ...pieces(member, runtime, entry),
    peers: peers.follow,
  });
  return {
    runtime,
    removed: removal.signal,
    async tellJoined(token) {
      const id = member.membership.content.unanswered_join;
      if (id === undefined || id !== parseJoinToken(token)?.id) return false;
      await member.membership.answered();
      return true;
    },
    async stop() {
      await background.stop();
      await peers.stop();
      await opened.rqlited.stop();
    },
  };
}

function logVote({ environment }: Member) {
  return (thrown: unknown) => environment.log.warn("has no vote yet", { error: messageOf(thrown) });
}

function runtimeOf(member: Member, peers: Peers): ClusterRuntime {
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
    admit: (request) => admit(member, request),
    recoverQuorum: () => recoverQuorum(member),
    rotateCertificates: () => rotateHostCertificates(member),
    backup: () => backupStore(member),
    restore: (file) => restoreStore(member, file),
    removeNode: (hostId) =>
      removeNode(nodesOf(environment, { ...member, rqlited: opened.rqlited }), clock, hostId),
    driver: peers.driver,
    executor: peers.executor,
  };
}

function pieces(
  member: Member,
  runtime: ClusterRuntime,
  entry: Entry,
): Readonly<Record<string, Work>> {
  const { environment, authority, opened } = member;
  const { config, clock, ids, rng, log } = environment;
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
    certificate: (ending) => renewCertificate(member, ending),
    vote: inside((ending) => keepVote(member, entry, ending)),
  };
}

const VOTE_PAUSE_MS = 10_000;

/** Until the vote is as the configuration wants it. */
async function keepVote(member: Member, entry: Entry, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (await settleVote(member, () => entry.register(signal))) return;
    await member.environment.clock.sleep(VOTE_PAUSE_MS, signal);
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
      : { store_urls: others }),
    store_username: opened.rqlited.users.keeper.username,
    store_password_file: keeperPasswordPath(host.data_dir),
    store_tls: { ca_file: files.ca, cert_file: files.certificate, key_file: files.key },
    log_level: component_levels.keeper ?? level,
  };
}

/** The way into the list of hosts, and the host's own lines there. */
class Entry {
  readonly #member: Member;
  readonly #reporter: HostReporter;
  readonly #peers: Peers;
  readonly #onRemoved: () => void;
  readonly #inside = Promise.withResolvers<void>();
  #host: HostRecord | undefined;

  constructor(member: Member, peers: Peers, onRemoved: () => void) {
    this.#member = member;
    this.#peers = peers;
    this.#onRemoved = onRemoved;
    const { environment, opened } = member;
    const { clock, ids, log, driver, executor } = environment;
    this.#reporter = new HostReporter({
      store: opened.store,
      clock,
      ids,
      log: log.component("host"),
      driver,
      context: { executor, host: ownFacts(environment) },
      certificate: () => member.certificate.times(),
      leaderNowMs: peers.leaderNowMs,
    });
  }

  /** Brings the tables up to date and writes the host's record; does nothing the second time. */
  async enter(signal: AbortSignal): Promise<void> {
    const { environment, membership, opened } = this.#member;
    if (this.#host) return;
    await migrateStore(environment, opened, signal);
    if (membership.content.registered) {
      const [known] = await listHosts(opened.store.db, [environment.config.host_id]);
      if (!known) return this.removed();
    }
    await this.register(signal);
    await membership.update({ registered: true });
    this.#inside.resolve();
  }

  /** Resolves when the host is in the list; rejects when the signal aborts first. */
  entered(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    return Promise.race([this.#inside.promise, aborted]);
  }

  /** Writes the host's record as it is now. */
  async register(signal: AbortSignal): Promise<void> {
    const { environment, membership, opened } = this.#member;
    const { config, driver, executor } = environment;
    const binDirs = config.witness ? [] : config.postgres.bin_dirs;
    const context = { executor, signal };
    const observed = await observeHost(configuredHost(config), binDirs, driver, context);
    const voter = membership.content.own?.voter ?? true;
    const { url, raft } = opened.rqlited;
    const host: HostRecord = {
      ...observed,
      store: { url, raft, voter },
      peer_port: this.#peers.port,
      ...(config.witness ? { witness: true, installations: [] } : {}),
    };
    await this.#reporter.register(host, signal);
    this.#host = host;
  }

  report(signal: AbortSignal): Promise<void> {
    return this.#reporter.run(this.#member.environment.config.host_id, signal);
  }

  /** The cluster does not know this host any more. */
  removed(): void {
    this.#member.environment.log.warn("this host was removed from the cluster");
    this.#onRemoved();
  }
}

/** What the configuration says of this host. */
function configuredHost(config: Config): ConfiguredHost {
  const { host_id: id, data_dir, run_dir, peer_addresses, client_addresses, etcd_mode } = config;
  return {
    id,
    data_dir,
    run_dir,
    instance_dir: config.postgres.instance_dir,
    postgres_user: config.postgres.user ?? null,
    peer_addresses: [...peer_addresses],
    client_addresses: [...client_addresses],
    etcd_mode,
    random_ports: { ...config.random_ports },
    server_version: buildVersion.version,
  };
}
