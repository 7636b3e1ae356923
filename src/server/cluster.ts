// How this host comes to serve a cluster: it made it, joined it, or was its member before.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { must } from "../base/assert.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Secret } from "../base/secret.ts";
import type { Bootstrapped } from "../operations/deps.ts";
import { createAuthority } from "../pki/authority.ts";
import { newJoinToken, parseJoinToken } from "../pki/join-token.ts";
import { CA_KEY_PLACE, insertCluster, loadCluster, noClusterGuard } from "../store/cluster.ts";
import {
  type ClusterKey,
  loadClusterKey,
  newClusterKey,
  saveClusterKey,
} from "../store/cluster-key.ts";
import { insertJoinToken } from "../store/join-tokens.ts";
import { rqlitedPaths } from "../store/rqlited-files.ts";
import { createSealer } from "../store/sealing.ts";
import type { ServerEnvironment } from "./environment.ts";
import { takeSeat } from "./join.ts";
import { clusterKeyPath, endStore, type Member, openSecrets } from "./member.ts";
import { MembershipFile } from "./membership.ts";
import { migrateStore, type OpenedStore, openStore } from "./open-store.ts";
import { findReturn, putAside } from "./recover.ts";
import { seatFor } from "./seat.ts";
import { type ServedCluster, serve } from "./serve.ts";

export type { ServedCluster } from "./serve.ts";

/** Opens the cluster that this host is a member of; undefined when it is none. */
export async function openCluster(
  environment: ServerEnvironment,
  signal: AbortSignal,
): Promise<ServedCluster | undefined> {
  const { config, rng } = environment;
  const membership = await MembershipFile.load(config.data_dir, rng);
  if (membership?.content.phase !== "member") return undefined;
  const secrets = await openSecrets(environment, membership);
  const found = await findReturn(environment, secrets, membership);
  if (found.kind === "removed") {
    await forgetCluster(environment);
    return undefined;
  }
  if (found.kind === "again") {
    await putAside(environment);
    const { members, recovery } = found;
    await membership.update({ recovery, members: [...members] });
  }
  const seat =
    found.kind === "again"
      ? { voter: false, join: found.members.map(({ raft }) => raft), fresh: true }
      : await seatFor(environment, secrets, membership);
  const opened = await openStore(
    environment,
    { ...secrets, ...seat, membership, until: "answering" },
    signal,
  );
  return orClose(opened, async () => {
    const { raft, url } = opened.rqlited;
    const own = { raft, voter: seat.voter };
    const members = [...membership.others(config.host_id), { id: config.host_id, url, ...own }];
    await membership.update({ own, members });
    return serve({ environment, membership, opened, ...secrets }, "again", signal);
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
  const { membership, key } = await begin(environment, clusterId);
  const secrets = await openSecrets(environment, membership);
  const seat = { ...secrets, membership, voter: true, fresh: true, until: "ready" } as const;
  const opened = await openStore(environment, seat, signal);
  return orClose(opened, async () => {
    await migrateStore(environment, opened, signal);
    const { rqlited } = opened;
    await writeCluster({ environment, opened, membership, ...secrets }, clusterId, signal);
    const own = { raft: rqlited.raft, voter: true };
    const { host_id: id } = environment.config;
    await membership.update({
      phase: "member",
      cluster_id: clusterId,
      own,
      members: [{ id, url: rqlited.url, ...own }],
    });
    const cluster = await serve({ environment, membership, opened, ...secrets }, "first", signal);
    return { cluster, recoveryKey: key.recoveryText() };
  });
}

interface JoinRequest {
  readonly token: Secret;
  readonly serverUrls: readonly string[];
}

/**
 * Joins the cluster of the token; serves it then. Throws OperationError for what the members refuse. What was
 * granted may be outdated a moment later, when passwords are replaced meanwhile: then it is asked for once more.
 */
export async function joinCluster(
  environment: ServerEnvironment,
  request: JoinRequest,
  signal: AbortSignal,
): Promise<ServedCluster> {
  try {
    return await joinOnce(environment, request, signal);
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.kind !== "retryable") throw thrown;
    signal.throwIfAborted();
    environment.log.warn("could not join yet, asks again", { error: messageOf(thrown) });
    return joinOnce(environment, request, signal);
  }
}

async function joinOnce(
  environment: ServerEnvironment,
  request: JoinRequest,
  signal: AbortSignal,
): Promise<ServedCluster> {
  const { membership, tokenId } = await takeSeat(environment, request.token, request.serverUrls);
  const secrets = await openSecrets(environment, membership);
  const others = membership.others(environment.config.host_id).map(({ raft }) => raft);
  const seat = { voter: false, join: others, fresh: true, until: "ready" } as const;
  const opened = await openStore(environment, { ...secrets, ...seat, membership }, signal);
  return orClose(opened, async () => {
    await migrateStore(environment, opened, signal);
    await membership.update({
      phase: "member",
      unanswered_join: tokenId,
      own: { raft: opened.rqlited.raft, voter: false },
    });
    try {
      return await serve({ environment, membership, opened, ...secrets }, "first", signal);
    } catch (thrown) {
      await membership.update({ phase: "joining" });
      throw thrown;
    }
  });
}

/** The files of a new cluster, or those of an init that was cut short. */
async function begin(
  environment: ServerEnvironment,
  clusterId: string,
): Promise<{ readonly membership: MembershipFile; readonly key: ClusterKey }> {
  const { config, clock, rng } = environment;
  const path = clusterKeyPath(config);
  const known = await MembershipFile.load(config.data_dir, rng);
  if (known?.content.phase === "initializing" && existsSync(path)) {
    return { membership: known, key: await loadClusterKey(path) };
  }
  if (known) await forget(environment);
  const key = existsSync(path) ? await loadClusterKey(path) : newClusterKey(rng);
  if (!existsSync(path)) await saveClusterKey(path, key, rng);
  const authority = await createAuthority(`pgherd ${clusterId}`, clock.nowMs(), rng);
  const sealer = createSealer(key, rng);
  const membership = await MembershipFile.create(config.data_dir, rng, {
    phase: "initializing",
    cluster_id: clusterId,
    ca_certificate: authority.certificatePem,
    ca_key: sealer.seal(authority.privateKeyPem, CA_KEY_PLACE),
    registered: false,
    clustered: false,
    recovery: 0,
    members: [],
  });
  return { membership, key };
}

/** What this host was trusted with by a cluster that it does not belong to any more. */
export async function forgetCluster(environment: ServerEnvironment): Promise<void> {
  const { config, rng, log } = environment;
  const membership = await MembershipFile.load(config.data_dir, rng);
  await membership?.update({ phase: "removed", ca_key: "" });
  await forget(environment);
  log.warn("belongs to no cluster any more; its key, passwords and copy of the store are gone");
}

/** What is left of a join that failed, or of a cluster that this host was removed from. */
async function forget(environment: ServerEnvironment): Promise<void> {
  const { config } = environment;
  await endStore(environment);
  await rm(rqlitedPaths(config.data_dir).directory, { recursive: true, force: true });
  await rm(clusterKeyPath(config), { force: true });
}

async function writeCluster(member: Member, clusterId: string, signal: AbortSignal): Promise<void> {
  const { environment, opened, membership, sealer, authority } = member;
  const { clock, rng, ids } = environment;
  const { db } = opened.store;
  const present = await loadCluster(db, sealer);
  if (present) return checkSame(present.caCertificatePem, membership);
  const nowMs = clock.nowMs();
  const joinToken = newJoinToken(authority.certificatePem, rng);
  const { id, secret } = must(parseJoinToken(joinToken), "the parts of a new token");
  const record = {
    id: clusterId,
    caCertificatePem: authority.certificatePem,
    caPrivateKeyPem: authority.privateKeyPem,
    joinToken,
    createdAtMs: nowMs,
  };
  const times = { createdAtMs: nowMs, expiresAtMs: null, revokedAtMs: null };
  const outcome = await opened.store.commit(
    {
      opId: ids.uuid(),
      guards: [noClusterGuard(db)],
      statements: [
        insertCluster(db, sealer, record),
        insertJoinToken(db, sealer, { record: { id, role: "voter", ...times }, secret }),
      ],
    },
    signal,
  );
  if (!outcome.ok) throw new AppError("retryable", "another init was quicker");
}

function checkSame(caCertificate: string, membership: MembershipFile): void {
  if (caCertificate.trim() === membership.content.ca_certificate.trim()) return;
  const message = "the data directory holds the store of another cluster: move it away";
  throw new AppError("terminal", message);
}

async function orClose<T>(opened: OpenedStore, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (thrown) {
    await opened.rqlited.stop();
    throw thrown;
  }
}
