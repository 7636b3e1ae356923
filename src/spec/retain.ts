// What an update keeps of the stored spec although the request does not repeat it: secrets, which
// users never get to see, and versions.
import { isDeepStrictEqual } from "node:util";
import type { BackupConfigSpec, RestoreConfigSpec, RestoreRepositorySpec } from "./backup-spec.ts";
import type { DatabaseSpec, RestAuthenticationSpec } from "./database-spec.ts";
import { isRecord, withoutSecrets } from "./present.ts";
import {
  isSecretKey,
  isSecretOption,
  REPOSITORY_SECRETS,
  repositoryIdentity,
} from "./secret-fields.ts";

/** What both a database and a node have. */
interface Level {
  postgres_version?: string;
  backup_config?: BackupConfigSpec;
  restore_config?: RestoreConfigSpec;
  patroni_authentication?: RestAuthenticationSpec;
}

/**
 * The next spec with what it omits and the previous has: passwords by username, credentials by the
 * place of their repository on the same level, secrets of services by service id, versions by node
 * name. Credentials never move to a repository at another place.
 */
export function retainSecrets(previous: DatabaseSpec, next: DatabaseSpec): DatabaseSpec {
  const kept = structuredClone(next);
  if (kept.spock_version === undefined && previous.spock_version !== undefined) {
    kept.spock_version = previous.spock_version;
  }
  keepLevel(previous, kept);
  for (const [before, node] of pairs(previous.nodes, kept.nodes, ({ name }) => name)) {
    keepLevel(before, node);
  }
  const users = pairs(previous.database_users, kept.database_users, ({ username }) => username);
  for (const [before, user] of users) {
    if (user.password === undefined && before.password !== undefined)
      user.password = before.password;
  }
  const services = pairs(previous.services, kept.services, ({ service_id }) => service_id);
  for (const [before, service] of services) {
    const config = keepSecretKeys(before.config, service.config);
    if (isRecord(config)) service.config = config;
  }
  return kept;
}

function keepLevel(before: Level, level: Level): void {
  if (level.postgres_version === undefined && before.postgres_version !== undefined) {
    level.postgres_version = before.postgres_version;
  }
  const repositories = pairs(
    before.backup_config?.repositories,
    level.backup_config?.repositories,
    repositoryIdentity,
  );
  for (const [old, repository] of repositories) keepRepository(old, repository);
  keepRestore(before.restore_config, level.restore_config);
  const [was, is] = [before.patroni_authentication, level.patroni_authentication];
  if (is && is.password === undefined && was?.password !== undefined) {
    if (is.username === was.username) is.password = was.password;
  }
}

function keepRestore(
  before: RestoreConfigSpec | undefined,
  restore: RestoreConfigSpec | undefined,
): void {
  if (before === undefined || restore === undefined) return;
  if (repositoryIdentity(before.repository) !== repositoryIdentity(restore.repository)) return;
  keepRepository(before.repository, restore.repository);
  const options = keepSecretOptions(before.restore_options, restore.restore_options);
  if (options !== undefined) restore.restore_options = options;
}

function keepRepository(before: RestoreRepositorySpec, repository: RestoreRepositorySpec): void {
  for (const field of REPOSITORY_SECRETS) {
    const secret = before[field];
    if (repository[field] === undefined && secret !== undefined) repository[field] = secret;
  }
  const options = keepSecretOptions(before.custom_options, repository.custom_options);
  if (options !== undefined) repository.custom_options = options;
}

function keepSecretOptions(
  before: Readonly<Record<string, string>> | undefined,
  options: Record<string, string> | undefined,
): Record<string, string> | undefined {
  const secrets = Object.entries(before ?? {}).filter(([name]) => isSecretOption(name));
  return secrets.length === 0 ? options : { ...Object.fromEntries(secrets), ...options };
}

/**
 * A value of a service's configuration with the secrets that the shown one lacks. Elements of arrays
 * have no name, so an array gets them back only where it is otherwise unchanged.
 */
function keepSecretKeys(before: unknown, value: unknown): unknown {
  if (Array.isArray(before) && Array.isArray(value)) {
    return isDeepStrictEqual(withoutSecrets(before), value) ? before : value;
  }
  if (!isRecord(before) || !isRecord(value)) return value;
  const secrets = Object.entries(before).filter(([key]) => isSecretKey(key));
  const rest = Object.entries(value).map(([key, inner]) => [
    key,
    isSecretKey(key) ? inner : keepSecretKeys(before[key], inner),
  ]);
  return { ...Object.fromEntries(secrets), ...Object.fromEntries(rest) };
}

/** Old and new elements with the same key, each old one used once, in order. */
function pairs<T>(
  before: readonly T[] | undefined,
  after: readonly T[] | undefined,
  key: (item: T) => string,
): readonly (readonly [T, T])[] {
  const unused = [...(before ?? [])];
  return (after ?? []).flatMap((item) => {
    const index = unused.findIndex((old) => key(old) === key(item));
    const [old] = index < 0 ? [] : unused.splice(index, 1);
    return old === undefined ? [] : [[old, item] as const];
  });
}
