// Routes of databases.
import { Type } from "@sinclair/typebox";
import { requestKeyCharsMax } from "../base/limits.ts";
import { closed } from "../spec/closed.ts";
import {
  ApplyUpgradeRequest,
  ApplyUpgradeResponse,
  CreateDatabaseRequest,
  CreateDatabaseResponse,
  Database,
  DeleteDatabaseResponse,
  ListDatabasesResponse,
  RestoreDatabaseRequest,
  RestoreDatabaseResponse,
  UpdateDatabaseRequest,
  UpdateDatabaseResponse,
} from "../spec/database.ts";
import { PlanView } from "../spec/plan-view.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import { MalformedRequest } from "./malformed.ts";
import { notInThisVersion } from "./not-yet.ts";
import { DatabasePath, dryRun, Force, force, IdempotencyHeader, include } from "./parameters.ts";

export function databaseEndpoints(): readonly Endpoint[] {
  return [
    listDatabases,
    createDatabase,
    getDatabase,
    updateDatabase,
    deleteDatabase,
    upgradeDatabase,
    restoreDatabase,
  ];
}

const listDatabases = endpoint({
  method: "GET",
  path: "/v1/databases",
  operationId: "list-databases",
  tag: "Database",
  summary: "All databases",
  query: closed({ include }),
  answers: { 200: ListDatabasesResponse },
  errors: [400, 409],
  handle: async ({ operations }) => ({ databases: await operations.listDatabases() }),
});

const createDatabase = endpoint({
  method: "POST",
  path: "/v1/databases",
  operationId: "create-database",
  tag: "Database",
  summary: "Create a database",
  description: "Answers at once with the task that creates it.",
  headers: IdempotencyHeader,
  query: closed({ dry_run: dryRun }),
  body: CreateDatabaseRequest,
  answers: { 200: Type.Union([CreateDatabaseResponse, PlanView]) },
  errors: [400, 409],
  async handle({ operations, query, body, headers }) {
    if (query.dry_run) return operations.planCreate(body);
    return operations.createDatabase(body, idempotencyKey(headers));
  },
});

const getDatabase = endpoint({
  method: "GET",
  path: "/v1/databases/{database_id}",
  operationId: "get-database",
  tag: "Database",
  summary: "One database",
  params: DatabasePath,
  query: closed({ include }),
  answers: { 200: Database },
  errors: [400, 404, 409],
  handle: ({ operations, params }) =>
    operations.getDatabase(identifier("database_id", params.database_id)),
});

const updateDatabase = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}",
  operationId: "update-database",
  tag: "Database",
  summary: "Change a database",
  description: "The spec replaces the stored one; secrets that it leaves out are kept.",
  params: DatabasePath,
  query: closed({
    force_update: force,
    remove_host: Type.Optional(Type.Array(Type.String(), { allowEmptyValue: true })),
    dry_run: dryRun,
  }),
  body: UpdateDatabaseRequest,
  answers: { 200: Type.Union([UpdateDatabaseResponse, PlanView]) },
  errors: [400, 404, 409],
  async handle({ operations, params, query, body }) {
    const databaseId = identifier("database_id", params.database_id);
    const removed = (query.remove_host ?? []).map((id) => identifier("remove_host", id));
    const forced = query.force_update ?? false;
    if (query.dry_run) return operations.planUpdate(databaseId, body, forced, removed);
    return operations.updateDatabase(databaseId, body, forced, removed);
  },
});

const deleteDatabase = endpoint({
  method: "DELETE",
  path: "/v1/databases/{database_id}",
  operationId: "delete-database",
  tag: "Database",
  summary: "Delete a database and its data",
  params: DatabasePath,
  query: closed({ force, dry_run: dryRun }),
  answers: { 200: Type.Union([DeleteDatabaseResponse, PlanView]) },
  errors: [400, 404, 409],
  async handle({ operations, params, query }) {
    const databaseId = identifier("database_id", params.database_id);
    if (query.dry_run) return operations.planDelete(databaseId, query.force ?? false);
    return operations.deleteDatabase(databaseId, query.force ?? false);
  },
});

const upgradeDatabase = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/upgrade",
  operationId: "apply-upgrade",
  tag: "Database",
  summary: "Upgrade PostgreSQL of a database",
  params: DatabasePath,
  body: ApplyUpgradeRequest,
  answers: { 200: ApplyUpgradeResponse },
  errors: [400, 404, 409],
  handle: () => notInThisVersion("upgrading"),
});

const restoreDatabase = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/restore",
  operationId: "restore-database",
  tag: "Database",
  summary: "Restore a database from a backup",
  params: DatabasePath,
  query: Force,
  body: RestoreDatabaseRequest,
  answers: { 200: RestoreDatabaseResponse },
  errors: [400, 404, 409],
  handle: () => notInThisVersion("restoring"),
});

/** The key that makes a repeated create harmless; undefined = none given. */
function idempotencyKey(headers: Headers): string | undefined {
  const key = headers.get("idempotency-key");
  if (key === null) return undefined;
  if (key.length >= 1 && key.length <= requestKeyCharsMax) return key;
  const message = `must have 1 to ${requestKeyCharsMax} characters`;
  throw MalformedRequest.of("invalid_length", "header.Idempotency-Key", message);
}
