// Going on from what is left: one survivor becomes the only member of the store, and who comes back later follows
// it instead of what it remembers.
import { cp, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { Value } from "@sinclair/typebox/value";
import { type Clock, rfc3339 } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import {
  leftBehindCheckMs,
  leftBehindTimeoutMs,
  recoveryCommitTimeoutMs,
  storeNodesTimeoutMs,
} from "../base/limits.ts";
import { Secret } from "../base/secret.ts";
import { peerPaths } from "../host/peer-messages.ts";
import { OperationError } from "../operations/errors.ts";
import { peerLink } from "../peer/client.ts";
import { isNode, type NodeAccess } from "../store/capabilities.ts";
import { loadClusterSetting, raiseClusterSetting } from "../store/cluster-settings.ts";
import { forgetOtherMembers } from "../store/hosts.ts";
import { createRqlite, type Rqlite } from "../store/rqlite.ts";
import { writeLonePeer } from "../store/rqlite-nodes.ts";
import {
  adoptUsers,
  changeRaftPort,
  ensureUsers,
  freePort,
  rqlitedPaths,
  SERVER_USER,
} from "../store/rqlited-files.ts";
import { clusterTiming } from "../store/rqlited-process.ts";
import { StoreError } from "../store/store-error.ts";
import type { ServerEnvironment } from "./environment.ts";
import type { HostCertificate } from "./host-certificate.ts";
import type { Member } from "./member.ts";
import { endStore, type Secrets } from "./member.ts";
import type { MembershipFile, NamedMember } from "./membership.ts";
import { listenHost } from "./open-store.ts";
import { type StoreUsers, StoreUsersMessage } from "./store-users.ts";

/** Of the names of what was replaced, beside the store's directory. */
const COPY_PREFIX = "replaced-";
const RECOVERY_PAUSE_MS = 200;
/** Without a leader for so many times the time in which members choose one. */
const ELECTIONS_WAITED = 6;

/**
 * Makes this host the only member of the store. Answers where the copy of what was replaced is. Refused while
 * there is a leader: then nothing is lost.
 */
export async function recoverQuorum(member: Member): Promise<{ readonly copy: string }> {
  const { environment, membership, opened, certificate } = member;
  const { config, clock, log } = environment;
  const { rqlited, store } = opened;
  const node: NodeAccess = {
    url: rqlited.url,
    credentials: rqlited.users.server,
    tls: () => certificate.tls(),
  };
  if (await hasLeader(node, clock, config.store.leader_timeout_ms)) {
    // Cut short before the others could be told: the rest is done now.
    const half = membership.content.recovery > (await loadClusterSetting(store.db, "recovery"));
    if (half) return { copy: await finish(member) };
    const message = "the store has a leader: there is nothing to recover";
    throw new OperationError("operation_not_supported", message);
  }
  const paths = rqlitedPaths(config.data_dir);
  const copy = await copyPath(environment);
  log.warn("goes on as the only member of the store", { copy });
  // Members that are only out of reach still know the old port: at another one they cannot undo what this host does.
  const raftPort =
    config.store.raft_port === 0 ? await freePort(listenHost(environment)) : undefined;
  const timing = clusterTiming(config.store.leader_timeout_ms);
  const change = { voter: true, timing, ...(raftPort ? { raftPort } : {}) };
  await rqlited.restart(change, async () => {
    await cp(paths.data, copy, { recursive: true });
    await writeLonePeer(paths, { id: config.host_id, raft: rqlited.raft });
  });
  const recovery = membership.content.recovery + 1;
  const own = { raft: rqlited.raft, voter: true };
  await membership.update({
    recovery,
    own,
    members: [{ id: config.host_id, url: rqlited.url, ...own }],
  });
  await finish(member);
  return { copy };
}

/** A moment without a leader may be an election; only several times as long is a lost quorum. */
async function hasLeader(
  node: NodeAccess,
  clock: Clock,
  leaderTimeoutMs: number,
): Promise<boolean> {
  const endMs = clock.monotonicMs() + ELECTIONS_WAITED * leaderTimeoutMs;
  for (;;) {
    if (await isNode("ready", node, clock.deadline(leftBehindTimeoutMs))) return true;
    if (clock.monotonicMs() >= endMs) return false;
    await clock.sleep(RECOVERY_PAUSE_MS);
  }
}

/** Has the store say that it went on from here; answers where the newest copy is. */
async function finish({ environment, membership, opened }: Member): Promise<string> {
  const { config, clock, ids } = environment;
  const { store, rqlited } = opened;
  const change = {
    opId: ids.uuid(),
    guards: [],
    statements: [
      raiseClusterSetting(store.db, "recovery", membership.content.recovery),
      ...forgetOtherMembers(store.db, { hostId: config.host_id, raft: rqlited.raft }),
    ],
  };
  const ending = clock.deadline(recoveryCommitTimeoutMs);
  for (;;) {
    try {
      await store.commit(change, ending);
      break;
    } catch (thrown) {
      // It has just become the leader of nobody but itself: clients may not have noticed yet.
      if (ending.aborted || !(thrown instanceof StoreError)) throw thrown;
      await clock.sleep(RECOVERY_PAUSE_MS, ending);
    }
  }
  const { directory } = rqlitedPaths(config.data_dir);
  const copies = (await readdir(directory)).filter((name) => name.startsWith(COPY_PREFIX));
  return join(directory, copies.sort().at(-1) ?? "");
}

/** What a host that was left behind finds when it comes back. */
export type Return =
  | { readonly kind: "current" }
  | { readonly kind: "removed" }
  /** It joins again, with an empty copy of the store. */
  | { readonly kind: "again"; readonly members: readonly NamedMember[]; readonly recovery: number };

/**
 * Asks the other members, before this host's own copy of the store can do any harm. `passwords` takes those of the
 * store's users that this host missed.
 */
export async function findReturn(
  environment: ServerEnvironment,
  { certificate }: Secrets,
  membership: MembershipFile,
  passwords = (message: StoreUsersMessage) => writeUsers(environment, membership, message),
): Promise<Return> {
  const { config, clock, rng, log } = environment;
  const { server } = await ensureUsers(rqlitedPaths(config.data_dir), rng);
  const asked = membership.others(config.host_id).map(async (member) => {
    const { url } = member;
    const ask = (password: Secret) => {
      const { username } = server;
      const tls = () => certificate.tls();
      const rqlite = createRqlite({ urls: [url], username, password, clock, rng, tls });
      return askOne(rqlite, config.host_id, membership.content.recovery);
    };
    try {
      return await ask(server.password);
    } catch (thrown) {
      log.debug("cannot ask a member", { url, error: messageOf(thrown) });
      if (!(thrown instanceof StoreError) || thrown.reason !== "auth") return undefined;
    }
    return await askForUsers(environment, { member, certificate, adopt: passwords }, ask);
  });
  const answers = (await Promise.all(asked)).filter((answer) => answer !== undefined);
  const ahead = answers.find(({ kind }) => kind !== "current");
  return ahead ?? { kind: "current" };
}

interface Missed {
  readonly member: NamedMember;
  readonly certificate: HostCertificate;
  readonly adopt: (message: StoreUsersMessage) => Promise<void>;
}

/** The passwords were replaced: this host missed that, or does not belong to the cluster any more. */
async function askForUsers(
  { clock, log }: ServerEnvironment,
  { member: { id, peer }, certificate, adopt }: Missed,
  ask: (password: Secret) => Promise<Return>,
): Promise<Return | undefined> {
  const [, host = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(peer ?? "") ?? [];
  if (host === "") return undefined;
  const { ca, cert, key } = certificate.tls();
  const credentials = { ca, cert, key: new Secret(key), hostId: "", notAfterMs: 0 };
  const link = peerLink({ hostId: id, addresses: [host], port: Number(port) }, () => credentials);
  try {
    const signal = clock.deadline(storeNodesTimeoutMs);
    const response = await link.request({ method: "GET", path: peerPaths.storeUsers, signal });
    if (response.status === 403) return { kind: "removed" };
    const message: unknown = await response.json();
    if (!Value.Check(StoreUsersMessage, message)) return undefined;
    await adopt(message);
    const password = message.users.find(({ username }) => username === SERVER_USER)?.password;
    return await ask(new Secret(password ?? ""));
  } catch (thrown) {
    log.debug("cannot ask a member for its passwords", { id, error: messageOf(thrown) });
    return undefined;
  }
}

/** For a host whose rqlited does not run: it begins with them. */
async function writeUsers(
  { config, rng }: ServerEnvironment,
  membership: MembershipFile,
  { made_ms, users }: StoreUsersMessage,
): Promise<void> {
  if (made_ms <= (membership.content.store_users_ms ?? 0)) return;
  await adoptUsers(rqlitedPaths(config.data_dir), users, rng);
  await membership.update({ store_users_ms: made_ms });
}

const OPTIONS = {
  level: "none",
  deadlineMs: leftBehindTimeoutMs,
  timeoutMs: leftBehindTimeoutMs,
} as const;

async function askOne(rqlite: Rqlite, hostId: string, known: number): Promise<Return> {
  const setting = {
    sql: "SELECT value FROM cluster_settings WHERE name = 'recovery'",
    params: [],
  };
  const hosts = { sql: "SELECT id, json_extract(record, '$.store') FROM hosts", params: [] };
  const [found, rows] = await rqlite.request([setting, hosts], OPTIONS);
  const recovery = Number(found?.rows[0]?.[0] ?? 0);
  if (recovery <= known) return { kind: "current" };
  if (!rows?.rows.some(([id]) => id === hostId)) return { kind: "removed" };
  const members = rows.rows.flatMap(([id, store]): NamedMember[] =>
    typeof store === "string" && id !== hostId ? [{ id: String(id), ...JSON.parse(store) }] : [],
  );
  return { kind: "again", members, recovery };
}

/**
 * Looks until the signal aborts whether the cluster went on without this host, as it does after a recovery while
 * this host was only out of reach. `found` is called once.
 */
export async function watchLeftBehind(
  member: Member,
  found: (how: "again" | "removed") => void,
  storeUsers: Pick<StoreUsers, "adopt">,
  signal: AbortSignal,
): Promise<void> {
  const { environment, membership } = member;
  const { clock, log } = environment;
  while (!signal.aborted) {
    await clock.sleep(leftBehindCheckMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const { kind } = await findReturn(environment, member, membership, (message) =>
        storeUsers.adopt(message),
      );
      if (kind === "current") continue;
      log.component("cluster").warn("the cluster went on without this host", { found: kind });
      return found(kind);
    } catch (thrown) {
      const fields = { error: messageOf(thrown) };
      log.component("cluster").debug("cannot ask whether the cluster went on", fields);
    }
  }
}

/** Puts this host's copy of the store aside, for a new one from the members. */
export async function putAside(environment: ServerEnvironment): Promise<void> {
  const { config, rng } = environment;
  await endStore(environment);
  const copy = await copyPath(environment);
  const paths = rqlitedPaths(config.data_dir);
  await rename(paths.data, copy);
  // Others that were left behind and do not know it yet would take the empty store for a member of theirs.
  if (config.store.raft_port === 0) await changeRaftPort(paths, rng);
  environment.log.warn("was left behind and takes the store of the others", { copy });
}

async function copyPath({ config, clock }: ServerEnvironment): Promise<string> {
  const { directory } = rqlitedPaths(config.data_dir);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const time = rfc3339(clock.nowMs()).replaceAll(/[-:]/g, "");
  return join(directory, `${COPY_PREFIX}${time}`);
}

/** Has every host replace its certificate. Answers the time of the wish. */
export async function rotateHostCertificates({ environment, opened }: Member): Promise<number> {
  const { clock, ids } = environment;
  const { store } = opened;
  const before = await loadClusterSetting(store.db, "certificates_after_ms");
  const wantedMs = Math.max(clock.nowMs(), before + 1);
  await store.commit({
    opId: ids.uuid(),
    guards: [],
    statements: [raiseClusterSetting(store.db, "certificates_after_ms", wantedMs)],
  });
  return wantedMs;
}
