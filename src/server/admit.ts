// A member lets a host in: it checks the token and the name, makes room for it in the store, and answers
// what a member has to know, sealed under the token's secret.
import { createHmac, timingSafeEqual } from "node:crypto";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { Secret } from "../base/secret.ts";
import { invalidInput, OperationError } from "../operations/errors.ts";
import { openJoin, sealJoin } from "../pki/join-seal.ts";
import type { JoinOptionsRequest, JoinOptionsResponse } from "../spec/cluster.ts";
import { identifierProblem } from "../spec/ids.ts";
import type { ClusterKey } from "../store/cluster-key.ts";
import { listHosts } from "../store/hosts.ts";
import { loadJoinToken } from "../store/join-tokens.ts";
import { removeNode } from "../store/rqlite-nodes.ts";
import { sentUsers } from "../store/rqlited-files.ts";
import { clusterTiming } from "../store/rqlited-process.ts";
import type { Sealer } from "../store/sealing.ts";
import type { ServerEnvironment } from "./environment.ts";
import type { HostCertificate } from "./host-certificate.ts";
import type { MembershipFile } from "./membership.ts";
import { nodesOf, type OpenedStore } from "./open-store.ts";
import type { StoreUsers } from "./store-users.ts";

/** What the joining host says of itself. */
export const JoinStatement = Type.Object({
  host_id: Type.String(),
  voter: Type.Boolean(),
  /** Shows that an earlier try of the same host was let in: the name is its own. */
  proof: Type.Optional(Type.String()),
});

/** What it learns. */
export const JoinGrant = Type.Object({
  cluster_id: Type.String(),
  ca_certificate: Type.String(),
  /** Sealed under the cluster key. */
  ca_key: Type.String(),
  /** As recovery text. */
  cluster_key: Type.String(),
  recovery: Type.Integer(),
  users: Type.Array(Type.Object({ username: Type.String(), password: Type.String() })),
  store_users_ms: Type.Optional(Type.Number()),
  members: Type.Array(
    Type.Object({
      id: Type.String(),
      url: Type.String(),
      raft: Type.String(),
      voter: Type.Boolean(),
    }),
  ),
});
export type JoinGrant = Static<typeof JoinGrant>;

export interface AdmitParts {
  readonly environment: ServerEnvironment;
  readonly opened: OpenedStore;
  readonly membership: MembershipFile;
  readonly certificate: HostCertificate;
  readonly sealer: Sealer;
  readonly key: ClusterKey;
  readonly storeUsers: Pick<StoreUsers, "settled">;
}

/** Proof of the cluster key that names one host. */
export function joinProof(key: ClusterKey, hostId: string): string {
  return createHmac("sha256", key.bytes()).update(`pgherd join proof\0${hostId}`).digest("hex");
}

/** Answers a joining host, or throws invalid_join_token or invalid_input. */
export async function admit(
  parts: AdmitParts,
  request: JoinOptionsRequest,
): Promise<JoinOptionsResponse> {
  const { environment, opened, sealer, key } = parts;
  const { db } = opened.store;
  const nowMs = environment.clock.nowMs();
  const token = await loadJoinToken(db, sealer, request.token_id);
  if (!token) throw refused("the cluster does not know it");
  const { record, secret } = token;
  if (record.revokedAtMs !== null) throw refused("it was revoked");
  if (record.expiresAtMs !== null && record.expiresAtMs <= nowMs) throw refused("it has expired");
  const channel = { secret, nonce: request.nonce, hostId: request.host_id };
  const opening = openJoin(channel, "request", request.sealed);
  const statement: unknown = opening && JSON.parse(opening.reveal());
  if (!Value.Check(JoinStatement, statement)) throw refused("it is not the whole token");
  if (record.role === "non_voter" && statement.voter) {
    throw invalid("etcd_mode", "this token lets in hosts with `etcd_mode: client` only");
  }
  await checkName(parts, request.host_id, statement.proof);
  await parts.storeUsers.settled();
  await becomePatient(parts);
  // What an earlier try left there would come back with other data.
  const nodes = nodesOf(environment, { ...parts, rqlited: opened.rqlited });
  await removeNode(nodes, environment.clock, request.host_id);
  environment.log.component("cluster").info("lets a host in", {
    hostId: request.host_id,
    token: record.id,
  });
  const grant = grantOf(parts, key);
  const text = new Secret(JSON.stringify(grant));
  return { sealed: sealJoin(channel, "answer", text, environment.rng) };
}

async function checkName(
  { environment, opened, key }: AdmitParts,
  hostId: string,
  proof: string | undefined,
): Promise<void> {
  const problem = identifierProblem(hostId);
  if (problem !== undefined) throw invalid("host_id", problem);
  if (hostId === environment.config.host_id) throw taken(hostId);
  const [host] = await listHosts(opened.store.db, [hostId]);
  if (host && !proves(proof, joinProof(key, hostId))) throw taken(hostId);
}

function proves(offered: string | undefined, expected: string): boolean {
  if (offered === undefined || offered.length !== expected.length) return false;
  return timingSafeEqual(Buffer.from(offered), Buffer.from(expected));
}

/** A lone member elects itself in a hurry; with others that would disturb them. */
async function becomePatient({ environment, opened, membership }: AdmitParts): Promise<void> {
  if (membership.content.clustered) return;
  await membership.update({ clustered: true });
  const timing = clusterTiming(environment.config.store.leader_timeout_ms);
  await opened.rqlited.restart({ timing });
}

function grantOf({ environment, opened, membership }: AdmitParts, key: ClusterKey): JoinGrant {
  const { cluster_id, ca_certificate, ca_key, recovery, store_users_ms } = membership.content;
  const { users, url, raft } = opened.rqlited;
  const { host_id: id } = environment.config;
  const own = { id, url, raft, voter: membership.content.own?.voter ?? true };
  return {
    cluster_id,
    ca_certificate,
    ca_key,
    recovery,
    cluster_key: key.recoveryText().reveal(),
    users: [...sentUsers(users)],
    ...(store_users_ms === undefined ? {} : { store_users_ms }),
    members: [own, ...membership.others(id)],
  };
}

function refused(why: string): OperationError {
  return new OperationError("invalid_join_token", `the join token is not valid: ${why}`);
}

function invalid(path: string, message: string): OperationError {
  return invalidInput([{ path, code: "invalid", message }]);
}

function taken(hostId: string): OperationError {
  const message = `host ${hostId} is a member already: give this host another host_id, or remove that one`;
  return invalidInput([{ path: "host_id", code: "already_exists", message }]);
}
