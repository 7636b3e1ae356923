// This host among the others: what they may ask of it, and how it reaches them.
import { join } from "node:path";
import { must } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import { peerAdmissionKeptMs, peerPatienceMs } from "../base/limits.ts";
import type { Executor, ExecutorOf, PlanMark } from "../host/executor.ts";
import { PeerExecutor } from "../host/peer.ts";
import { peerPaths } from "../host/peer-messages.ts";
import { ByServerDriver } from "../orchestrator/by-server.ts";
import type { Driver } from "../orchestrator/driver.ts";
import { distantDriver, driverByName } from "../orchestrator/registry.ts";
import { peerLink } from "../peer/client.ts";
import { LiveCredentials } from "../peer/credentials.ts";
import { driverRoutes } from "../peer/driver-routes.ts";
import { hostRoutes } from "../peer/host-routes.ts";
import type { InternalRoutes } from "../peer/internal-call.ts";
import { listenForPeers, type PeerListener, type PeerListenerOptions } from "../peer/listener.ts";
import { PlanFences } from "../peer/plan-fences.ts";
import { RunningCalls } from "../peer/running-calls.ts";
import type { HostRecord } from "../spec/host.ts";
import { listHosts } from "../store/hosts.ts";
import { replaceFile } from "../store/rqlited-binary.ts";
import type { Store } from "../store/store.ts";
import { loadWorkerLease } from "../store/worker-lease.ts";
import type { Work } from "./background.ts";
import type { ServerEnvironment } from "./environment.ts";
import { launcher } from "./launcher.ts";
import { ownFacts } from "./supervise-keepers.ts";

export interface Peers {
  /** Of the internal listener. */
  readonly port: number;
  readonly executor: ExecutorOf;
  /** By the `orchestrator` of a host's record. */
  readonly driver: (orchestrator: string) => Driver | undefined;
  /** Wall clock of the host whose worker works, the leader's; undefined where there is none. */
  readonly leaderNowMs: () => Promise<number | undefined>;
  /** Follows the renewals of this host's certificate. */
  readonly follow: Work;
  stop(): Promise<void>;
}

export interface PeersOptions {
  readonly environment: ServerEnvironment;
  readonly store: Store;
  /** Beside those that concern the host itself. */
  readonly routes: InternalRoutes;
  /** Holds the files of this host's certificate. */
  readonly certificates: string;
  /** Reaches hosts that have no server of their own. */
  readonly otherwise: (host: HostRecord, plan?: PlanMark) => Executor | undefined;
}

/** Listens for the other hosts. Rejects with an AppError when the address cannot be bound. */
export async function openPeers(options: PeersOptions): Promise<Peers> {
  const { environment, certificates } = options;
  const log = environment.log.component("peers");
  const credentials = new LiveCredentials(certificates);
  const listener = await listen(environment, {
    hostname: must(environment.config.peer_addresses[0], "an address of this host"),
    credentials: credentials.current(),
    routes: { ...routesOf(environment), ...options.routes },
    log,
    admits: admission(options),
  });
  log.info("listening for other hosts", { port: listener.port });
  const executor = executors(options, credentials);
  return {
    port: listener.port,
    executor,
    leaderNowMs: () => leaderNowMs(options, executor),
    driver: drivers(environment),
    follow: (signal) =>
      credentials.watch({ clock: environment.clock, log }, (next) => listener.renew(next), signal),
    stop: () => listener.stop(),
  };
}

function routesOf(environment: ServerEnvironment): InternalRoutes {
  const { executor, clock, config, driver } = environment;
  const shared = {
    executor,
    // Others ask for the time of this host itself.
    clock: clock.own,
    log: environment.log.component("peers"),
    calls: new RunningCalls(clock),
    fences: new PlanFences(join(config.data_dir, "plans.json")),
  };
  return {
    ...hostRoutes(shared),
    ...driverRoutes({ ...shared, driver, facts: ownFacts(environment) }),
  };
}

/** By the list of hosts, which is believed for a few seconds; while it cannot be read, by what it said last. */
function admission({ environment, store }: PeersOptions): PeerListenerOptions["admits"] {
  const { clock, log } = environment;
  const seenMs = new Map<string, number>();
  return async ({ hostId, key }) => {
    const who = `${hostId} ${key}`;
    const lastMs = seenMs.get(who);
    if (lastMs !== undefined && clock.monotonicMs() - lastMs < peerAdmissionKeptMs) return true;
    try {
      const [host] = await listHosts(store.display, [hostId]);
      // A host without a server has a certificate for its keepers, and nothing to ask: its record names no key.
      const admitted = host?.record.certificate_keys?.includes(key) ?? false;
      if (admitted) seenMs.set(who, clock.monotonicMs());
      else seenMs.delete(who);
      return admitted;
    } catch (thrown) {
      log.component("peers").debug("cannot look up a host", { hostId, error: messageOf(thrown) });
      return lastMs === undefined ? undefined : true;
    }
  };
}

/** The port of the configuration, or the one it had before; another one only where that is taken. */
async function listen(
  { config, rng }: ServerEnvironment,
  options: Omit<PeerListenerOptions, "port">,
): Promise<PeerListener> {
  const path = join(config.data_dir, "peer-port");
  const wanted = config.peer.port;
  if (wanted !== 0) return listenForPeers({ ...options, port: wanted });
  const file = Bun.file(path);
  const known = (await file.exists()) ? Number.parseInt(await file.text(), 10) : 0;
  let listener: PeerListener;
  try {
    listener = await listenForPeers({ ...options, port: Math.max(known, 0) });
  } catch (thrown) {
    options.log.warn("takes another port for other hosts", { error: messageOf(thrown) });
    listener = await listenForPeers({ ...options, port: 0 });
  }
  if (listener.port !== known) await replaceFile(path, `${listener.port}\n`, { mode: 0o600, rng });
  return listener;
}

function executors(
  { environment, store, otherwise }: PeersOptions,
  credentials: LiveCredentials,
): ExecutorOf {
  const { config, clock, ids, executor } = environment;
  return async (hostId, plan) => {
    if (hostId === config.host_id) return executor;
    const [host] = await listHosts(store.display, [hostId]);
    if (!host) return undefined;
    const { peer_port: port, peer_addresses: addresses } = host.record;
    if (port === undefined) return otherwise(host.record, plan);
    // A task waits for a server that only restarts; a user would rather know.
    const patience = plan ? { clock, forMs: peerPatienceMs } : undefined;
    const link = peerLink({ hostId, addresses, port }, () => credentials.current(), patience);
    return new PeerExecutor(link, { clock, ids, ...(plan ? { plan } : {}) });
  };
}

async function leaderNowMs(
  { environment, store }: PeersOptions,
  executor: ExecutorOf,
): Promise<number | undefined> {
  const lease = await loadWorkerLease(store.db);
  if (!lease || lease.holder === "") return undefined;
  if (lease.holder === environment.config.host_id) return environment.clock.own.nowMs();
  const leader = await executor(lease.holder);
  if (!(leader instanceof PeerExecutor)) return undefined;
  const { body } = await leader.ask({ method: "GET", path: peerPaths.ping }, undefined);
  const answer: unknown = JSON.parse(new TextDecoder().decode(body));
  const isTold = typeof answer === "object" && answer !== null && "now_ms" in answer;
  return isTold && typeof answer.now_ms === "number" ? answer.now_ms : undefined;
}

/** Every driver that some host may have; work on hosts with a server is done by that server. */
function drivers(environment: ServerEnvironment): Peers["driver"] {
  const { clock, rng, ids, executor, driver } = environment;
  const wrap = (own: Driver) =>
    new ByServerDriver(own, ids, executor.hostId, ({ dataDir }) =>
      distantDriver(own.id, dataDir, clock),
    );
  const made = new Map<string, Driver>([[driver.id, wrap(driver)]]);
  return (orchestrator) => {
    const known = made.get(orchestrator);
    if (known) return known;
    const deps = { clock, rng, launcher: launcher(), executor };
    const other = driverByName(orchestrator, deps, false);
    if (!other) return undefined;
    const wrapped = wrap(other);
    made.set(orchestrator, wrapped);
    return wrapped;
  };
}
