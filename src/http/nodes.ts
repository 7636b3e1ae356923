// Routes of the nodes of a database.
import type { NodePlace } from "../operations/node-operations.ts";
import { BackupOptions } from "../spec/backup-spec.ts";
import {
  BackupDatabaseNodeResponse,
  FailoverDatabaseNodeRequest2,
  FailoverDatabaseNodeResponse,
  SwitchoverDatabaseNodeRequestBody,
  SwitchoverDatabaseNodeResponse,
} from "../spec/requests.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import { notInThisVersion } from "./not-yet.ts";
import { Force, NodePath } from "./parameters.ts";

export function nodeEndpoints(): readonly Endpoint[] {
  return [
    endpoint({
      method: "POST",
      path: "/v1/databases/{database_id}/nodes/{node_name}/backups",
      operationId: "backup-database-node",
      tag: "Database",
      summary: "Back up a node",
      params: NodePath,
      query: Force,
      body: BackupOptions,
      answers: { 200: BackupDatabaseNodeResponse },
      errors: [400, 404, 409],
      handle: () => notInThisVersion("backing up"),
    }),
    endpoint({
      method: "POST",
      path: "/v1/databases/{database_id}/nodes/{node_name}/switchover",
      operationId: "switchover-database-node",
      tag: "Database",
      summary: "Make another instance of a node its primary",
      params: NodePath,
      body: SwitchoverDatabaseNodeRequestBody,
      answers: { 200: SwitchoverDatabaseNodeResponse },
      errors: [400, 404, 409],
      description:
        "Nothing is lost. Without a candidate the standby with the most of the primary's changes is taken. " +
        "The task ends when the new primary takes writes; one that is scheduled waits, and can be canceled.",
      async handle({ operations, params, body }) {
        return { task: await operations.nodes.switchover(nodePlace(params), body) };
      },
    }),
    endpoint({
      method: "POST",
      path: "/v1/databases/{database_id}/nodes/{node_name}/failover",
      operationId: "failover-database-node",
      tag: "Database",
      summary: "Replace the lost primary of a node",
      params: NodePath,
      body: FailoverDatabaseNodeRequest2,
      answers: { 200: FailoverDatabaseNodeResponse },
      errors: [400, 404, 409],
      description:
        "Works without the primary, and without its host. While the primary is healthy it is refused, unless " +
        "`skip_validation` says that what the candidate lacks may be lost.",
      async handle({ operations, params, body }) {
        return { task: await operations.nodes.failover(nodePlace(params), body) };
      },
    }),
  ];
}

/** The node that a path names. */
export function nodePlace(params: {
  readonly database_id: string;
  readonly node_name: string;
}): NodePlace {
  return { databaseId: identifier("database_id", params.database_id), nodeName: params.node_name };
}
