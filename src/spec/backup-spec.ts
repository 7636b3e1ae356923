// Where backups go, when they are made, and where a restore comes from.
import { type Static, Type } from "@sinclair/typebox";
import { closed, mapOf, oneOf } from "./closed.ts";
import { DatabaseName, Identifier, NodeName } from "./fields.ts";

export const REPOSITORY_TYPES = ["s3", "gcs", "azure", "posix", "cifs"] as const;
export type RepositoryType = (typeof REPOSITORY_TYPES)[number];

const repositoryFields = {
  id: Type.Optional(Identifier),
  type: oneOf(REPOSITORY_TYPES),
  s3_bucket: Type.Optional(Type.String({ minLength: 3, maxLength: 63 })),
  s3_region: Type.Optional(Type.String({ minLength: 1, maxLength: 32 })),
  s3_endpoint: Type.Optional(Type.String({ minLength: 3, maxLength: 128 })),
  s3_key: Type.Optional(Type.String({ maxLength: 128 })),
  s3_key_secret: Type.Optional(Type.String({ maxLength: 128 })),
  gcs_bucket: Type.Optional(Type.String({ minLength: 3, maxLength: 63 })),
  gcs_endpoint: Type.Optional(Type.String({ minLength: 3, maxLength: 128 })),
  gcs_key: Type.Optional(Type.String({ maxLength: 1024 })),
  azure_account: Type.Optional(Type.String({ minLength: 3, maxLength: 24 })),
  azure_container: Type.Optional(Type.String({ minLength: 3, maxLength: 63 })),
  azure_endpoint: Type.Optional(Type.String({ minLength: 3, maxLength: 128 })),
  azure_key: Type.Optional(Type.String({ maxLength: 128 })),
  base_path: Type.Optional(Type.String({ maxLength: 256 })),
  custom_options: Type.Optional(mapOf(Type.String())),
};

export const BackupRepositorySpec = closed({
  ...repositoryFields,
  retention_full: Type.Optional(Type.Integer({ format: "int64", minimum: 1, maximum: 9999999 })),
  retention_full_type: Type.Optional(oneOf(["time", "count"])),
});
export type BackupRepositorySpec = Static<typeof BackupRepositorySpec>;

export const RestoreRepositorySpec = closed(repositoryFields);
export type RestoreRepositorySpec = Static<typeof RestoreRepositorySpec>;

export const BackupScheduleSpec = closed({
  id: Type.String({ maxLength: 64 }),
  type: oneOf(["full", "incr"]),
  /** Five fields, UTC. */
  cron_expression: Type.String({ maxLength: 32 }),
});
export type BackupScheduleSpec = Static<typeof BackupScheduleSpec>;

export const BackupConfigSpec = closed({
  repositories: Type.Array(BackupRepositorySpec, { minItems: 1 }),
  schedules: Type.Optional(Type.Array(BackupScheduleSpec, { maxItems: 32 })),
});
export type BackupConfigSpec = Static<typeof BackupConfigSpec>;

export const RestoreConfigSpec = closed({
  source_database_id: Identifier,
  source_node_name: NodeName,
  source_database_name: DatabaseName,
  repository: RestoreRepositorySpec,
  restore_options: Type.Optional(mapOf(Type.String(), { maxLength: 32, maxProperties: 32 })),
});
export type RestoreConfigSpec = Static<typeof RestoreConfigSpec>;

export const BackupOptions = closed({
  type: oneOf(["full", "diff", "incr"]),
  annotations: Type.Optional(mapOf(Type.String())),
  backup_options: Type.Optional(mapOf(Type.String())),
});
export type BackupOptions = Static<typeof BackupOptions>;
