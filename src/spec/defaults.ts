// The only place where a spec gets values that the user did not give.
import { compareVersions, type PostgresVersion, parseVersion } from "../postgres/version.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import type { HostRecord } from "./host.ts";

/**
 * The spec with its versions filled in. Applying it again changes nothing; the order of nodes is kept.
 * Where hosts have no version in common the version stays absent, which validateHosts reports.
 */
export function applyDefaults(spec: DatabaseSpec, hosts: readonly HostRecord[]): DatabaseSpec {
  const involved = hostsWithoutVersion(spec, hosts);
  const postgresVersion = spec.postgres_version ?? commonPostgresVersion(involved);
  const filled: DatabaseSpec = {
    ...spec,
    ...(postgresVersion === undefined ? {} : { postgres_version: postgresVersion }),
  };
  const spockVersion = spec.spock_version ?? commonSpockVersion(filled, hosts);
  return spockVersion === undefined ? filled : { ...filled, spock_version: spockVersion };
}

/**
 * Newest version that every host has. Where their minors differ: of the newest major that all have,
 * the lowest of the hosts' minors, since standbys may run a newer minor than their primary and the
 * hosts' package managers move minors one host at a time.
 */
export function commonPostgresVersion(hosts: readonly HostRecord[]): string | undefined {
  const offered = hosts.map(releases);
  const [first = [], ...others] = offered;
  const exact = first.filter((version) =>
    others.every((versions) => versions.some((other) => compareVersions(other, version) === 0)),
  );
  return newest(exact) ?? lowestOfNewestMajor(offered);
}

/** Versions that a spec can name: released ones, newest first. */
export function releases(host: HostRecord): readonly PostgresVersion[] {
  return host.installations
    .flatMap(({ version }) => parseVersion(version) ?? [])
    .filter(({ prerelease }) => prerelease === undefined)
    .sort((a, b) => compareVersions(b, a));
}

/** First number of Spock's version, which is all that a spec says of it. */
export function spockMajor(version: string): string {
  return version.split(".")[0] ?? version;
}

function newest(versions: readonly PostgresVersion[]): string | undefined {
  const [best] = versions.toSorted((a, b) => compareVersions(b, a));
  return best === undefined ? undefined : text(best);
}

function lowestOfNewestMajor(offered: readonly (readonly PostgresVersion[])[]): string | undefined {
  const majors = (offered[0] ?? []).map(({ major }) => major);
  const common = majors.filter((major) =>
    offered.every((versions) => versions.some((version) => version.major === major)),
  );
  if (common.length === 0) return undefined;
  const major = Math.max(...common);
  const minors = offered.map((versions) =>
    Math.max(...versions.filter((version) => version.major === major).map(({ minor }) => minor)),
  );
  return text({ major, minor: Math.min(...minors) });
}

function text({ major, minor }: PostgresVersion): string {
  return `${major}.${minor}`;
}

/** Hosts whose version is the database's: those of services, and of nodes that have none of their own. */
function hostsWithoutVersion(
  spec: DatabaseSpec,
  hosts: readonly HostRecord[],
): readonly HostRecord[] {
  const inheriting = spec.nodes.filter((node) => node.postgres_version === undefined);
  const users = inheriting.length > 0 ? inheriting : spec.nodes;
  const ids = new Set([...users, ...(spec.services ?? [])].flatMap(({ host_ids }) => host_ids));
  return hosts.filter(({ id }) => ids.has(id));
}

/** Spock's major where every instance's installation has the same one; otherwise undefined. */
function commonSpockVersion(spec: DatabaseSpec, hosts: readonly HostRecord[]): string | undefined {
  const found = new Set<string | undefined>();
  for (const node of spec.nodes) {
    const major = parseVersion(node.postgres_version ?? spec.postgres_version ?? "")?.major;
    for (const id of node.host_ids) {
      const installed = hosts
        .find((host) => host.id === id)
        ?.installations.find((installation) => installation.major === major);
      found.add(installed?.spock_version ? spockMajor(installed.spock_version) : undefined);
    }
  }
  const [only] = found;
  return found.size === 1 ? only : undefined;
}
