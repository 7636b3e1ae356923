// The cluster, and what hosts exchange when one joins.
import { type Static, Type } from "@sinclair/typebox";
import { closed, oneOf } from "./closed.ts";
import { Identifier, Strings } from "./fields.ts";
import { Host } from "./host.ts";

export const ClusterStatus = closed({ state: oneOf(["available", "error"]) });
export type ClusterStatus = Static<typeof ClusterStatus>;

export const Cluster = closed({
  id: Identifier,
  status: ClusterStatus,
  hosts: Type.Array(Host),
});
export type Cluster = Static<typeof Cluster>;

export const ClusterJoinToken = closed({
  token: Type.String(),
  server_urls: Strings,
  recovery_key: Type.Optional(
    Type.String({
      description:
        "In the answer to init only, once: opens the cluster's secrets when all hosts are lost. Keep it offline.",
    }),
  ),
});
export type ClusterJoinToken = Static<typeof ClusterJoinToken>;

export const ClusterJoinRequest = closed({
  token: Type.String({ pattern: "^PGEDGE-[\\w]{64}-[\\w]{32}$" }),
  host_id: Identifier,
  addresses: Type.Array(Type.String({ minLength: 3, maxLength: 128 })),
  embedded_etcd_enabled: Type.Boolean(),
});
export type ClusterJoinRequest = Static<typeof ClusterJoinRequest>;

export const EtcdClusterMember = closed({
  name: Type.String(),
  peer_urls: Strings,
  client_urls: Strings,
});
export type EtcdClusterMember = Static<typeof EtcdClusterMember>;

/** Certificates and keys are base64 of PEM. */
export const ClusterCredentials = closed({
  username: Type.String(),
  password: Type.String(),
  ca_cert: Type.String(),
  client_cert: Type.String(),
  client_key: Type.String(),
  server_cert: Type.String(),
  server_key: Type.String(),
});
export type ClusterCredentials = Static<typeof ClusterCredentials>;

export const ClusterJoinOptions = closed({
  leader: EtcdClusterMember,
  credentials: ClusterCredentials,
});
export type ClusterJoinOptions = Static<typeof ClusterJoinOptions>;
