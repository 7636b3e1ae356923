// A copy takes the place of the data. What was there is kept until the copy has streamed; a copy that never did is
// not worth keeping. Everything is a rename, so that there is a whole data directory or none at any moment.
import { keptDataMax } from "../../../src/base/limits.ts";
import { type CloneState, cloneIdOf } from "./clone-state.ts";
import { forgetFormerPrimary, renameDurably } from "./offline.ts";
import {
  keptPrefix,
  type Places,
  placesOf,
  readState,
  removeFile,
  type StandbyDeps,
  timeForName,
  writeState,
} from "./places.ts";

/** See `StandbyMechanics.confirmClone`. */
export async function confirmClone(
  deps: StandbyDeps,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { executor } = deps;
  const places = placesOf(deps.file);
  await removeFile(deps, places.unproven);
  const kept = await listKept(deps, places);
  for (const path of kept) await executor.remove(path, signal);
  return kept;
}

/** The data has become more than a copy, so it is kept when another one replaces it. */
export async function forgetUnproven(deps: StandbyDeps): Promise<void> {
  await removeFile(deps, placesOf(deps.file).unproven);
}

/** The checked copy becomes the data. Goes on where it was cut. */
export async function replaceData(
  deps: StandbyDeps,
  places: Places,
  state: CloneState,
): Promise<void> {
  const { executor } = deps;
  const there = await executor.stat(places.data);
  const current = await cloneIdOf(deps, places);
  if (there && current !== state.id) await putAside(deps, places, current);
  if (current !== state.id) {
    await writeState(deps, places.unproven, { clone: state.id });
    await renameDurably(deps, places.clone, places.data);
  }
  await writeState(deps, places.markerBeside, {
    instance_id: deps.file.instance_id,
    system_identifier: state.systemIdentifier,
  });
  // The data is whole again, whatever a rewind did to what was there before.
  await removeFile(deps, places.rewindState);
  await forgetFormerPrimary(deps);
  await removeFile(deps, places.cloneState);
}

/** Data is kept, except a copy that never streamed: that is worth less than what was kept for it. */
async function putAside(
  deps: StandbyDeps,
  places: Places,
  current: string | undefined,
): Promise<void> {
  const { executor, clock, log } = deps;
  const names = await executor.list(places.data);
  const unproven = await readState(executor, places.unproven);
  const worthless = current !== undefined && unproven?.clone === current;
  if (names.length === 0 || worthless) {
    await executor.remove(places.discarded);
    await renameDurably(deps, places.data, places.discarded);
    await executor.remove(places.discarded);
    return;
  }
  const kept = `${keptPrefix(places.data)}${timeForName(clock)}`;
  await renameDurably(deps, places.data, kept);
  log.warn("data is kept aside until its copy streams", { kept });
  const all = await listKept(deps, places);
  for (const path of all.slice(0, Math.max(0, all.length - keptDataMax))) {
    log.warn("the oldest data that was kept is removed", { path });
    await executor.remove(path);
  }
}

/** Oldest first. */
async function listKept(deps: StandbyDeps, places: Places): Promise<readonly string[]> {
  const parent = places.data.slice(0, places.data.lastIndexOf("/"));
  const names = await deps.executor.list(parent);
  return names
    .map((name) => `${parent}/${name}`)
    .filter((path) => path.startsWith(keptPrefix(places.data)));
}
