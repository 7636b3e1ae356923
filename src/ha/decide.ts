// The decision of one member at one moment: the first row of the table that holds for the state it is in. Pure and
// total: the same view gives the same answer, in the keeper, in the simulation and in explanations.
import { must } from "../base/assert.ts";
import type { Decision } from "./action.ts";
import type { LocalView } from "./observed.ts";
import { situationOf, stateOf } from "./situation.ts";
import type { GroupView } from "./state.ts";
import { transitionsFrom } from "./transitions.ts";

/** What to do now. `nowMs` is the boot clock of this host. */
export function decide(view: GroupView, local: LocalView, nowMs: number): Decision {
  const situation = situationOf(view, local, nowMs);
  const state = stateOf(situation);
  const row = must(
    transitionsFrom(state).find(({ when }) => when(situation)),
    `row for state ${state}`,
  );
  return { state, rule: row.name, ...row.decide(situation) };
}
