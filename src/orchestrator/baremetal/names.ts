// Where everything of one instance is on its host, and what its units are called. Pure; constant for the
// instance's life. What only the server may change (keeper file, records) is under its own data directory,
// because the instance's directories belong to the user that PostgreSQL runs as.
import { AppError } from "../../base/errors.ts";
import { socketPathBytesMax } from "../../base/limits.ts";
import type { HostFacts, InstancePlacement } from "../../plan/placement.ts";
import type { InstanceLayout } from "../../spec/instance-config.ts";

/** PostgreSQL's socket is named after the port; this is the longest. */
const longestSocketName = ".s.PGSQL.65535";

/** Directories and files of the instance. Throws a terminal AppError when a socket path would be too long. */
export function instanceLayout(placement: InstancePlacement, host: HostFacts): InstanceLayout {
  const { instanceId } = placement;
  const base = `${host.instanceDir}/${placement.postgresMajor}/${instanceId}`;
  const layout: InstanceLayout = {
    base_dir: base,
    data_dir: `${base}/data`,
    config_dir: `${base}/configs`,
    certificate_dir: `${base}/certificates/postgres`,
    run_dir: `${host.runDir}/${instanceId}`,
    log_dir: `${base}/log`,
    keeper_file: `${keeperDirectory(host.dataDir, instanceId)}/keeper.json`,
    fencer_socket: `${host.runDir}/${instanceId}.fencer`,
  };
  for (const path of [`${layout.run_dir}/${longestSocketName}`, layout.fencer_socket]) {
    if (Buffer.byteLength(path) > socketPathBytesMax) {
      const hint = "choose a shorter run directory or a shorter database id";
      throw new AppError("terminal", `the socket path ${path} is too long: ${hint}`);
    }
  }
  return layout;
}

/** Parent of the directories that hold keeper files and records. */
export function keepersDirectory(dataDir: string): string {
  return `${dataDir}/keepers`;
}

/** Holds the keeper file and what the server remembers of the instance's processes; root's only. */
export function keeperDirectory(dataDir: string, instanceId: string): string {
  return `${keepersDirectory(dataDir)}/${instanceId}`;
}

/** The program on a host that has no server: a link to the version that was uploaded last. */
export function distantBinary(dataDir: string): string {
  return `${dataDir}/bin/pgherd`;
}

/** The two processes of an instance, in the order they start. */
export const ROLES = ["fencer", "keeper"] as const;
export type Role = (typeof ROLES)[number];

/** Name of a unit; instance ids hold only letters, digits and hyphens, so nothing needs escaping. */
export function unitName(role: Role, instanceId: string): string {
  return `pgherd-${role}-${instanceId}.service`;
}

/** The role and instance of a unit's name, or undefined for another unit. */
export function parseUnitName(name: string): { role: Role; instanceId: string } | undefined {
  const match = /^pgherd-(fencer|keeper)-([a-z0-9-]+)\.service$/.exec(name);
  const role = ROLES.find((known) => known === match?.[1]);
  return role && match?.[2] !== undefined ? { role, instanceId: match[2] } : undefined;
}
