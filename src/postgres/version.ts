// Versions of PostgreSQL: "17.11", "18beta1" and the text that `postgres --version` prints.

export interface PostgresVersion {
  readonly major: number;
  /** 0 for a version that is not released yet. */
  readonly minor: number;
  /** "beta1", "rc2", "devel"; absent for a release. */
  readonly prerelease?: string;
}

const VERSION = /^(\d{2,3})(?:\.(\d{1,3})|((?:devel|alpha|beta|rc)\d{0,2}))?$/;
const PRINTED = /^postgres \(PostgreSQL\) (\S+)/;
const STAGES = ["devel", "alpha", "beta", "rc"];

/** Parses "17.11", "17" (minor 0) or "18beta1"; undefined for anything else. */
export function parseVersion(text: string): PostgresVersion | undefined {
  const match = VERSION.exec(text);
  if (!match) return undefined;
  const [, major, minor, prerelease] = match;
  return {
    major: Number(major),
    minor: Number(minor ?? "0"),
    ...(prerelease === undefined ? {} : { prerelease }),
  };
}

/** Parses the output of `postgres --version`, e.g. "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)". */
export function parsePrintedVersion(output: string): PostgresVersion | undefined {
  const version = PRINTED.exec(output.trim())?.[1];
  return version === undefined ? undefined : parseVersion(version);
}

/** Parses `server_version_num`, e.g. 170011. */
export function parseVersionNumber(number: number): PostgresVersion {
  return { major: Math.floor(number / 10_000), minor: number % 10_000 };
}

/** "17.11" or "18beta1". */
export function formatVersion(version: PostgresVersion): string {
  return version.prerelease === undefined
    ? `${version.major}.${version.minor}`
    : `${version.major}${version.prerelease}`;
}

/** As `server_version_num` has it: 17.11 is 170011. */
export function versionNumber(version: PostgresVersion): number {
  return version.major * 10_000 + version.minor;
}

/** Negative, zero or positive, as Array.sort wants it; prereleases come before their release. */
export function compareVersions(a: PostgresVersion, b: PostgresVersion): number {
  return a.major - b.major || stageOf(a) - stageOf(b) || a.minor - b.minor;
}

function stageOf(version: PostgresVersion): number {
  const match = /^([a-z]+)(\d*)$/.exec(version.prerelease ?? "");
  if (!match) return STAGES.length * 100;
  return STAGES.indexOf(match[1] ?? "") * 100 + Number(match[2] || "0");
}

/** First minor release in which no commit skips its wait for a standby. */
const WAITS_SINCE: Readonly<Record<number, number>> = { 13: 21, 14: 18, 15: 13, 16: 9, 17: 5 };

/**
 * What is wrong with synchronous replication in a release; undefined = nothing. Until May 2025 a commit right after a
 * start or a promotion could be acknowledged without its standby, because the checkpointer had not told yet that there
 * is one to wait for (release notes of 17.5, 16.9, 15.13, 14.18 and 13.21).
 */
export function synchronousFlaw({ major, minor }: PostgresVersion): string | undefined {
  const fixed = WAITS_SINCE[major];
  if (fixed === undefined || minor >= fixed) return undefined;
  return `PostgreSQL ${major}.${minor} can acknowledge a commit right after a start without waiting for a standby; ${major}.${fixed} cannot`;
}
