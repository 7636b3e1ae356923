// The three configuration files of an instance as texts. Pure; golden files hold its output.
import { renderConf } from "../../src/postgres/conf.ts";
import { renderLines } from "../../src/postgres/hba.ts";
import { renderIdent } from "../../src/postgres/ident.ts";
import { type ReplicationRole, replicationSettings } from "../../src/postgres/recovery.ts";
import type { InstanceConfig, InstanceLayout } from "../../src/spec/instance-config.ts";

/** Names of the files in the configuration directory. */
export const CONFIGURATION_FILES = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] as const;
export type ConfigurationFile = (typeof CONFIGURATION_FILES)[number];
export type ConfigurationTexts = Readonly<Record<ConfigurationFile, string>>;

/** The port in the socket's name where PostgreSQL listens on no address (manual, `port`). */
export const socketPort = 5432;

const HEADING = "Written by the keeper of this instance. Changes made here are undone.";

/** Names the socket of an instance. */
export function portOf(config: InstanceConfig): number {
  return config.port ?? socketPort;
}

/**
 * Renders the files. What must be for the keeper to reach PostgreSQL, and what `role` says of replication, wins over
 * the plan's settings, which were checked before. Throws a terminal AppError for what cannot be written safely.
 */
export function renderConfiguration(
  config: InstanceConfig,
  layout: InstanceLayout,
  systemUsers: readonly string[],
  role?: ReplicationRole,
): ConfigurationTexts {
  const planned = Object.fromEntries(
    Object.entries(config.parameters).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const settings = {
    log_directory: layout.log_dir,
    ...planned,
    ...(role ? replicationSettings(role, planned) : {}),
    hba_file: `${layout.config_dir}/pg_hba.conf`,
    ident_file: `${layout.config_dir}/pg_ident.conf`,
    listen_addresses: config.port === null ? "" : config.listen_addresses.join(","),
    port: String(portOf(config)),
    unix_socket_directories: layout.run_dir,
  };
  const ident = renderIdent({ systemUsers, userLines: [] });
  return {
    "postgresql.conf": renderConf(settings, HEADING),
    "pg_hba.conf": renderLines(config.hba, HEADING),
    "pg_ident.conf": renderLines([...new Set([...ident, ...config.ident])], HEADING),
  };
}

/** Whether all files are equal. */
export function sameConfiguration(
  a: ConfigurationTexts | undefined,
  b: ConfigurationTexts | undefined,
): boolean {
  return a !== undefined && b !== undefined && CONFIGURATION_FILES.every((n) => a[n] === b[n]);
}
