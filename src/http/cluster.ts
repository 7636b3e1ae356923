// Routes of the cluster: its making, its members' way in, its state.
import { Type } from "@sinclair/typebox";
import { storeBackupBytesMax } from "../base/limits.ts";
import { closed } from "../spec/closed.ts";
import {
  Cluster,
  ClusterJoinToken,
  CreateJoinTokenRequest,
  CreateJoinTokenResponse,
  JoinOptionsRequest,
  JoinOptionsResponse,
  JoinTokenInfo,
  ListJoinTokensResponse,
  RecoverQuorumResponse,
  RotateCertificatesResponse,
} from "../spec/cluster.ts";
import { type Endpoint, endpoint, type Method } from "./endpoint.ts";

const InitQuery = closed({
  cluster_id: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 36,
      allowEmptyValue: true,
      description: "Absent = a random UUID.",
    }),
  ),
});

export function clusterEndpoints(): readonly Endpoint[] {
  return [
    initCluster("GET", "init-cluster"),
    initCluster("POST", "init-cluster-post"),
    endpoint({
      method: "POST",
      path: "/v1/cluster/join",
      operationId: "join-cluster",
      tag: "Cluster",
      summary: "Join this host to a cluster",
      beforeInit: true,
      body: ClusterJoinToken,
      answers: { 204: null },
      errors: [400, 401, 409],
      upgradeBody: withServerUrls,
      handle: async ({ operations, body }) => {
        await operations.joinCluster(body);
        return new Response(null, { status: 204 });
      },
    }),
    ...tokenEndpoints(),
    ...maintenanceEndpoints(),
    endpoint({
      method: "GET",
      path: "/v1/cluster/join-token",
      operationId: "get-join-token",
      tag: "Cluster",
      summary: "Token that another host joins with",
      answers: { 200: ClusterJoinToken },
      errors: [409],
      handle: ({ operations }) => operations.joinToken(),
    }),
    endpoint({
      method: "POST",
      path: "/v1/internal/cluster/join-options",
      operationId: "get-join-options",
      tag: "Cluster",
      summary: "What a joining host needs to know",
      hidden: true,
      body: JoinOptionsRequest,
      answers: { 200: JoinOptionsResponse },
      errors: [400, 401, 409],
      handle: ({ operations, body }) => operations.admit(body),
    }),
    endpoint({
      method: "GET",
      path: "/v1/cluster",
      operationId: "get-cluster",
      tag: "Cluster",
      summary: "The cluster and its hosts",
      answers: { 200: Cluster },
      errors: [409],
      handle: ({ operations }) => operations.getCluster(),
    }),
  ];
}

const TokenPath = closed({ token_id: Type.String({ pattern: "^[0-9a-f]{16}$" }) });

function tokenEndpoints(): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/v1/cluster/join-tokens",
      operationId: "list-join-tokens",
      tag: "Cluster",
      summary: "All join tokens, without their texts",
      answers: { 200: ListJoinTokensResponse },
      errors: [409],
      handle: async ({ operations }) => ({ tokens: await operations.listJoinTokens() }),
    }),
    endpoint({
      method: "POST",
      path: "/v1/cluster/join-tokens",
      operationId: "create-join-token",
      tag: "Cluster",
      summary: "Create a join token with a role and an end",
      body: CreateJoinTokenRequest,
      answers: { 200: CreateJoinTokenResponse },
      errors: [400, 409],
      handle: ({ operations, body }) => operations.createJoinToken(body),
    }),
    endpoint({
      method: "DELETE",
      path: "/v1/cluster/join-tokens/{token_id}",
      operationId: "revoke-join-token",
      tag: "Cluster",
      summary: "Let nobody in with this token any more",
      params: TokenPath,
      answers: { 200: JoinTokenInfo },
      errors: [400, 404, 409],
      handle: ({ operations, params }) => operations.revokeJoinToken(params.token_id),
    }),
  ];
}

function maintenanceEndpoints(): readonly Endpoint[] {
  return [
    endpoint({
      method: "POST",
      path: "/v1/cluster/recover-quorum",
      operationId: "recover-quorum",
      tag: "Cluster",
      summary: "Go on with this host alone when the other members are lost",
      description:
        "Refused while the store has a leader. Other hosts that come back follow this one; what only they had is lost.",
      answers: { 200: RecoverQuorumResponse },
      errors: [400, 409],
      handle: ({ operations }) => operations.recoverQuorum(),
    }),
    endpoint({
      method: "POST",
      path: "/v1/cluster/rotate-certs",
      operationId: "rotate-certificates",
      tag: "Cluster",
      summary: "Have every host replace its certificate",
      answers: { 200: RotateCertificatesResponse },
      errors: [409],
      handle: ({ operations }) => operations.rotateCertificates(),
    }),
    endpoint({
      method: "GET",
      path: "/v1/cluster/backup",
      operationId: "backup-store",
      tag: "Cluster",
      summary: "The store as an SQLite file; secrets in it are sealed",
      answers: { 200: null },
      errors: [409],
      handle: ({ operations }) => operations.backup(),
    }),
    endpoint({
      method: "POST",
      path: "/v1/cluster/restore",
      operationId: "restore-store",
      tag: "Cluster",
      summary: "Replace the store's content by a backup",
      description: "Members, tokens and leases stay as they are. The body is the SQLite file.",
      answers: { 204: null },
      errors: [400, 409],
      handle: async ({ operations, bytes }) => {
        await operations.restore(await bytes(storeBackupBytesMax));
        return new Response(null, { status: 204 });
      },
    }),
  ];
}

/** Older clients name one server in `server_url`. */
function withServerUrls(body: unknown): unknown {
  if (typeof body !== "object" || body === null || !("server_url" in body)) return body;
  const { server_url: url, ...rest } = body;
  return "server_urls" in rest ? rest : { ...rest, server_urls: [url] };
}

function initCluster(method: Method, operationId: string): Endpoint {
  return endpoint({
    method,
    path: "/v1/cluster/init",
    operationId,
    tag: "Cluster",
    summary: "Make a cluster of this host",
    beforeInit: true,
    mutates: true,
    query: InitQuery,
    answers: { 200: ClusterJoinToken },
    errors: [400, 409],
    handle: ({ operations, query }) => operations.initCluster(query.cluster_id),
  });
}
