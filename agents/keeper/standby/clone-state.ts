// How far a copy of another member came, in a file beside the data. A copy has an id; the marker inside the data says
// which copy it is.
import { AppError } from "../../../src/base/errors.ts";
import { type Places, placesOf, readState, type StandbyDeps } from "./places.ts";

export type CloneStage = "copying" | "copied" | "verified";

/** What is known of a copy that was begun. */
export interface CloneState {
  readonly id: string;
  readonly stage: CloneStage;
  readonly peerId: string;
  readonly systemIdentifier: string;
  /** Wall time. */
  readonly atMs: number;
}

/** How far a copy came that an earlier keeper began; undefined when there is none. */
export async function readCloneStage(deps: StandbyDeps): Promise<CloneStage | undefined> {
  return (await readClone(deps, placesOf(deps.file)))?.stage;
}

/** Removes what no copy that is being made needs. */
export async function removeCloneRests(deps: StandbyDeps): Promise<void> {
  const places = placesOf(deps.file);
  await deps.executor.remove(places.discarded);
  if ((await readClone(deps, places)) === undefined) await deps.executor.remove(places.clone);
}

/** Which copy the data directory is; undefined when it is none, or nobody knows what. */
export async function cloneIdOf(deps: StandbyDeps, places: Places): Promise<string | undefined> {
  try {
    const marker = await readState(deps.executor, places.marker);
    return typeof marker?.clone === "string" ? marker.clone : undefined;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    deps.log.warn("the data directory's marker cannot be read", { error: error.message });
    return undefined;
  }
}

/** Undefined when no copy was begun. */
export async function readClone(
  deps: StandbyDeps,
  places: Places,
): Promise<CloneState | undefined> {
  const value = await readState(deps.executor, places.cloneState);
  const stage = (["copying", "copied", "verified"] as const).find((name) => name === value?.stage);
  if (!value || !stage) return undefined;
  return {
    id: String(value.id),
    stage,
    peerId: String(value.peerId),
    systemIdentifier: String(value.systemIdentifier),
    atMs: Number(value.atMs),
  };
}
