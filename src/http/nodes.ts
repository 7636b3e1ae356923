// Routes of the nodes of a database.
import { BackupOptions } from "../spec/backup-spec.ts";
import {
  BackupDatabaseNodeResponse,
  FailoverDatabaseNodeRequest2,
  FailoverDatabaseNodeResponse,
  SwitchoverDatabaseNodeRequestBody,
  SwitchoverDatabaseNodeResponse,
} from "../spec/requests.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
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
      handle: () => notInThisVersion("a switchover"),
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
      handle: () => notInThisVersion("a failover"),
    }),
  ];
}
