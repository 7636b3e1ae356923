// The configuration files on disk: written whole, checked by PostgreSQL itself, put back when it refuses them.
// Two directories of copies serve that: `accepted`, what a running PostgreSQL read last without complaint, and
// `proven`, what it also started with.
import type { Clock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { configCheckTimeoutMs, reloadTimeoutMs } from "../../src/base/limits.ts";
import { fail, ok, type Result } from "../../src/base/result.ts";
import { failureText, succeeded } from "../../src/host/command.ts";
import type { Executor } from "../../src/host/executor.ts";
import { checkConfigArgv, parseConfigComplaints } from "../../src/postgres/commands.ts";
import {
  reload,
  selectFileProblems,
  selectLoadTime,
  selectOverridden,
  selectPendingRestart,
} from "../../src/postgres/sql/configuration.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";
import {
  CONFIGURATION_FILES,
  type ConfigurationTexts,
  sameConfiguration,
} from "./configuration-files.ts";
import type { SqlSession } from "./sql.ts";

/** A setting that waits for a restart. */
export interface PendingSetting {
  readonly name: string;
  readonly oldValue: string;
  readonly newValue: string;
}

/** What is on disk now. */
export interface ConfigurationOnDisk {
  readonly texts: ConfigurationTexts | undefined;
  readonly proven: ConfigurationTexts | undefined;
  /** When the newest of the files was written, wall time; 0 when one is missing. */
  readonly writtenAtMs: number;
}

export interface ConfigurationDeps {
  readonly executor: Executor;
  readonly clock: Clock;
  readonly file: KeeperFile;
}

export async function readConfiguration(deps: ConfigurationDeps): Promise<ConfigurationOnDisk> {
  const { config_dir } = deps.file.layout;
  const [texts, proven, writtenAtMs] = await Promise.all([
    readTexts(deps, config_dir),
    readTexts(deps, `${config_dir}/proven`),
    newestWrite(deps, config_dir),
  ]);
  return { texts, proven, writtenAtMs };
}

/**
 * Lets a PostgreSQL of the given directory read the settings as it would at its start. Needs neither a data
 * directory nor a running server. An error is one sentence naming what it refused; throws a retryable
 * AppError when the look itself was cut short.
 */
export async function checkConfiguration(
  deps: ConfigurationDeps,
  texts: ConfigurationTexts,
  binDir: string,
): Promise<Result<null, string>> {
  const { config_dir } = deps.file.layout;
  const candidate = `${config_dir}/postgresql.conf.candidate`;
  await deps.executor.put(candidate, texts["postgresql.conf"], fileOptions(deps.file));
  const result = await deps.executor.run({
    argv: checkConfigArgv(binDir, config_dir, candidate),
    timeoutMs: configCheckTimeoutMs,
    ...userOf(deps.file),
  });
  if (succeeded(result)) return ok(null);
  // Killed or out of time says nothing about the settings: look again.
  if (result.exitCode === null) throw new AppError("retryable", failureText(result));
  const complaints = parseConfigComplaints(result.stderr);
  const said = complaints.length > 0 ? complaints.join("; ") : failureText(result);
  return fail(said.replaceAll(candidate, "postgresql.conf"));
}

/** Replaces the files one by one; each is whole at any moment. Only those that differ are touched. */
export async function writeConfiguration(
  deps: ConfigurationDeps,
  texts: ConfigurationTexts,
): Promise<void> {
  await putTexts(deps, deps.file.layout.config_dir, texts);
}

export type Copies = "accepted" | "proven";

/** Keeps copies of the files. */
export async function keepCopies(
  deps: ConfigurationDeps,
  copies: Copies,
  texts: ConfigurationTexts,
): Promise<void> {
  const directory = `${deps.file.layout.config_dir}/${copies}`;
  await deps.executor.mkdir(directory, { ...fileOptions(deps.file), mode: 0o700 });
  await putTexts(deps, directory, texts);
}

export interface WantedConfiguration {
  readonly texts: ConfigurationTexts;
  readonly binDir: string;
  /** Only what the keeper itself sets differs from what was in effect: no time is spent on a check. */
  readonly proven: boolean;
}

/**
 * Checks and writes new files under a running server, asks it what it thinks of them, and makes it read them.
 * When it refuses them the accepted files come back, nothing is reloaded, and the error names the setting or line.
 */
export async function applyConfiguration(
  deps: ConfigurationDeps,
  session: SqlSession,
  wanted: WantedConfiguration,
): Promise<Result<null, string>> {
  const checked = wanted.proven
    ? ok(null)
    : await checkConfiguration(deps, wanted.texts, wanted.binDir);
  if (!checked.ok) {
    await restoreCopies(deps, "accepted", wanted.texts);
    return checked;
  }
  await writeConfiguration(deps, wanted.texts);
  const problems = await session.query(selectFileProblems);
  if (problems.length > 0) {
    await restoreCopies(deps, "accepted", wanted.texts);
    return fail(problems.map((row) => String(row.problem)).join("; "));
  }
  await reloadServer(deps.clock, session);
  await keepCopies(deps, "accepted", wanted.texts);
  return ok(null);
}

/** Makes the server read its files and waits until this session has read them. */
export async function reloadServer(clock: Clock, session: SqlSession): Promise<void> {
  const before = await loadTime(session);
  await session.query(reload);
  const endMs = clock.monotonicMs() + reloadTimeoutMs;
  while ((await loadTime(session)) === before) {
    if (clock.monotonicMs() > endMs) {
      throw new AppError("retryable", `PostgreSQL did not reload within ${reloadTimeoutMs} ms`);
    }
    await clock.sleep(5);
  }
}

/** Puts copies back; without any, or when they are what was refused, the files stay as they are. */
export async function restoreCopies(
  deps: ConfigurationDeps,
  copies: Copies,
  refused: ConfigurationTexts,
): Promise<void> {
  const texts = await readTexts(deps, `${deps.file.layout.config_dir}/${copies}`);
  if (texts && !sameConfiguration(texts, refused)) await writeConfiguration(deps, texts);
}

export async function readPendingRestart(session: SqlSession): Promise<readonly PendingSetting[]> {
  const rows = await session.query(selectPendingRestart);
  return rows.map((row) => ({
    name: String(row.name),
    oldValue: String(row.old_value ?? ""),
    newValue: String(row.new_value ?? ""),
  }));
}

/** Names of settings that somebody overrode with ALTER SYSTEM. */
export async function readOverridden(session: SqlSession): Promise<readonly string[]> {
  return (await session.query(selectOverridden)).map((row) => String(row.name));
}

async function loadTime(session: SqlSession): Promise<string> {
  return String((await session.query(selectLoadTime))[0]?.loaded);
}

async function putTexts(
  deps: ConfigurationDeps,
  directory: string,
  texts: ConfigurationTexts,
): Promise<void> {
  const there = await readTexts(deps, directory);
  await Promise.all(
    CONFIGURATION_FILES.filter((name) => there?.[name] !== texts[name]).map((name) =>
      deps.executor.put(`${directory}/${name}`, texts[name], fileOptions(deps.file)),
    ),
  );
}

async function readTexts(
  deps: ConfigurationDeps,
  directory: string,
): Promise<ConfigurationTexts | undefined> {
  const decoder = new TextDecoder();
  const [conf, hba, ident] = await Promise.all(
    CONFIGURATION_FILES.map((name) => deps.executor.get(`${directory}/${name}`)),
  );
  if (!conf || !hba || !ident) return undefined;
  return {
    "postgresql.conf": decoder.decode(conf),
    "pg_hba.conf": decoder.decode(hba),
    "pg_ident.conf": decoder.decode(ident),
  };
}

async function newestWrite(deps: ConfigurationDeps, directory: string): Promise<number> {
  const stats = await Promise.all(
    CONFIGURATION_FILES.map((name) => deps.executor.stat(`${directory}/${name}`)),
  );
  return Math.max(0, ...stats.map((stat) => stat?.modifiedMs ?? 0));
}

function fileOptions(file: KeeperFile): { mode: number; owner?: string } {
  return { mode: 0o600, ...(file.postgres_user === null ? {} : { owner: file.postgres_user }) };
}

function userOf(file: KeeperFile): { user?: string } {
  return file.postgres_user === null ? {} : { user: file.postgres_user };
}
