// Routes of the cluster: its making, its members' way in, its state.
import { Type } from "@sinclair/typebox";
import { closed } from "../spec/closed.ts";
import {
  Cluster,
  ClusterJoinOptions,
  ClusterJoinRequest,
  ClusterJoinToken,
} from "../spec/cluster.ts";
import { type Endpoint, endpoint, type Method } from "./endpoint.ts";
import { notInThisVersion } from "./not-yet.ts";

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
      handle: () => notInThisVersion("joining a cluster"),
    }),
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
      body: ClusterJoinRequest,
      answers: { 200: ClusterJoinOptions },
      errors: [400, 401, 409],
      handle: () => notInThisVersion("joining a cluster"),
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
