// Seals the secrets inside a spec before it is stored, and opens them after it was read. User passwords are not
// among them: they are SCRAM verifiers already.
import { Secret } from "../base/secret.ts";
import type { RestoreConfigSpec, RestoreRepositorySpec } from "../spec/backup-spec.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import { isRecord } from "../spec/present.ts";
import { isSecretKey, isSecretOption, REPOSITORY_SECRETS } from "../spec/secret-fields.ts";
import { isSealed, type Sealer } from "./sealing.ts";

/** The spec with every secret sealed for this database. */
export function sealSpec(spec: DatabaseSpec, sealer: Sealer, databaseId: string): DatabaseSpec {
  const context = contextOf(databaseId);
  return mapSecrets(spec, (value) => sealer.seal(new Secret(JSON.stringify(value)), context));
}

/** The spec as it was before sealSpec. */
export function openSpec(spec: DatabaseSpec, sealer: Sealer, databaseId: string): DatabaseSpec {
  const context = contextOf(databaseId);
  return mapSecrets(spec, (value) => {
    if (typeof value !== "string" || !isSealed(value)) return value;
    return JSON.parse(sealer.open(value, context).reveal());
  });
}

function contextOf(databaseId: string): string {
  return `databases/${databaseId}/spec`;
}

type Change = (value: unknown) => unknown;

function mapSecrets(spec: DatabaseSpec, change: Change): DatabaseSpec {
  const changed = structuredClone(spec);
  for (const service of changed.services ?? []) {
    if (service.config !== undefined) service.config = mapConfig(service.config, change);
  }
  for (const level of [changed, ...changed.nodes]) {
    for (const repository of level.backup_config?.repositories ?? []) {
      mapRepository(repository, change);
    }
    if (level.restore_config !== undefined) mapRestore(level.restore_config, change);
  }
  return changed;
}

function mapConfig(config: Record<string, unknown>, change: Change): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [
      key,
      isSecretKey(key) ? change(value) : mapValue(value, change),
    ]),
  );
}

function mapValue(value: unknown, change: Change): unknown {
  if (Array.isArray(value)) return value.map((item) => mapValue(item, change));
  return isRecord(value) ? mapConfig(value, change) : value;
}

function mapRestore(config: RestoreConfigSpec, change: Change): void {
  mapRepository(config.repository, change);
  mapOptions(config.restore_options, change);
}

function mapRepository(repository: RestoreRepositorySpec, change: Change): void {
  for (const field of REPOSITORY_SECRETS) {
    const value = repository[field];
    if (value !== undefined) repository[field] = String(change(value));
  }
  mapOptions(repository.custom_options, change);
}

function mapOptions(options: Record<string, string> | undefined, change: Change): void {
  if (options === undefined) return;
  for (const [name, value] of Object.entries(options)) {
    if (isSecretOption(name)) options[name] = String(change(value));
  }
}
