// The table: for every state of a member the rows that may fire, in order. The last row of a state always does.
// Rows are in table/, by whom they concern.
import type { MemberState } from "./state.ts";
import { CHANGING, REFUSED, UNKNOWN, UNLEASED } from "./table/between.ts";
import { DIVERGED, EMPTY, WORKING } from "./table/data.ts";
import { DRAINING, GATED, ISOLATED, PRIMARY, PROMOTING } from "./table/holder.ts";
import { CANDIDATE, STANDBY } from "./table/standby.ts";
import { STOPPED } from "./table/stopped.ts";
import type { Transition } from "./transition.ts";

export const TRANSITIONS: readonly Transition[] = [
  ...UNKNOWN,
  ...EMPTY,
  ...WORKING,
  ...DIVERGED,
  ...STOPPED,
  ...CHANGING,
  ...STANDBY,
  ...CANDIDATE,
  ...PROMOTING,
  ...GATED,
  ...PRIMARY,
  ...DRAINING,
  ...ISOLATED,
  ...UNLEASED,
  ...REFUSED,
];

const BY_STATE = Map.groupBy(TRANSITIONS, ({ from }) => from);

export function transitionsFrom(state: MemberState): readonly Transition[] {
  return BY_STATE.get(state) ?? [];
}
