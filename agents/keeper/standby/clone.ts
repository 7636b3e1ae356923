// Makes the data directory a copy of another member's. The copy is made beside, checked, and then takes the place by
// renames; a file tells how far it came, so that a killed keeper's copy is used or removed, and never mistaken.
//
//   nothing ── slot, empty directory ──> copying ── pg_basebackup ──> copied ── pg_verifybackup,
//   markers, standby.signal ──> verified ── data to .kept-…, copy to data ──> nothing (unproven until it streams)
import { AppError } from "../../../src/base/errors.ts";
import { cloneResumeMs, cloneTimeoutMs } from "../../../src/base/limits.ts";
import { failureText, succeeded } from "../../../src/host/command.ts";
import { renderConninfo } from "../../../src/postgres/recovery.ts";
import { memberSlotName } from "../../../src/postgres/replication.ts";
import {
  createPhysicalSlot,
  dropSlot,
  parseSlot,
  selectSize,
  selectSlots,
  selectTablespaces,
  selectUpstream,
} from "../../../src/postgres/sql/replication.ts";
import type { SqlSession } from "../sql.ts";
import { type CloneState, cloneIdOf, readClone } from "./clone-state.ts";
import { readControl } from "./control.ts";
import type { Peer, Progress, WorkOptions } from "./mechanics.ts";
import { makeStandby } from "./offline.ts";
import { withPeer } from "./peer-session.ts";
import {
  markerFile,
  type Places,
  placesOf,
  removeFile,
  type StandbyDeps,
  timeForName,
  writeState,
} from "./places.ts";
import { endStrays, findProgram, hasOwnMajor, requireProgram, runLong } from "./programs.ts";
import { replaceData } from "./replace-data.ts";

/** See `StandbyMechanics.cloneFrom`. */
export async function cloneFrom(
  deps: StandbyDeps,
  peer: Peer,
  options: WorkOptions,
): Promise<void> {
  const places = placesOf(deps.file);
  const say = options.onProgress ?? (() => undefined);
  await endStrays(deps, places);
  let state = await resumable(deps, places, peer);
  if (!state) state = await copy(deps, places, { peer, say, signal: options.signal });
  if (state.stage === "copied") {
    say({ phase: "verifying", text: `checking the copy of ${peer.instanceId}` });
    await verify(deps, places, options.signal);
    state = await finishCopy(deps, places, state);
  }
  say({ phase: "finishing", text: `the copy of ${peer.instanceId} takes its place` });
  options.signal.throwIfAborted();
  await replaceData(deps, places, state);
}

interface CopyWork {
  readonly peer: Peer;
  readonly say: (progress: Progress) => void;
  readonly signal: AbortSignal;
}

/** Another member's copy, or an old one, would be behind: it is made anew. */
async function resumable(
  deps: StandbyDeps,
  places: Places,
  peer: Peer,
): Promise<CloneState | undefined> {
  const state = await readClone(deps, places);
  if (!state || state.stage === "copying" || state.peerId !== peer.instanceId) return undefined;
  if (state.stage === "verified" && (await cloneIdOf(deps, places)) === state.id) return state;
  const ageMs = deps.clock.nowMs() - state.atMs;
  if (ageMs < 0 || ageMs > cloneResumeMs) return undefined;
  if (!(await deps.executor.stat(`${places.clone}/PG_VERSION`))) return undefined;
  deps.log.info("a copy that an earlier keeper made is used", { stage: state.stage });
  return state;
}

async function copy(deps: StandbyDeps, places: Places, work: CopyWork): Promise<CloneState> {
  const { executor, file, clock, nonce } = deps;
  const { peer, say, signal } = work;
  const program = await requireProgram(deps, "pg_basebackup");
  say({ phase: "checking", text: `asking ${peer.instanceId} for a copy` });
  const source = await withPeer(deps, peer, signal, (session) =>
    prepareSource(deps, session, peer),
  );
  await removeFile(deps, places.cloneState);
  await executor.remove(places.clone, signal);
  const state: CloneState = {
    // Random, as two copies can begin within one second, or a clock can be set back.
    id: `${timeForName(clock)}-${nonce()}`,
    stage: "copying",
    peerId: peer.instanceId,
    systemIdentifier: source.systemIdentifier,
    atMs: clock.nowMs(),
  };
  await writeState(deps, places.cloneState, state);
  const owner = file.postgres_user === null ? {} : { owner: file.postgres_user };
  await executor.mkdir(places.clone, { mode: source.directoryMode, ...owner });
  const result = await runLong(deps, {
    argv: basebackupArgv(deps, program, places, peer),
    timeoutMs: cloneTimeoutMs,
    talks: true,
    signal,
    onLine: (line) => say(copyProgress(line, peer, source.bytes)),
  });
  if (!succeeded(result)) {
    await executor.remove(places.clone, signal);
    await removeFile(deps, places.cloneState);
    throw new AppError("retryable", failureText(result));
  }
  const copied: CloneState = { ...state, stage: "copied", atMs: clock.nowMs() };
  await writeState(deps, places.cloneState, copied);
  return copied;
}

function basebackupArgv(
  deps: StandbyDeps,
  program: string,
  places: Places,
  peer: Peer,
): readonly [string, ...string[]] {
  const { instance_id, layout } = deps.file;
  const conninfo = renderConninfo({
    upstream: peer,
    certificateDir: layout.certificate_dir,
    applicationName: `pgherd copy ${instance_id}`,
    role: "replication",
  });
  return [
    program,
    `--pgdata=${places.clone}`,
    `--dbname=${conninfo}`,
    "--format=plain",
    "--wal-method=stream",
    `--slot=${memberSlotName(instance_id)}`,
    "--checkpoint=fast",
    `--label=pgherd ${instance_id}`,
    "--manifest-checksums=CRC32C",
    "--no-password",
    "--progress",
  ];
}

/** "23172/30000 kB (77%), 0/1 tablespace (…)" */
function copyProgress(line: string, peer: Peer, expectedBytes: number): Progress {
  const match = /^\s*(\d+)\/(\d+) kB/.exec(line);
  if (!match) return { phase: "copying", text: line.trim() };
  const doneBytes = Number(match[1]) * 1024;
  const totalBytes = Math.max(Number(match[2]) * 1024, expectedBytes);
  const percent = totalBytes === 0 ? 0 : Math.floor((100 * doneBytes) / totalBytes);
  const text = `copied ${percent} % of ${peer.instanceId}`;
  return { phase: "copying", doneBytes, totalBytes, text };
}

interface Source {
  readonly systemIdentifier: string;
  readonly bytes: number;
  readonly directoryMode: number;
}

/** What the other side must be, and the slot that keeps its log from the first moment on. */
async function prepareSource(deps: StandbyDeps, session: SqlSession, peer: Peer): Promise<Source> {
  const [row] = await session.query(selectUpstream);
  const major = Math.floor(Number(row?.version_num) / 10_000);
  if (major !== deps.server().major) {
    const text = `${peer.instanceId} runs PostgreSQL ${major}, this instance ${deps.server().major}`;
    throw new AppError("terminal", text);
  }
  const tablespaces = await session.query(selectTablespaces);
  if (tablespaces.length > 0) {
    const list = tablespaces.map((space) => `${space.name} (${space.location})`).join(", ");
    const text = `${peer.instanceId} has tablespaces outside its data directory, which standbys cannot have here: ${list}`;
    throw new AppError("terminal", text);
  }
  await ensureOwnSlot(session, memberSlotName(deps.file.instance_id));
  const [size] = await session.query(selectSize);
  const mode = Number.parseInt(String(row?.directory_mode), 8);
  return {
    systemIdentifier: String(row?.system_identifier),
    bytes: Number(size?.bytes ?? 0),
    directoryMode: mode === 0o750 ? 0o750 : 0o700,
  };
}

/** The slot exists and keeps log; one that lost its log is made anew (hazard H76). */
async function ensureOwnSlot(session: SqlSession, name: string): Promise<void> {
  const slots = (await session.query(selectSlots)).map(parseSlot);
  const slot = slots.find((candidate) => candidate.name === name);
  if (slot && slot.walStatus !== "lost" && slot.restartLsn !== undefined) return;
  if (slot) await session.query(dropSlot, [name]);
  await session.query(createPhysicalSlot, [name]);
}

/** Every file against the manifest of the backup. The marker was copied too and is replaced later. */
async function verify(deps: StandbyDeps, places: Places, signal: AbortSignal): Promise<void> {
  const program = await findProgram(deps, "pg_verifybackup");
  if (program === undefined) {
    deps.log.warn("pg_verifybackup is not installed: the copy is used unchecked");
    return;
  }
  const log = (await hasOwnMajor(deps, "pg_waldump")) ? [] : ["--no-parse-wal"];
  const argv = [
    program,
    "--exit-on-error",
    "--quiet",
    `--ignore=${markerFile}`,
    ...log,
    places.clone,
  ] as const;
  const result = await runLong(deps, { argv, timeoutMs: cloneTimeoutMs, talks: false, signal });
  if (succeeded(result)) return;
  await removeFile(deps, places.cloneState);
  throw new AppError("retryable", `the copy is damaged: ${failureText(result)}`);
}

/** The copy becomes this instance's, and a standby. */
async function finishCopy(
  deps: StandbyDeps,
  places: Places,
  state: CloneState,
): Promise<CloneState> {
  const control = await readControl(deps, places.clone);
  if (control.systemIdentifier !== state.systemIdentifier) {
    await removeFile(deps, places.cloneState);
    throw new AppError("retryable", `the copy is of system ${control.systemIdentifier}`);
  }
  await makeStandby(deps, places.clone);
  await writeState(deps, `${places.clone}/${markerFile}`, {
    instance_id: deps.file.instance_id,
    system_identifier: state.systemIdentifier,
    clone: state.id,
  });
  const verified: CloneState = { ...state, stage: "verified" };
  await writeState(deps, places.cloneState, verified);
  return verified;
}
