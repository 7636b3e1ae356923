// Which fields of a spec are secrets. present.ts drops them, retain.ts brings them back.
import type { RestoreRepositorySpec } from "./backup-spec.ts";

export const REPOSITORY_SECRETS = ["s3_key", "s3_key_secret", "gcs_key", "azure_key"] as const;

/** What makes two repositories the same one: their credentials may be used for each other. */
const REPOSITORY_IDENTITY = [
  "type",
  "id",
  "s3_bucket",
  "s3_region",
  "s3_endpoint",
  "gcs_bucket",
  "gcs_endpoint",
  "azure_account",
  "azure_container",
  "azure_endpoint",
  "base_path",
] as const;

const SECRET_WORDS = [
  "password",
  "secret",
  "api_key",
  "apikey",
  "api-key",
  "credential",
  "private_key",
  "private-key",
  "access_key",
  "access-key",
  "init_users",
];

/** Text that is equal for repositories at the same place, whatever their credentials and options. */
export function repositoryIdentity(repository: RestoreRepositorySpec): string {
  return JSON.stringify(REPOSITORY_IDENTITY.map((field) => repository[field] ?? null));
}

/** Whether a key of a service's configuration holds a secret. */
export function isSecretKey(key: string): boolean {
  const lower = key.toLowerCase();
  if (lower === "token" || lower.endsWith("_token")) return true;
  return SECRET_WORDS.some((word) => lower.includes(word));
}

/** Whether an option of a backup repository holds a secret, e.g. `cipher-pass` or `s3-token`. */
export function isSecretOption(name: string): boolean {
  return /(?:^|-)(?:pass|passphrase|key|key-secret|token)$/.test(name);
}
