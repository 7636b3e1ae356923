// The mechanics of standbys put together for one instance, and what a killed keeper left behind.
import { cloneFrom } from "./clone.ts";
import { readCloneStage, removeCloneRests } from "./clone-state.ts";
import { judge } from "./judge.ts";
import type { Leftover, StandbyMechanics } from "./mechanics.ts";
import { inspectOffline, makePrimary, needsProof, prepareStandby } from "./offline.ts";
import { placesOf, type StandbyDeps } from "./places.ts";
import { letGo, readPositions } from "./positions.ts";
import { endStrays } from "./programs.ts";
import { checkpointPromoted, promote, surveyPromotion } from "./promote.ts";
import { recoverAlone } from "./recover-alone.ts";
import { confirmClone } from "./replace-data.ts";
import { readRewind, rewind } from "./rewind.ts";

/** The mechanics of one instance. */
export function createStandbyMechanics(deps: StandbyDeps): StandbyMechanics {
  const { data } = placesOf(deps.file);
  return {
    inspectLeftovers: () => inspectLeftovers(deps),
    inspectOffline: () => inspectOffline(deps, data),
    cloneFrom: (peer, options) => cloneFrom(deps, peer, options),
    confirmClone: (signal) => confirmClone(deps, signal),
    prepareStandby: () => prepareStandby(deps),
    needsProof: () => needsProof(deps),
    preparePrimary: () => makePrimary(deps, data),
    recoverAlone: (options) => recoverAlone(deps, options),
    judge: (peer, own, signal) => judge(deps, peer, own, signal),
    rewind: (peer, judgement, options) => rewind(deps, peer, judgement, options),
    positions: (session) => readPositions(deps, session),
    letGo: (session, signal) => letGo(deps, session, signal),
    surveyPromotion: (session) => surveyPromotion(deps, session),
    promote: (session, allotted, signal) => promote(deps, session, allotted, signal),
    checkpoint: (session, signal) => checkpointPromoted(deps, session, signal),
  };
}

/** A rewind that was cut is the more urgent one: the data must not be started. */
async function inspectLeftovers(deps: StandbyDeps): Promise<Leftover | undefined> {
  await endStrays(deps, placesOf(deps.file));
  await removeCloneRests(deps);
  const upstreamId = await readRewind(deps);
  if (upstreamId !== undefined) return { kind: "rewind", upstreamId };
  const stage = await readCloneStage(deps);
  return stage && { kind: "clone", stage };
}
