// The way into the list of hosts, and what a host writes about itself there.
import { messageOf } from "../base/errors.ts";
import { installationsCheckMs } from "../base/limits.ts";
import { buildVersion } from "../base/version.ts";
import type { Config } from "../config/schema.ts";
import { type ConfiguredHost, HostReporter, observeHost } from "../observe/host-report.ts";
import { installationsMark } from "../observe/postgres-installations.ts";
import type { HostRecord } from "../spec/host.ts";
import { listHosts } from "../store/hosts.ts";
import type { Member } from "./member.ts";
import { migrateStore } from "./open-store.ts";
import type { Peers } from "./peers.ts";
import { ownFacts } from "./supervise-keepers.ts";

/** A host on its way in, and inside. */
export class Entry {
  readonly #member: Member;
  readonly #reporter: HostReporter;
  readonly #peers: Peers;
  readonly #onRemoved: () => void;
  readonly #inside = Promise.withResolvers<void>();
  #host: HostRecord | undefined;
  /** Of the installations in the record. */
  #mark: string | undefined;

  constructor(member: Member, peers: Peers, onRemoved: () => void) {
    this.#member = member;
    this.#peers = peers;
    this.#onRemoved = onRemoved;
    const { environment, opened } = member;
    const { clock, ids, log, driver, executor } = environment;
    this.#reporter = new HostReporter({
      store: opened.store,
      clock,
      ownClock: clock.own,
      onLeaderDifference: (ms) => clock.follow(ms, environment.config.data_dir, environment.rng),
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

  /** Writes the host's record as it is now. Throws when the host was in the list before and is not any more. */
  async register(signal: AbortSignal): Promise<void> {
    const { environment, membership, opened } = this.#member;
    const { config, driver, executor } = environment;
    const binDirs = config.witness ? [] : config.postgres.bin_dirs;
    const context = { executor, signal };
    // The look stands for this mark only if nothing came or went meanwhile: it may be undone before the next one.
    const before = await this.#installationsMark(signal);
    const observed = await observeHost(configuredHost(config), binDirs, driver, context);
    const mark = (await this.#installationsMark(signal)) === before ? before : undefined;
    const voter = membership.content.own?.voter ?? true;
    const { url, raft } = opened.rqlited;
    const host: HostRecord = {
      ...observed,
      store: { url, raft, voter },
      peer_port: this.#peers.port,
      certificate_keys: [...this.#member.certificate.keys()],
      ...(config.witness ? { witness: true, installations: [] } : {}),
    };
    await this.#reporter.register(host, membership.content.registered ? "known" : "new", signal);
    this.#host = host;
    this.#mark = mark;
  }

  async report(signal: AbortSignal): Promise<void> {
    const { config } = this.#member.environment;
    await Promise.all([
      this.#reporter.run(config.host_id, signal),
      ...(config.witness ? [] : [this.#watchInstallations(signal)]),
    ]);
  }

  /** Writes the record again when a PostgreSQL version came, changed or went. */
  async #watchInstallations(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#member.environment;
    while (!signal.aborted) {
      await clock.sleep(installationsCheckMs, signal).catch(() => undefined);
      try {
        if ((await this.#installationsMark(signal)) === this.#mark) continue;
        await this.register(signal);
        log.component("host").info("PostgreSQL versions changed", { versions: this.versions() });
      } catch (error) {
        if (signal.aborted) return;
        const fields = { error: messageOf(error) };
        log.component("host").warn("cannot look for PostgreSQL versions", fields);
      }
    }
  }

  #installationsMark(signal: AbortSignal): Promise<string> {
    const { config, executor } = this.#member.environment;
    if (config.witness) return Promise.resolve("");
    return installationsMark(executor, config.postgres.bin_dirs, signal);
  }

  /** As they were found last. */
  versions(): readonly string[] {
    return (this.#host?.installations ?? []).map(({ version }) => version);
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
