// pg_rewind of stopped data to a member from which it diverged. What it takes away is kept first; a marker outside
// the data says that it runs, because data that is half rewound starts all the same.
import { AppError } from "../../../src/base/errors.ts";
import { keptDataMax, keptLogBytesMax, rewindTimeoutMs } from "../../../src/base/limits.ts";
import { type CommandResult, failureText, succeeded } from "../../../src/host/command.ts";
import { parseWalSegmentName } from "../../../src/postgres/lsn.ts";
import { renderConninfo } from "../../../src/postgres/recovery.ts";
import type { Judgement, LostLog, Peer, RewindOutcome, WorkOptions } from "./mechanics.ts";
import { forgetFormerPrimary, inspectOffline, makeStandby } from "./offline.ts";
import {
  asPostgres,
  keptLogPrefix,
  type Places,
  placesOf,
  readState,
  removeFile,
  type StandbyDeps,
  timeForName,
  writeState,
} from "./places.ts";
import { endStrays, requireProgram, runLong } from "./programs.ts";
import { recoverAlone } from "./recover-alone.ts";

type Diverged = Extract<Judgement, { kind: "diverged" }>;

/** See `StandbyMechanics.rewind`. */
export async function rewind(
  deps: StandbyDeps,
  peer: Peer,
  judgement: Judgement,
  options: WorkOptions,
): Promise<RewindOutcome> {
  if (judgement.kind !== "diverged") {
    return { kind: "impossible", why: `data that was judged "${judgement.kind}" is not rewound` };
  }
  if (!judgement.rewindable) return { kind: "impossible", why: judgement.obstacles.join("; ") };
  const places = placesOf(deps.file);
  await endStrays(deps, places);
  const problem = await prepare(deps, places, options);
  if (problem !== undefined) return { kind: "impossible", why: problem };
  const program = await requireProgram(deps, "pg_rewind");
  const argv = rewindArgv(deps, program, places, peer);
  const dry = await run(deps, [...argv, "--dry-run"], options);
  if (!succeeded(dry)) return { kind: "impossible", why: failureText(dry) };
  if (/no rewind required/.test(dry.stdout + dry.stderr)) {
    return { kind: "impossible", why: "pg_rewind finds nothing to do, although the data diverged" };
  }
  const keptIn = await keepLog(deps, places, judgement, options.signal);
  await writeState(deps, places.rewindState, { upstream: peer.instanceId });
  const result = await run(deps, argv, options);
  if (!succeeded(result)) return { kind: "broken", why: failureText(result) };
  await finish(deps, places, judgement);
  const { lost } = judgement.kinship;
  const log: LostLog = { timeline: lost.timeline, fromLsn: lost.from, toLsn: lost.to, keptIn };
  return { kind: "rewound", lost: log };
}

/** Whom the data was being rewound to when a keeper died; undefined when none was. */
export async function readRewind(deps: StandbyDeps): Promise<string | undefined> {
  const state = await readState(deps.executor, placesOf(deps.file).rewindState);
  return state && String(state.upstream);
}

/** A crashed primary is recovered first; answers why the data cannot be rewound. */
async function prepare(
  deps: StandbyDeps,
  places: Places,
  options: WorkOptions,
): Promise<string | undefined> {
  if (await readState(deps.executor, places.rewindState)) {
    return "an earlier rewind was cut: only a fresh copy helps";
  }
  const data = await inspectOffline(deps, places.data);
  if (!data) throw new AppError("terminal", `there is no data in ${places.data}`);
  if (data.backupLabel) return "the data is a copy that was never recovered";
  const { state } = data.control;
  if (state === "shut down" || state === "shut down in recovery") return undefined;
  if (data.standbySignal) return `the standby did not shut down cleanly (${state})`;
  await recoverAlone(deps, options);
  return undefined;
}

function rewindArgv(
  deps: StandbyDeps,
  program: string,
  places: Places,
  peer: Peer,
): readonly [string, ...string[]] {
  const { instance_id, layout } = deps.file;
  const source = renderConninfo({
    upstream: peer,
    certificateDir: layout.certificate_dir,
    applicationName: `pgherd rewind ${instance_id}`,
    role: "superuser",
    database: "postgres",
  });
  return [
    program,
    `--target-pgdata=${places.data}`,
    `--source-server=${source}`,
    "--no-ensure-shutdown",
    "--progress",
  ];
}

function run(
  deps: StandbyDeps,
  argv: readonly [string, ...string[]],
  { signal, onProgress }: WorkOptions,
): Promise<CommandResult> {
  return runLong(deps, {
    argv,
    timeoutMs: rewindTimeoutMs,
    talks: true,
    signal,
    onLine: (line) => onProgress?.(rewindProgress(line)),
  });
}

/** "12345/67890 kB (18%) copied" */
function rewindProgress(line: string) {
  const match = /^\s*(\d+)\/(\d+) kB/.exec(line);
  const text = line.replace(/^pg_rewind: /, "").trim();
  if (!match) return { phase: "rewinding" as const, text };
  const [doneBytes, totalBytes] = [Number(match[1]) * 1024, Number(match[2]) * 1024];
  return { phase: "rewinding" as const, text, doneBytes, totalBytes };
}

/**
 * Copies the segments that hold the lost records, and those that wait for the archive: pg_rewind removes or
 * overwrites them (hazard H17). Answers the directory; undefined when there is nothing to keep.
 */
async function keepLog(
  deps: StandbyDeps,
  places: Places,
  judgement: Diverged,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { executor, log } = deps;
  const pgWal = `${places.data}/pg_wal`;
  const data = await inspectOffline(deps, places.data);
  const segmentBytes = data?.control.walSegmentBytes ?? 0;
  const waiting = (await executor.list(`${pgWal}/archive_status`))
    .filter((name) => name.endsWith(".ready"))
    .map((name) => name.slice(0, -".ready".length));
  const { from, to } = judgement.kinship.lost;
  const lost = (await executor.list(pgWal)).filter((name) => {
    const segment = parseWalSegmentName(name, segmentBytes);
    if (!segment || segment.timeline < judgement.kinship.timeline) return false;
    return segment.startLsn < to && segment.startLsn + BigInt(segmentBytes) > from;
  });
  const names = [...new Set([...waiting, ...lost])];
  if (names.length === 0) return undefined;
  const most = Math.max(1, Math.floor(keptLogBytesMax / Math.max(1, segmentBytes)));
  const kept = `${keptLogPrefix(places.data)}${timeForName(deps.clock)}`;
  const owner = deps.file.postgres_user === null ? {} : { owner: deps.file.postgres_user };
  await executor.mkdir(kept, { mode: 0o700, ...owner });
  const copied = names.slice(0, most);
  if (copied.length < names.length) {
    log.warn("more log is lost than is kept", { kept: copied.length, lost: names.length });
  }
  for (const name of copied) {
    const argv = ["cp", "--reflink=auto", "--", `${pgWal}/${name}`, `${kept}/${name}`] as const;
    const result = await executor.run({ argv, ...asPostgres(deps.file) }, { signal });
    if (!succeeded(result)) log.warn("log could not be kept", { name, error: failureText(result) });
  }
  await removeOldLog(deps, places);
  return kept;
}

async function removeOldLog(deps: StandbyDeps, places: Places): Promise<void> {
  const parent = places.data.slice(0, places.data.lastIndexOf("/"));
  const all = (await deps.executor.list(parent))
    .map((name) => `${parent}/${name}`)
    .filter((path) => path.startsWith(keptLogPrefix(places.data)));
  for (const path of all.slice(0, Math.max(0, all.length - keptDataMax))) {
    await deps.executor.remove(path);
  }
}

/** The other member's marker came along; this one's takes its place, and only then the data counts as whole. */
async function finish(deps: StandbyDeps, places: Places, judgement: Diverged): Promise<void> {
  await writeState(deps, places.marker, {
    instance_id: deps.file.instance_id,
    system_identifier: judgement.upstream.systemIdentifier,
  });
  await makeStandby(deps, places.data);
  await forgetFormerPrimary(deps);
  await removeFile(deps, places.rewindState);
}
