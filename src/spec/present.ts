// The public view of a spec: the same object without its secrets.
import type { BackupConfigSpec, RestoreConfigSpec, RestoreRepositorySpec } from "./backup-spec.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { isSecretKey, isSecretOption, REPOSITORY_SECRETS } from "./secret-fields.ts";

/** The spec without passwords, credentials and secret options; everything else is exactly as it was given. */
export function presentSpec(spec: DatabaseSpec): DatabaseSpec {
  const shown = structuredClone(spec);
  for (const user of shown.database_users ?? []) delete user.password;
  for (const service of shown.services ?? []) {
    if (service.config !== undefined) service.config = withoutSecretKeys(service.config);
  }
  for (const level of [shown, ...shown.nodes]) {
    delete level.patroni_authentication?.password;
    hideBackup(level.backup_config);
    hideRestore(level.restore_config);
  }
  return shown;
}

/** A copy of a service's configuration without secrets at any depth. */
export function withoutSecretKeys(
  config: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config)
      .filter(([key]) => !isSecretKey(key))
      .map(([key, value]) => [key, withoutSecrets(value)]),
  );
}

/** The same for any value inside of it. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  return isRecord(value) ? withoutSecretKeys(value) : value;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hideBackup(config: BackupConfigSpec | undefined): void {
  for (const repository of config?.repositories ?? []) hideRepository(repository);
}

function hideRestore(config: RestoreConfigSpec | undefined): void {
  if (config === undefined) return;
  hideRepository(config.repository);
  hideOptions(config.restore_options);
}

function hideRepository(repository: RestoreRepositorySpec): void {
  for (const field of REPOSITORY_SECRETS) delete repository[field];
  hideOptions(repository.custom_options);
}

function hideOptions(options: Record<string, string> | undefined): void {
  for (const name of Object.keys(options ?? {})) {
    if (isSecretOption(name)) delete options?.[name];
  }
}
