// Where things about a standby are on disk, and the small files that tell what was being done. Everything lies beside
// the data directory, on its file system, so that renames are atomic; inside it are only PostgreSQL's own files and
// the marker that names whose data it is.
import type { Clock } from "../../../src/base/clock.ts";
import { rfc3339 } from "../../../src/base/clock.ts";
import { AppError } from "../../../src/base/errors.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { Executor } from "../../../src/host/executor.ts";
import type { KeeperFile } from "../../../src/spec/instance-config.ts";

export interface StandbyDeps {
  readonly executor: Executor;
  readonly clock: Clock;
  /** Random, never the same twice. */
  readonly nonce: () => string;
  readonly log: Logger;
  readonly file: KeeperFile;
  /** The installation that the instance's configuration names. */
  readonly server: () => { readonly binDir: string; readonly major: number };
}

/** The paths of one instance. */
export interface Places {
  readonly data: string;
  /** A copy that is being made. */
  readonly clone: string;
  /** Data that is being removed. */
  readonly discarded: string;
  /** What is known of that copy. */
  readonly cloneState: string;
  /** There while pg_rewind changes the data. */
  readonly rewindState: string;
  /** Which copy took the place of the data and has not streamed yet. */
  readonly unproven: string;
  /** The data ran as primary, and nobody compared it with the one that it is to follow. */
  readonly formerPrimary: string;
  /** Whose data it is: inside the data directory, and beside it. */
  readonly marker: string;
  readonly markerBeside: string;
}

export function placesOf(file: KeeperFile): Places {
  const { data_dir, base_dir } = file.layout;
  return {
    data: data_dir,
    clone: `${data_dir}.clone`,
    discarded: `${data_dir}.discarded`,
    cloneState: `${base_dir}/pgherd-clone.json`,
    rewindState: `${base_dir}/pgherd-rewind.json`,
    unproven: `${base_dir}/pgherd-unproven.json`,
    formerPrimary: `${base_dir}/pgherd-former-primary.json`,
    marker: `${data_dir}/${markerFile}`,
    markerBeside: `${base_dir}/${markerFile}`,
  };
}

/** Name of the file that says whose data a directory holds; see bootstrap.ts. */
export const markerFile = "pgherd.json";

/** Beginning of the names of data that was replaced. */
export function keptPrefix(data: string): string {
  return `${data}.kept-`;
}

/** Beginning of the names of directories with log that a rewind took away. */
export function keptLogPrefix(data: string): string {
  return `${data}.wal-`;
}

/** A time as part of a file name: sorts, and holds no character that needs quotes. */
export function timeForName(clock: Clock): string {
  return rfc3339(clock.nowMs()).replaceAll(/[-:]/g, "");
}

/** Reads one of the small files; undefined when there is none. Throws a terminal AppError for one that is no object. */
export async function readState(
  executor: Executor,
  path: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await executor.get(path);
  if (!bytes) return undefined;
  const value = parseJson(new TextDecoder().decode(bytes));
  if (isRecord(value)) return value;
  throw new AppError("terminal", `${path} does not hold what a keeper wrote`);
}

/** Writes one of the small files; it is on disk when this resolves. */
export async function writeState(deps: StandbyDeps, path: string, value: object): Promise<void> {
  await deps.executor.put(path, `${JSON.stringify(value)}\n`, ownedFile(deps.file));
}

/** Removes a file; does nothing, and starts no program, when there is none. */
export async function removeFile({ executor }: StandbyDeps, path: string): Promise<void> {
  if (await executor.stat(path)) await executor.remove(path);
}

/** Mode and owner of a file that PostgreSQL reads. */
export function ownedFile(file: KeeperFile): { mode: number; owner?: string } {
  return { mode: 0o600, ...(file.postgres_user === null ? {} : { owner: file.postgres_user }) };
}

/** The user that PostgreSQL's programs run as. */
export function asPostgres(file: KeeperFile): { user?: string } {
  return file.postgres_user === null ? {} : { user: file.postgres_user };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
