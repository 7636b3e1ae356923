// The table as a whole: it is total, honest about what its rows do, and leaves no state without a way out.
import { describe, expect, test } from "bun:test";
import { MEMBER_STATES } from "./state.ts";
import { TRANSITIONS, transitionsFrom } from "./transitions.ts";

/** States in which a member may stay for ever: it serves, or a person has to look. */
const RESTING = new Set(["primary", "standby", "refused"]);

describe("the table", () => {
  test("names are unique", () => {
    const names = TRANSITIONS.map(({ name }) => name);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  test("every state has rows, and they lead to states that have rows", () => {
    expect(MEMBER_STATES.filter((state) => transitionsFrom(state).length === 0)).toEqual([]);
    const targets = new Set(TRANSITIONS.flatMap(({ to }) => to));
    expect([...targets].filter((state) => transitionsFrom(state).length === 0)).toEqual([]);
  });

  test("every state but the first is reached, and every state but the resting ones is left", () => {
    const reached = new Set(TRANSITIONS.flatMap(({ from, to }) => to.filter((at) => at !== from)));
    const unreached = MEMBER_STATES.filter((state) => !reached.has(state));
    expect(unreached).toEqual(["unknown", "refused"]);
    for (const state of MEMBER_STATES.filter((known) => !RESTING.has(known))) {
      const rows = transitionsFrom(state);
      expect(
        rows.some(({ to }) => to.some((at) => at !== state)),
        state,
      ).toBe(true);
      const endsAlone = rows.some(({ timeout, action }) => timeout || action === "fence");
      expect(endsAlone, `${state} ends when nothing comes`).toBe(true);
    }
  });
});
