// Everything that exists only in an initialised cluster: opened at start, or made by init.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createWorker } from "../apply/worker.ts";
import { must } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import { buildVersion } from "../base/version.ts";
import type { Config } from "../config/schema.ts";
import { type ConfiguredHost, HostReporter, observeHost } from "../observe/host-report.ts";
import type { Bootstrapped, ClusterRuntime } from "../operations/deps.ts";
import { createAuthority, loadAuthority } from "../pki/authority.ts";
import { newJoinToken } from "../pki/join-token.ts";
import {
  type ClusterRecord,
  insertCluster,
  loadCluster,
  noClusterGuard,
} from "../store/cluster.ts";
import {
  type ClusterKey,
  loadClusterKey,
  newClusterKey,
  saveClusterKey,
} from "../store/cluster-key.ts";
import { createSealer, type Sealer } from "../store/sealing.ts";
import { type Background, startBackground } from "./background.ts";
import type { ServerEnvironment } from "./environment.ts";
import { type OpenedStore, openStore } from "./open-store.ts";
import { ownFacts, superviseKeepers } from "./supervise-keepers.ts";

/** A cluster that this server serves. */
export interface ServedCluster {
  readonly runtime: ClusterRuntime;
  /** Ends the work in progress, which the next server continues, and then the store. */
  stop(): Promise<void>;
}

/** The key's file is the mark of a host that was initialised, or whose init was cut short. */
export function clusterKeyPath(config: Config): string {
  return join(config.data_dir, "cluster.key");
}

/** Opens the cluster of this data directory; undefined when init never succeeded here. */
export async function openCluster(
  environment: ServerEnvironment,
  signal: AbortSignal,
): Promise<ServedCluster | undefined> {
  const path = clusterKeyPath(environment.config);
  if (!existsSync(path)) return undefined;
  const sealer = createSealer(await loadClusterKey(path), environment.rng);
  const opened = await openStore(environment, signal);
  return orClose(opened, async () => {
    const record = await loadCluster(opened.store.db, sealer);
    if (record) return serve(environment, opened, sealer, record, signal);
    await opened.rqlited.stop();
    return undefined;
  });
}

/**
 * Makes the cluster, or finishes an init that was cut short; serves it then. Throws an AppError when
 * something of the host does not allow it.
 */
export async function bootstrapCluster(
  environment: ServerEnvironment,
  clusterId: string,
  signal: AbortSignal,
): Promise<{ cluster: ServedCluster } & Bootstrapped> {
  const key = await ensureKey(environment);
  const sealer = createSealer(key, environment.rng);
  const opened = await openStore(environment, signal);
  return orClose(opened, async () => {
    const { db } = opened.store;
    if (!(await loadCluster(db, sealer))) {
      const record = await newCluster(environment, clusterId);
      const outcome = await opened.store.commit(
        {
          opId: environment.ids.uuid(),
          guards: [noClusterGuard(db)],
          statements: [insertCluster(db, sealer, record)],
        },
        signal,
      );
      if (!outcome.ok) throw new AppError("retryable", "another init was quicker");
    }
    const record = must(await loadCluster(db, sealer), "the cluster that was just made");
    const cluster = await serve(environment, opened, sealer, record, signal);
    return { cluster, recoveryKey: key.recoveryText() };
  });
}

async function ensureKey(environment: ServerEnvironment): Promise<ClusterKey> {
  const path = clusterKeyPath(environment.config);
  if (existsSync(path)) return loadClusterKey(path);
  const key = newClusterKey(environment.rng);
  await saveClusterKey(path, key, environment.rng);
  return key;
}

async function newCluster(
  { clock, rng }: ServerEnvironment,
  clusterId: string,
): Promise<ClusterRecord> {
  const nowMs = clock.nowMs();
  const authority = await createAuthority(`pgherd ${clusterId}`, nowMs, rng);
  return {
    id: clusterId,
    caCertificatePem: authority.certificatePem,
    caPrivateKeyPem: authority.privateKeyPem,
    joinToken: newJoinToken(authority.certificatePem, rng),
    createdAtMs: nowMs,
  };
}

async function orClose<T>(opened: OpenedStore, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (thrown) {
    await opened.rqlited.stop();
    throw thrown;
  }
}

async function serve(
  environment: ServerEnvironment,
  { store, rqlited, keeperPasswordFile }: OpenedStore,
  sealer: Sealer,
  record: ClusterRecord,
  signal: AbortSignal,
): Promise<ServedCluster> {
  const { config, clock, ids, rng, log, executor, driver } = environment;
  const runtime: ClusterRuntime = {
    clusterId: record.id,
    store,
    sealer,
    joinToken: record.joinToken,
    driver: (orchestrator) => (orchestrator === driver.id ? driver : undefined),
    executor: (hostId) => (hostId === config.host_id ? executor : undefined),
  };
  const worker = createWorker({
    ...runtime,
    clock,
    ids,
    rng,
    log: log.component("worker"),
    hostId: config.host_id,
    incarnation: ids.uuid(),
    issuer: await loadAuthority(record.caCertificatePem, record.caPrivateKeyPem, rng),
    keeperAccess: () => ({
      store_urls: [rqlited.url],
      store_username: rqlited.users.keeper.username,
      store_password_file: keeperPasswordFile,
      log_level: config.logging.component_levels.keeper ?? config.logging.level,
    }),
  });
  const context = { executor, host: ownFacts(environment) };
  const reporter = new HostReporter({
    store,
    clock,
    ids,
    log: log.component("host"),
    driver,
    context,
  });
  const host = await observeHost(configuredHost(config), config.postgres.bin_dirs, driver, {
    executor,
    signal,
  });
  await reporter.register(host, signal);
  const background: Background = startBackground(
    { clock, rng, log },
    {
      worker: (ending) => worker.run(ending),
      keepers: (ending) => superviseKeepers(environment, ending),
      report: (ending) => reporter.run(config.host_id, ending),
    },
  );
  return {
    runtime,
    async stop() {
      await background.stop();
      await rqlited.stop();
    },
  };
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
