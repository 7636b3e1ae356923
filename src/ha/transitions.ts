// The table: for every state of a member the rows that may fire, in order. The last row of a state always does.
// Rows are in table/, by whom they concern.
import type { MemberState } from "./state.ts";
import { DRAINING, GATED, ISOLATED, PRIMARY, PROMOTING } from "./table/holder.ts";
import {
  CHANGING,
  DIVERGED,
  EMPTY,
  REFUSED,
  STOPPED,
  UNKNOWN,
  UNLEASED,
  WORKING,
} from "./table/idle.ts";
import { CANDIDATE, STANDBY } from "./table/standby.ts";
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
