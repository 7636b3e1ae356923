// Makes a data directory, and recognises it later. initdb works beside the final place and a rename completes it,
// so a data directory that has its name is whole. Data that is not known to be this instance's is never touched.
import { rename } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { initdbTimeoutMs, leftoverAttemptsMax, leftoverPauseMs } from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/log.ts";
import { failureText, succeeded } from "../../src/host/command.ts";
import type { Executor } from "../../src/host/executor.ts";
import { initdbArgv } from "../../src/postgres/commands.ts";
import { parseControlFile } from "../../src/postgres/controldata.ts";
import { superuserName } from "../../src/postgres/hba.ts";
import type { InstanceConfig, KeeperFile } from "../../src/spec/instance-config.ts";

/** What is in the place of the data directory. */
export type DataState =
  | { readonly kind: "absent" }
  | { readonly kind: "ready"; readonly systemIdentifier: string; readonly major: number }
  /** `vanished`: there is nothing where this instance's data was. */
  | { readonly kind: "refused"; readonly reason: string; readonly vanished?: true };

/** Written into the data directory before it gets its name, and beside it after. */
interface Marker {
  readonly instance_id: string;
  readonly system_identifier: string;
}

export interface BootstrapDeps {
  readonly clock: Clock;
  readonly executor: Executor;
  readonly file: KeeperFile;
  /** Different for every start of a keeper; names the temporary directory. */
  readonly incarnation: string;
  readonly log: Logger;
}

const markerName = "pgherd.json";

/**
 * Looks at the data directory. `known` is the system identifier that was reported for this instance before, if
 * any: with it an empty place means that data was lost, for example because a file system is not mounted.
 */
export async function inspectData(
  deps: BootstrapDeps,
  known: string | undefined,
): Promise<DataState> {
  const { executor, file } = deps;
  const { data_dir, base_dir } = file.layout;
  const beside = await readMarker(executor, `${base_dir}/${markerName}`);
  const expected = beside?.system_identifier ?? known;
  const names = await executor.list(data_dir);
  if (names.length === 0) {
    if (expected === undefined) return { kind: "absent" };
    const reason = `${data_dir} is empty, but this instance had data (system ${expected})`;
    return { kind: "refused", reason, vanished: true };
  }
  const inside = await readMarker(executor, `${data_dir}/${markerName}`);
  if (!inside) return refused(`${data_dir} holds files that are not of this instance`);
  if (inside.instance_id !== file.instance_id) {
    return refused(`${data_dir} belongs to instance ${inside.instance_id}`);
  }
  const control = await executor.get(`${data_dir}/global/pg_control`);
  const facts = control && parseControlFile(control);
  const major = Number(decode(await executor.get(`${data_dir}/PG_VERSION`)).trim());
  if (!facts || !Number.isInteger(major)) return refused(`${data_dir} has no readable pg_control`);
  for (const identifier of [inside.system_identifier, expected]) {
    if (identifier !== undefined && identifier !== facts.systemIdentifier) {
      return refused(`${data_dir} is of system ${facts.systemIdentifier}, expected ${identifier}`);
    }
  }
  if (!beside) await writeMarker(deps, base_dir, inside);
  return { kind: "ready", systemIdentifier: facts.systemIdentifier, major };
}

/**
 * initdb beside the final place, marker, rename. Call it only where `inspectData` said `absent`: the rename fails
 * where anything else is. Throws AppError.
 */
export async function bootstrapData(
  deps: BootstrapDeps,
  config: InstanceConfig,
  signal: AbortSignal,
): Promise<void> {
  const { executor, file } = deps;
  const { data_dir, base_dir } = file.layout;
  const temporary = `${data_dir}.new-${deps.incarnation}`;
  const owner = file.postgres_user === null ? {} : { owner: file.postgres_user };
  await executor.mkdir(temporary, { mode: 0o700, ...owner });
  const argv = initdbArgv({
    binDir: config.bin_dir,
    dataDir: temporary,
    superuser: superuserName,
    major: config.postgres_major,
  });
  const command = { argv, timeoutMs: initdbTimeoutMs, ...userOf(file) };
  const result = await executor.run(command, { signal });
  if (!succeeded(result)) {
    await executor.remove(temporary);
    throw new AppError("retryable", failureText(result));
  }
  const control = await executor.get(`${temporary}/global/pg_control`);
  const facts = control && parseControlFile(control);
  if (!facts) throw new AppError("terminal", `initdb left no readable pg_control in ${temporary}`);
  const marker = { instance_id: file.instance_id, system_identifier: facts.systemIdentifier };
  await writeMarker(deps, temporary, marker);
  await rename(temporary, data_dir);
  // The second marker's directory is that of the data, so this makes the rename durable too.
  await writeMarker(deps, base_dir, marker);
}

/**
 * Removes what earlier keepers left half made; never the data directory itself. The initdb of a keeper that was killed
 * may still be writing there, so it is tried again for a while.
 */
export async function removeLeftovers(deps: BootstrapDeps, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; !(await removeLeftoversOnce(deps)); attempt++) {
    if (attempt >= leftoverAttemptsMax) return;
    await deps.clock.sleep(leftoverPauseMs, signal);
  }
}

/** Answers whether all are gone. */
async function removeLeftoversOnce(deps: BootstrapDeps): Promise<boolean> {
  let gone = true;
  const { data_dir } = deps.file.layout;
  const parent = dirname(data_dir);
  const prefix = `${basename(data_dir)}.new-`;
  const own = `${prefix}${deps.incarnation}`;
  for (const name of await deps.executor.list(parent)) {
    if (!name.startsWith(prefix) || name === own) continue;
    try {
      await deps.executor.remove(`${parent}/${name}`);
    } catch (error) {
      deps.log.warn("leftover could not be removed", { name, error: messageOf(error) });
      gone = false;
    }
  }
  return gone;
}

async function readMarker(executor: Executor, path: string): Promise<Marker | undefined> {
  const text = decode(await executor.get(path));
  if (text === "") return undefined;
  const marker: Partial<Marker> = JSON.parse(text);
  const { instance_id, system_identifier } = marker;
  if (typeof instance_id !== "string" || typeof system_identifier !== "string") {
    throw new AppError("terminal", `${path} is not a marker of an instance`);
  }
  return { instance_id, system_identifier };
}

async function writeMarker(deps: BootstrapDeps, directory: string, marker: Marker): Promise<void> {
  const { postgres_user: owner } = deps.file;
  await deps.executor.put(`${directory}/${markerName}`, `${JSON.stringify(marker)}\n`, {
    mode: 0o600,
    ...(owner === null ? {} : { owner }),
  });
}

function refused(reason: string): DataState {
  return { kind: "refused", reason };
}

function decode(bytes: Uint8Array | undefined): string {
  return bytes ? new TextDecoder().decode(bytes) : "";
}

function userOf(file: KeeperFile): { user?: string } {
  return file.postgres_user === null ? {} : { user: file.postgres_user };
}
