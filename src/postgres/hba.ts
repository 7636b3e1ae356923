// Renders pg_hba.conf (manual, "The pg_hba.conf File" 21.1): the first line that matches decides.
import { AppError } from "../base/errors.ts";

/** The superuser of the control plane: operating-system identity locally, certificate remotely. */
export const superuserName = "pgedge";
/** The role that standbys replicate with; tools look for this name in pg_stat_replication. */
export const replicatorName = "patroni_replicator";
/** Name of the pg_ident map that lets the keeper's operating-system user in. */
export const identMapName = "pgherd";

export interface HbaInput {
  /** Addresses of the hosts of the database: an IP address, a CIDR range or a host name. */
  readonly systemAddresses: readonly string[];
  /** Lines of the user, the node's before the database's, already validated. */
  readonly nodeAndDatabaseLines: readonly string[];
}

const SYSTEM_ADDRESS = /^[A-Za-z0-9.:_-]+(\/\d{1,3})?$/;

/**
 * The lines of pg_hba.conf. The control plane's own roles never have a password: they come in by peer or by
 * certificate, from the given addresses only. No line trusts anyone.
 */
export function renderHba(input: HbaInput): readonly string[] {
  const own = `${superuserName},${replicatorName}`;
  const system = input.systemAddresses
    .map(systemAddress)
    .flatMap((address) => [
      `hostssl all ${own} ${address} cert`,
      `hostssl replication ${own} ${address} cert`,
    ]);
  return [
    `local all ${own} peer map=${identMapName}`,
    `local replication ${own} peer map=${identMapName}`,
    ...system,
    `host all ${own} all reject`,
    `host replication ${own} all reject`,
    ...input.nodeAndDatabaseLines.map(oneLine),
    "local all all scram-sha-256",
    "host all all 0.0.0.0/0 scram-sha-256",
    "host all all ::/0 scram-sha-256",
  ];
}

/** The system addresses in lines that `renderHba` made: those that the control plane's roles may come from. */
export function systemAddressesOf(lines: readonly string[]): readonly string[] {
  const prefix = `hostssl all ${superuserName},${replicatorName} `;
  return lines
    .filter((line) => line.startsWith(prefix) && line.endsWith(" cert"))
    .map((line) => line.slice(prefix.length, -" cert".length));
}

/** The file's text from its lines. */
export function renderLines(lines: readonly string[], heading: string): string {
  return [`# ${heading.replaceAll(/[\r\n]/g, " ")}`, ...lines.map(oneLine), ""].join("\n");
}

/** Refuses what would end the line early, or swallow the next one (a final backslash continues a line). */
function oneLine(line: string): string {
  if (/[\r\n\0]/.test(line) || /\\\s*$/.test(line)) {
    throw new AppError("terminal", `not one line of a file: ${JSON.stringify(line)}`);
  }
  return line;
}

function systemAddress(address: string): string {
  if (!SYSTEM_ADDRESS.test(address)) {
    throw new AppError("terminal", `not an address: ${JSON.stringify(address)}`);
  }
  if (address.includes("/")) return address;
  if (address.includes(":")) return `${address}/128`;
  return /^[\d.]+$/.test(address) ? `${address}/32` : address;
}
