// The stopped data directory: what it is, where it ends, and making it start in one role and no other.
import { rename } from "node:fs/promises";
import { AppError } from "../../../src/base/errors.ts";
import { cleanAutoConf } from "../../../src/postgres/recovery.ts";
import { isShutdownCheckpoint } from "../../../src/postgres/wal-record.ts";
import { readControl } from "./control.ts";
import type { OfflineState } from "./mechanics.ts";
import { ownedFile, placesOf, removeFile, type StandbyDeps, writeState } from "./places.ts";
import { endOfRecord, readHistory, readRecordHead, removeUnreachable } from "./wal-files.ts";

/** Reads a stopped data directory; undefined when there is none. */
export async function inspectOffline(
  deps: StandbyDeps,
  dataDir: string,
): Promise<OfflineState | undefined> {
  const { executor } = deps;
  if (!(await executor.stat(`${dataDir}/PG_VERSION`))) return undefined;
  const [control, standby, recovery, label] = await Promise.all([
    readControl(deps, dataDir),
    executor.stat(`${dataDir}/standby.signal`),
    executor.stat(`${dataDir}/recovery.signal`),
    executor.stat(`${dataDir}/backup_label`),
  ]);
  const facts = {
    control,
    standbySignal: standby !== undefined,
    recoverySignal: recovery !== undefined,
    backupLabel: label !== undefined,
    history: await readHistory(executor, dataDir, control.checkpointTimeline),
  };
  return { ...facts, ...(await endOf(dataDir, facts)) };
}

async function endOf(
  dataDir: string,
  facts: Omit<OfflineState, "end" | "endUnknown">,
): Promise<Pick<OfflineState, "end" | "endUnknown">> {
  const { control } = facts;
  const recovering = facts.standbySignal || facts.recoverySignal || facts.backupLabel;
  const state = control.state;
  if (recovering || state === "shut down in recovery" || state === "in archive recovery") {
    return { end: undefined, endUnknown: "standby" };
  }
  if (state !== "shut down") return { end: undefined, endUnknown: "crashed_primary" };
  const timeline = control.checkpointTimeline;
  const at = { timeline, lsn: control.checkpointLsn };
  const head = await readRecordHead(dataDir, at, control);
  if (!head || !isShutdownCheckpoint(head)) return { end: undefined, endUnknown: "unreadable_log" };
  return { end: { timeline, lsn: endOfRecord(at.lsn, head, control) } };
}

/** Makes a stopped data directory start as a standby. */
export async function makeStandby(deps: StandbyDeps, dataDir: string): Promise<void> {
  const { executor, file } = deps;
  await executor.put(`${dataDir}/standby.signal`, "", ownedFile(file));
  await removeFile(deps, `${dataDir}/recovery.signal`);
  await removeFile(deps, `${dataDir}/promote`);
  await cleanSettings(deps, dataDir);
  await removeUnreachable(deps, dataDir);
}

/** See `StandbyMechanics.prepareStandby`. */
export async function prepareStandby(deps: StandbyDeps): Promise<void> {
  const places = placesOf(deps.file);
  const { data } = places;
  const signals = ["standby.signal", "recovery.signal", "backup_label"];
  const found = await Promise.all(signals.map((name) => deps.executor.stat(`${data}/${name}`)));
  if (found.every((stat) => stat === undefined)) await writeState(deps, places.formerPrimary, {});
  await makeStandby(deps, data);
}

/** See `StandbyMechanics.needsProof`. */
export async function needsProof(deps: StandbyDeps): Promise<boolean> {
  return (await deps.executor.stat(placesOf(deps.file).formerPrimary)) !== undefined;
}

/** It was compared, or it is nobody's follower any more. */
export async function forgetFormerPrimary(deps: StandbyDeps): Promise<void> {
  await removeFile(deps, placesOf(deps.file).formerPrimary);
}

/** Makes a stopped data directory start as a primary on its own timeline. */
export async function makePrimary(deps: StandbyDeps, dataDir: string): Promise<void> {
  const { executor } = deps;
  if (await executor.stat(`${dataDir}/backup_label`)) {
    const text = `${dataDir} is a copy that was never recovered: it cannot become a primary`;
    throw new AppError("terminal", text);
  }
  const { state } = await readControl(deps, dataDir);
  if (state === "shut down in recovery" || state === "in archive recovery") {
    throw new AppError("terminal", `${dataDir} is that of a standby: it must be promoted`);
  }
  await removeFile(deps, `${dataDir}/standby.signal`);
  await removeFile(deps, `${dataDir}/recovery.signal`);
  await forgetFormerPrimary(deps);
  await cleanSettings(deps, dataDir);
}

/** Recovery settings in postgresql.auto.conf would win over the keeper's file (hazard H25). */
async function cleanSettings(deps: StandbyDeps, dataDir: string): Promise<void> {
  const path = `${dataDir}/postgresql.auto.conf`;
  const bytes = await deps.executor.get(path);
  if (!bytes) return;
  const { text, removed } = cleanAutoConf(new TextDecoder().decode(bytes));
  if (removed.length === 0) return;
  deps.log.warn("settings of ALTER SYSTEM that belong to the keeper are removed", { removed });
  await deps.executor.put(path, text, ownedFile(deps.file));
}

/** Renames, and makes it last. */
export async function renameDurably(deps: StandbyDeps, from: string, to: string): Promise<void> {
  await rename(from, to);
  // Writing a file syncs its directory, which holds both names.
  const note = `${to.slice(0, to.lastIndexOf("/"))}/.pgherd-renamed`;
  await deps.executor.put(note, "", ownedFile(deps.file));
  await deps.executor.remove(note);
}
