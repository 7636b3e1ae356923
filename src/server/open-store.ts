// This host's member of the store: rqlited under supervision, our client of it, tables up to date.
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { must } from "../base/assert.ts";
import { storeFreeBytesMin } from "../base/limits.ts";
import * as processes from "../host/process.ts";
import { makeRealtime } from "../host/realtime.ts";
import type { NodeAccess } from "../store/capabilities.ts";
import { migrate } from "../store/migrate.ts";
import { migrations } from "../store/migrations.gen.ts";
import { createRqlite, type Rqlite } from "../store/rqlite.ts";
import { type Rqlited, superviseRqlited } from "../store/rqlited.ts";
import { rqlitedAsset } from "../store/rqlited-asset.ts";
import { replaceFile } from "../store/rqlited-binary.ts";
import { ensureState, rqlitedPaths } from "../store/rqlited-files.ts";
import { clusterTiming, SINGLE_NODE_TIMING } from "../store/rqlited-process.ts";
import { createStore, type Store } from "../store/store.ts";
import type { ServerEnvironment } from "./environment.ts";
import type { HostCertificate } from "./host-certificate.ts";
import type { MembershipFile } from "./membership.ts";

export interface OpenedStore {
  readonly store: Store;
  readonly rqlite: Rqlite;
  readonly rqlited: Rqlited;
}

/** How this host's member takes part. */
export interface StoreSeat {
  readonly membership: MembershipFile;
  readonly certificate: HostCertificate;
  readonly voter: boolean;
  /** Raft addresses of members to join, or to tell a new address or vote. */
  readonly join?: readonly string[];
  /** Ends one that runs already instead of taking it over. */
  readonly fresh?: boolean;
  /** `answering` is content without a leader. */
  readonly until: "ready" | "answering";
}

/** Where the member listens: on the first address that others reach this host by. */
export function listenHost({ config }: ServerEnvironment): string {
  return must(config.peer_addresses[0], "an address of this host");
}

/** The Raft address that this host's member has now; its port is chosen when it never had one. */
export async function raftAddress(environment: ServerEnvironment): Promise<string> {
  const { config, rng } = environment;
  const host = listenHost(environment);
  const wish = {
    http: { host, port: config.store.http_port },
    raft: { host, port: config.store.raft_port },
  };
  const { raft } = await ensureState(rqlitedPaths(config.data_dir), wish, rng);
  return `${raft.host.includes(":") ? `[${raft.host}]` : raft.host}:${raft.port}`;
}

/** Starts or takes over rqlited. Nothing is left running when it throws. */
export async function openStore(
  environment: ServerEnvironment,
  seat: StoreSeat,
  signal: AbortSignal,
): Promise<OpenedStore> {
  const { config, clock, rng, log } = environment;
  const { membership, certificate } = seat;
  const host = listenHost(environment);
  const tls = () => certificate.tls();
  const rqlited = await superviseRqlited(
    {
      dataDir: config.data_dir,
      asset: rqlitedAsset,
      nodeId: config.host_id,
      http: { host, port: config.store.http_port },
      raft: { host, port: config.store.raft_port },
      timing: membership.content.clustered
        ? clusterTiming(config.store.leader_timeout_ms)
        : SINGLE_NODE_TIMING,
      tls: { files: certificate.files, client: tls },
      voter: seat.voter,
      until: seat.until,
      ...(seat.join ? { join: seat.join } : {}),
      ...(seat.fresh ? { fresh: true } : {}),
    },
    {
      ...{ clock, rng, logger: log.component("store"), processes },
      makeRealtime: (pid) => makeRealtime(pid, "alike"),
    },
    signal,
  );
  try {
    const rqlite = createRqlite({
      urls: () => [rqlited.url, ...membership.others(config.host_id).map(({ url }) => url)],
      username: rqlited.users.server.username,
      password: () => rqlited.users.server.password,
      clock,
      rng,
      tls,
      linearizableAs: rqlited.capabilities.linearizable ? "linearizable" : "strong",
      lacksSpace: () => spaceProblem(rqlitedPaths(config.data_dir).data),
    });
    await writeKeeperPassword(environment, rqlited);
    const store = createStore({ rqlite, clock, rng });
    return { store, rqlite, rqlited };
  } catch (thrown) {
    await rqlited.stop();
    throw thrown;
  }
}

/** Why rqlited can append nothing to its log: its file system has no more room. */
function spaceProblem(directory: string): string | undefined {
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize >= storeFreeBytesMin) return undefined;
  return `the file system of ${directory} is full`;
}

/** Brings the tables up to date; needs a quorum. */
export async function migrateStore(
  { clock, log }: ServerEnvironment,
  { rqlite }: OpenedStore,
  signal: AbortSignal,
): Promise<void> {
  const { applied } = await migrate({ rqlite, clock }, migrations, signal);
  if (applied.length > 0) log.component("store").info("migrated", { applied });
}

/** Puts the password where the keepers of this host follow it. */
export async function writeKeeperPassword(
  { config, rng }: ServerEnvironment,
  { users }: Rqlited,
): Promise<void> {
  const text = `${users.keeper.password.reveal()}\n`;
  await replaceFile(keeperPasswordPath(config.data_dir), text, { mode: 0o600, rng });
}

/** Where a server keeps the password for the keepers of its host. */
export function keeperPasswordPath(dataDir: string): string {
  return join(dataDir, "rqlited", "keeper.password");
}

/** The store's nodes as the server asks them: this host's own first when it has one. */
export function nodesOf(
  environment: ServerEnvironment,
  parts: {
    readonly membership: MembershipFile;
    readonly certificate: HostCertificate;
    readonly rqlited: Rqlited;
  },
): readonly NodeAccess[] {
  const { membership, certificate, rqlited } = parts;
  const others = membership.others(environment.config.host_id).map(({ url }) => url);
  return [rqlited.url, ...others].map((url) => ({
    url,
    credentials: rqlited.users.server,
    tls: () => certificate.tls(),
  }));
}
