// The cluster, and what hosts exchange when one joins.
import { type Static, Type } from "@sinclair/typebox";
import { closed, oneOf } from "./closed.ts";
import { Identifier, Strings, Timestamp } from "./fields.ts";
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

export const JoinRole = oneOf(["voter", "non_voter"]);
export type JoinRole = Static<typeof JoinRole>;

/** A token as it is listed: without the text that lets a host in. */
export const JoinTokenInfo = closed({
  id: Type.String(),
  role: JoinRole,
  state: oneOf(["valid", "expired", "revoked"]),
  created_at: Timestamp,
  expires_at: Type.Optional(Timestamp),
  revoked_at: Type.Optional(Timestamp),
});
export type JoinTokenInfo = Static<typeof JoinTokenInfo>;

export const ListJoinTokensResponse = closed({ tokens: Type.Array(JoinTokenInfo) });
export type ListJoinTokensResponse = Static<typeof ListJoinTokensResponse>;

export const CreateJoinTokenRequest = closed({
  role: Type.Optional(JoinRole),
  expires_in_seconds: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 31_536_000, description: "Absent = it never expires." }),
  ),
});
export type CreateJoinTokenRequest = Static<typeof CreateJoinTokenRequest>;

export const CreateJoinTokenResponse = closed({
  id: Type.String(),
  token: Type.String({ description: "Only in this answer." }),
  server_urls: Strings,
  role: JoinRole,
  expires_at: Type.Optional(Timestamp),
});
export type CreateJoinTokenResponse = Static<typeof CreateJoinTokenResponse>;

export const RecoverQuorumResponse = closed({
  copy: Type.String({ description: "Where the host keeps what was replaced." }),
});
export type RecoverQuorumResponse = Static<typeof RecoverQuorumResponse>;

export const RotateCertificatesResponse = closed({ requested_at: Timestamp });
export type RotateCertificatesResponse = Static<typeof RotateCertificatesResponse>;

/** What a joining host sends to a member. Everything but its name is sealed under the token's secret. */
export const JoinOptionsRequest = closed({
  token_id: Type.String({ pattern: "^[0-9a-f]{16}$" }),
  host_id: Identifier,
  nonce: Type.String({ pattern: "^[0-9a-f]{32}$" }),
  sealed: Type.String({ minLength: 1, maxLength: 65_536 }),
});
export type JoinOptionsRequest = Static<typeof JoinOptionsRequest>;

/** What the member answers, sealed under the same secret. */
export const JoinOptionsResponse = closed({ sealed: Type.String() });
export type JoinOptionsResponse = Static<typeof JoinOptionsResponse>;

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
