// Going on from what is left: one survivor becomes the only member of the store, and who comes back later follows
// it instead of what it remembers.
import { cp, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { rfc3339 } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { leftBehindCheckMs, leftBehindTimeoutMs, recoveryCommitTimeoutMs } from "../base/limits.ts";
import { OperationError } from "../operations/errors.ts";
import { isNode, type NodeAccess } from "../store/capabilities.ts";
import { loadClusterSetting, raiseClusterSetting } from "../store/cluster-settings.ts";
import { forgetOtherMembers } from "../store/hosts.ts";
import { createRqlite, type Rqlite } from "../store/rqlite.ts";
import { writeLonePeer } from "../store/rqlite-nodes.ts";
import { ensureUsers, freePort, rqlitedPaths } from "../store/rqlited-files.ts";
import { clusterTiming } from "../store/rqlited-process.ts";
import { StoreError } from "../store/store-error.ts";
import type { ServerEnvironment } from "./environment.ts";
import type { Member } from "./member.ts";
import { endStore, type Secrets } from "./member.ts";
import type { MembershipFile, NamedMember } from "./membership.ts";
import { listenHost } from "./open-store.ts";

/** Of the names of what was replaced, beside the store's directory. */
const COPY_PREFIX = "replaced-";
const RECOVERY_PAUSE_MS = 200;

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
  if (await isNode("ready", node, clock.deadline(leftBehindTimeoutMs))) {
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

/** Asks the other members, before this host's own copy of the store can do any harm. */
export async function findReturn(
  environment: ServerEnvironment,
  { certificate }: Secrets,
  membership: MembershipFile,
): Promise<Return> {
  const { config, clock, rng, log } = environment;
  const { server } = await ensureUsers(rqlitedPaths(config.data_dir), rng);
  const asked = membership.others(config.host_id).map(async ({ url }) => {
    const rqlite = createRqlite({
      urls: [url],
      ...server,
      clock,
      rng,
      tls: () => certificate.tls(),
    });
    try {
      return await askOne(rqlite, config.host_id, membership.content.recovery);
    } catch (thrown) {
      log.debug("cannot ask a member at the start", { url, error: messageOf(thrown) });
      return undefined;
    }
  });
  const answers = (await Promise.all(asked)).filter((answer) => answer !== undefined);
  const ahead = answers.find(({ kind }) => kind !== "current");
  return ahead ?? { kind: "current" };
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
  signal: AbortSignal,
): Promise<void> {
  const { environment, membership } = member;
  const { clock, log } = environment;
  while (!signal.aborted) {
    await clock.sleep(leftBehindCheckMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const { kind } = await findReturn(environment, member, membership);
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
  await endStore(environment);
  const copy = await copyPath(environment);
  await rename(rqlitedPaths(environment.config.data_dir).data, copy);
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
