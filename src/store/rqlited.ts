// Keeps this host's rqlited running. It survives the server: a restarted server takes over the one it
// finds, when that is the same version with the same arguments and answers; else it is replaced.
import { mkdir } from "node:fs/promises";
import { AppError } from "../base/errors.ts";
import { storeLeadershipTimeoutMs } from "../base/limits.ts";
import {
  isLeader,
  type NodeAccess,
  probeCapabilities,
  type RqliteCapabilities,
  verifiesPeers,
} from "./capabilities.ts";
import type { RqliteTls } from "./rqlite.ts";
import { type EmbeddedBinary, ensureBinary, removeOtherBinaries } from "./rqlited-binary.ts";
import {
  adoptUsers,
  type Endpoint,
  ensureState,
  ensureUsers,
  type RqlitedUsers,
  rqlitedPaths,
  type SentUser,
  saveState,
} from "./rqlited-files.ts";
import {
  type CertificateFiles,
  type ProcessIdentity,
  type RaftTiming,
  rqlitedArguments,
  SINGLE_NODE_TIMING,
} from "./rqlited-process.ts";
import { type RqlitedDeps, Supervisor } from "./rqlited-supervisor.ts";

export type { RqlitedDeps } from "./rqlited-supervisor.ts";

/** Mutual TLS on both ports: rqlited's files, and what its own clients present. */
export interface RqlitedTls {
  readonly files: CertificateFiles;
  readonly client: () => RqliteTls;
}

export interface RqlitedOptions {
  /** The server's; rqlited's files are in `rqlited/` and `bin/` below it. */
  readonly dataDir: string;
  readonly asset: EmbeddedBinary;
  /** Unique in the cluster and stable: the host id. */
  readonly nodeId: string;
  /** Port 0: a free one is chosen once and remembered. */
  readonly http: Endpoint;
  readonly raft: Endpoint;
  /** `SINGLE_NODE_TIMING` when absent; `clusterTiming` for a cluster of several. */
  readonly timing?: RaftTiming;
  /** Without it rqlited speaks in clear, and only on loopback addresses. */
  readonly tls?: RqlitedTls;
  /** Votes; true when absent. */
  readonly voter?: boolean;
  /** Raft addresses of the cluster that it joins, or that learns its new address or vote. */
  readonly join?: readonly string[];
  /** Ends one that runs already instead of taking it over. */
  readonly fresh?: boolean;
  /** `ready` when absent; `answering` is content without a leader. */
  readonly until?: "ready" | "answering";
}

/** What can be changed of a supervised rqlited, by ending and starting it. */
export interface RqlitedChange {
  readonly timing?: RaftTiming;
  readonly voter?: boolean;
  readonly join?: readonly string[];
  /** Others that know the old one do not find it any more. */
  readonly raftPort?: number;
}

/** A supervised rqlited. */
export interface Rqlited {
  /** Of its HTTP interface; does not change while it is supervised, nor later unless configured so. */
  readonly url: string;
  /** Where others find its Raft port: `host:port`. Only a restart changes it. */
  readonly raft: string;
  readonly users: RqlitedUsers;
  readonly capabilities: RqliteCapabilities;
  /** Whether it was already running when we came. */
  readonly adopted: boolean;
  /** The process that runs now, or undefined between an end and the next start. */
  identity(): ProcessIdentity | undefined;
  /** Whether it leads now; throws when it does not answer in time. */
  leads(signal: AbortSignal): Promise<boolean>;
  /** Ends it, does what may be done only then, starts it changed, and waits until it is ready. */
  restart(change: RqlitedChange, between?: () => Promise<void>): Promise<void>;
  /** Restarts it with other passwords; the old ones are worth nothing from then on. */
  replaceUsers(users: readonly SentUser[]): Promise<void>;
  /** Ends supervision and leaves it running, for a server that only restarts. */
  release(): Promise<void>;
  /** Ends supervision and rqlited: SIGTERM, then SIGKILL. Call it last, after all users of the store. */
  stop(): Promise<void>;
}

/**
 * Starts or takes over rqlited and waits until it is ready. Throws an AppError that quotes the end of
 * its log when it ends or is not ready in time, and refuses addresses that others can reach when this
 * rqlited does not verify its peers.
 */
export async function superviseRqlited(
  options: RqlitedOptions,
  deps: RqlitedDeps,
  signal?: AbortSignal,
): Promise<Rqlited> {
  refuseExposure(options);
  const paths = rqlitedPaths(options.dataDir);
  await mkdir(paths.data, { recursive: true, mode: 0o700 });
  const binary = await ensureBinary(options.asset, paths.binaries, deps.rng);
  let users = await ensureUsers(paths, deps.rng);
  let state = await ensureState(paths, { http: options.http, raft: options.raft }, deps.rng);
  const commandLine = (change: RqlitedChange) =>
    rqlitedArguments({
      binary,
      paths,
      nodeId: options.nodeId,
      http: state.http,
      raft: state.raft,
      timing: change.timing ?? SINGLE_NODE_TIMING,
      version: options.asset.version,
      ...(options.tls ? { tls: options.tls.files } : {}),
      ...(change.voter === undefined ? {} : { voter: change.voter }),
      ...(change.join ? { join: change.join } : {}),
    });
  let current: RqlitedChange = options;
  const node: NodeAccess = {
    url: `${options.tls ? "https" : "http"}://${hostText(state.http)}`,
    get credentials() {
      return users.server;
    },
    ...(options.tls ? { tls: options.tls.client } : {}),
  };
  const target = {
    paths,
    argv: commandLine(options),
    node,
    remember: (process: ProcessIdentity) => saveState(paths, { ...state, process }, deps.rng),
  };
  const supervisor = new Supervisor(target, deps);
  const start = { fresh: options.fresh ?? false, until: options.until ?? "ready" } as const;
  const adopted = await supervisor.begin(state.process, start, signal);
  await removeOtherBinaries(binary);
  const capabilities = await probeCapabilities(node, deps.clock, signal);
  if (!capabilities.linearizable) {
    deps.logger.warn("rqlite knows no linearizable reads: strong ones are used", {
      ...capabilities,
    });
  }
  const restart = (change: RqlitedChange, between = async () => {}) => {
    const { join: _done, ...before } = current;
    current = { ...before, ...change };
    const { raftPort } = change;
    if (raftPort !== undefined) state = { ...state, raft: { ...state.raft, port: raftPort } };
    return supervisor.replace(commandLine(current), between);
  };
  return {
    url: node.url,
    get raft() {
      return hostText(state.raft);
    },
    get users() {
      return users;
    },
    capabilities,
    adopted,
    identity: () => supervisor.identity(),
    leads: (leadSignal) =>
      isLeader(node, deps.clock.deadline(storeLeadershipTimeoutMs, leadSignal)),
    restart,
    replaceUsers(wanted) {
      return restart({}, async () => {
        await adoptUsers(paths, wanted, deps.rng);
        users = await ensureUsers(paths, deps.rng);
      });
    },
    release: () => supervisor.release(),
    stop: () => supervisor.stop(),
  };
}

function refuseExposure(options: RqlitedOptions): void {
  const exposed = [options.http, options.raft].filter(({ host }) => !isLoopback(host));
  if (exposed.length === 0 || (options.tls && verifiesPeers(options.asset.version))) return;
  if (!options.tls) {
    const message = `rqlite without TLS may only listen on loopback addresses, not on ${exposed[0]?.host}`;
    throw new AppError("terminal", message);
  }
  throw new AppError(
    "terminal",
    `rqlite ${options.asset.version} does not verify its peers: it may only listen on loopback addresses, not on ${exposed[0]?.host}`,
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host);
}

function hostText({ host, port }: Endpoint): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
