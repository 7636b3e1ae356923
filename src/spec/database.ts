// Databases as users see them, and the requests that create, change and delete them.
import { type Static, Type } from "@sinclair/typebox";
import { RestoreConfigSpec } from "./backup-spec.ts";
import { closed, oneOf } from "./closed.ts";
import { DatabaseSpec } from "./database-spec.ts";
import { Identifier, Timestamp } from "./fields.ts";
import { Instance, ServiceInstance } from "./instance.ts";
import { Task } from "./task.ts";

export const DATABASE_STATES = [
  "creating",
  "modifying",
  "available",
  "deleting",
  "degraded",
  "failed",
  "restoring",
  "unknown",
] as const;
export const DatabaseState = oneOf(DATABASE_STATES);
export type DatabaseState = Static<typeof DatabaseState>;

export const AvailableUpgrade = closed({
  postgres_version: Type.String(),
  spock_version: Type.String(),
  image: Type.String(),
});
export type AvailableUpgrade = Static<typeof AvailableUpgrade>;

export const Database = closed({
  id: Identifier,
  tenant_id: Type.Optional(Identifier),
  created_at: Timestamp,
  updated_at: Timestamp,
  state: DatabaseState,
  /** Sorted by node name, then id. */
  instances: Type.Optional(Type.Array(Instance)),
  /** Sorted by service id, then host id. */
  service_instances: Type.Optional(Type.Array(ServiceInstance)),
  /** Without secrets. */
  spec: Type.Optional(DatabaseSpec),
  available_upgrades: Type.Optional(Type.Array(AvailableUpgrade)),
});
export type Database = Static<typeof Database>;

export const DatabaseSummary = closed({
  id: Identifier,
  tenant_id: Type.Optional(Identifier),
  created_at: Timestamp,
  updated_at: Timestamp,
  state: oneOf([...DATABASE_STATES, "backing_up"]),
  instances: Type.Optional(Type.Array(Instance)),
  available_upgrades: Type.Optional(Type.Array(AvailableUpgrade)),
});
export type DatabaseSummary = Static<typeof DatabaseSummary>;

export const ListDatabasesResponse = closed({ databases: Type.Array(DatabaseSummary) });
export type ListDatabasesResponse = Static<typeof ListDatabasesResponse>;

export const CreateDatabaseRequest = closed({
  /** Absent = a random UUID. */
  id: Type.Optional(Identifier),
  tenant_id: Type.Optional(Identifier),
  spec: DatabaseSpec,
});
export type CreateDatabaseRequest = Static<typeof CreateDatabaseRequest>;

export const CreateDatabaseResponse = closed({ task: Task, database: Database });
export type CreateDatabaseResponse = Static<typeof CreateDatabaseResponse>;

export const UpdateDatabaseRequest = closed({
  /** Accepted because clients post back what they fetched; the path decides. */
  id: Type.Optional(Identifier),
  tenant_id: Type.Optional(Identifier),
  spec: DatabaseSpec,
});
export type UpdateDatabaseRequest = Static<typeof UpdateDatabaseRequest>;

export const UpdateDatabaseResponse = closed({ task: Task, database: Database });
export type UpdateDatabaseResponse = Static<typeof UpdateDatabaseResponse>;

export const DeleteDatabaseResponse = closed({ task: Task });
export type DeleteDatabaseResponse = Static<typeof DeleteDatabaseResponse>;

export const RestoreDatabaseRequest = closed({
  restore_config: RestoreConfigSpec,
  target_nodes: Type.Optional(Type.Array(Type.String(), { maxItems: 9 })),
});
export type RestoreDatabaseRequest = Static<typeof RestoreDatabaseRequest>;

export const RestoreDatabaseResponse = closed({
  task: Task,
  node_tasks: Type.Array(Task),
  database: Database,
});
export type RestoreDatabaseResponse = Static<typeof RestoreDatabaseResponse>;

export const ApplyUpgradeRequest = closed({ image: Type.String({ minLength: 1 }) });
export type ApplyUpgradeRequest = Static<typeof ApplyUpgradeRequest>;

export const ApplyUpgradeResponse = closed({ task: Task, database: Database });
export type ApplyUpgradeResponse = Static<typeof ApplyUpgradeResponse>;
