// The table as a whole: it is total, honest about what its rows do, and leaves no state without a way out. Every
// combination of the facts that its conditions ask for is decided once.
import { describe, expect, test } from "bun:test";
import {
  data,
  epoch,
  intent,
  lease,
  local,
  NOW,
  own,
  primary,
  SETTINGS,
  standby,
  view,
} from "../../test/support/ha-situations.ts";
import type { Decision } from "./action.ts";
import { decide } from "./decide.ts";
import type { Doing, LocalData, LocalView, PostgresView } from "./observed.ts";
import { type GroupView, MEMBER_STATES } from "./state.ts";
import { nobody } from "./sync.ts";
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

// ---- every combination

const mine = lease({ holder: "b", incarnation: "b-1" });
const LEASES: Readonly<Record<string, GroupView>> = {
  unread: view("b", null, { lease: null }),
  none: view("b", null, { initialPrimary: "a" }),
  "none, initial": view("b", null, { initialPrimary: "b" }),
  other: view("b"),
  "other, acquiring": view("b", lease({ phase: "acquiring" })),
  expired: view("b", lease(), {
    lease: { row: lease(), readAtMs: NOW, seenAtMs: NOW - 60_000, wentBack: false },
  }),
  released: view("b", lease({ holder: null, phase: "released" })),
  "earlier keeper": view("b", lease({ holder: "b", incarnation: "b-0" })),
  usurped: view("b", lease({ holder: "b", incarnation: "b-9" })),
  mine: view("b", mine, { own: own(mine) }),
  "mine, first epoch": firstEpoch(),
  "mine, gated": held({ phase: "gated" }),
  "mine, acquiring": held({ phase: "acquiring" }),
  "mine, draining": held({ phase: "draining" }),
  "mine, synchronous": held({ sync: { ...nobody(3), voters: ["a"] } }),
  isolated: view("b", mine, { own: own(mine, { renewedAtMs: NOW - 5_000 }) }),
  "isolated, near the end": view("b", mine, {
    own: own(mine, { renewedAtMs: NOW - 5_000, deadlineMs: NOW + 1_000 }),
  }),
  "released by itself": released("crash"),
  "given away by itself": released("manual"),
  lapsed: view("b", mine, { own: own(mine, { deadlineMs: NOW - 1 }) }),
};

function held(part: Partial<typeof mine>): GroupView {
  const row = { ...mine, ...part };
  return view("b", row, { own: own(row) });
}

function released(kind: "crash" | "manual"): GroupView {
  const ending = { kind, holder: "b", lsn: null, timeline: 2, successor: null };
  const row = lease({ holder: null, phase: "released", ending });
  return view("b", row, { history: [epoch(1, "a"), epoch(2, "b")] });
}

function firstEpoch(): GroupView {
  const row = {
    ...mine,
    epoch: 1,
    timeline: 1,
    system_identifier: null,
    phase: "acquiring",
  } as const;
  return view("b", row, { own: own(row), history: [] });
}

const DATA: readonly LocalData[] = [
  { kind: "absent", hadData: false },
  { kind: "absent", hadData: true },
  { kind: "unfinished", of: "bootstrap" },
  { kind: "unfinished", of: "clone" },
  { kind: "unfinished", of: "rewind" },
  { kind: "refused", reason: "not readable" },
  data(),
  data({ role: "primary", end: 100n, clean: true }),
  data({ role: "primary", end: 500n, timeline: 1, clean: true }),
  data({ role: "primary", rewindable: false }),
  data({ systemIdentifier: "8" }),
];

const SERVERS: readonly PostgresView[] = [
  { kind: "unknown" },
  { kind: "stopped", crash: null, empty: true },
  { kind: "stopped", crash: "killed", empty: true },
  { kind: "stopped", crash: "killed", empty: false },
  { kind: "starting", sinceMs: NOW - 1_000, progressAtMs: NOW },
  { kind: "starting", sinceMs: NOW - 900_000, progressAtMs: NOW - 900_000 },
  { kind: "stopping", sinceMs: NOW - 900_000 },
  { kind: "hung", sinceMs: NOW - 10_000 },
  standby(),
  standby({ upstream: null, streaming: false }),
  standby({ timeline: 1, received: 500n }),
  standby({ stranded: "a segment is gone" }),
  primary(),
  primary({ timeline: 9 }),
  primary({ checkpointDone: false }),
  primary({ gate: "closed", checkpointDone: false }),
  primary({ gate: "closed", standbys: [], missing: [{ instance: "a", sinceMs: NOW - 1_000 }] }),
];

const DOING: readonly (Doing | null)[] = [
  null,
  ...(["bootstrap", "clone", "rewind", "promote", "restart"] as const).flatMap((kind) =>
    [NOW, NOW - 900_000].map((progressAtMs) => ({
      kind,
      source: null,
      epoch: 2,
      sinceMs: NOW - 900_000,
      progressAtMs,
    })),
  ),
];

const synchronous = { ...SETTINGS.synchronous, mode: "on" } as const;

/** The first few go together with long work as well. */
const twistsWithWork = 2;
const TWISTS: readonly ((view: GroupView, local: LocalView) => [GroupView, LocalView])[] = [
  (v, l) => [v, l],
  (v, l) => [{ ...v, intents: [intent({ kind: "pause" })] }, l],
  (v, l) => [{ ...v, intents: [intent({ kind: "switchover", from: null, to: null })] }, l],
  (v, l) => [{ ...v, intents: [intent({ kind: "failover", to: "b" })] }, l],
  (v, l) => [{ ...v, intents: [intent({ kind: "failover", to: "c" })] }, l],
  (v, l) => [
    { ...v, intents: [intent({ kind: "reinitialize", instance_id: "b", from: null })] },
    l,
  ],
  (v, l) => [{ ...v, intents: [intent({ kind: "rewind", instance_id: "b" })] }, l],
  (v, l) => [
    { ...v, intents: [{ ...intent({ kind: "rewind", instance_id: "b" }), state: "running" }] },
    l,
  ],
  (v, l) => [{ ...v, intents: [intent({ kind: "restart", instance_id: "b", reason: "" })] }, l],
  (v, l) => [{ ...v, settings: { ...v.settings, synchronous: synchronous } }, l],
  (v, l) => [{ ...v, promise: { holder: "a", epoch: 2, untilMs: NOW + 3_000 } }, l],
  (v, l) => [v, { ...l, leavingSinceMs: NOW - 100_000 }],
  (v, l) => [v, { ...l, disk: "full" }],
  (v, l) => [
    v,
    { ...l, attempts: { ...l.attempts, failedPromotions: [{ epoch: 2, atMs: NOW - 1_000 }] } },
  ],
  (v, l) => [v, { ...l, attempts: { ...l.attempts, crashesAtMs: [NOW - 3, NOW - 2, NOW - 1] } }],
];

interface Case {
  readonly name: string;
  readonly view: GroupView;
  readonly local: LocalView;
}

function* cases(): Generator<Case> {
  for (const [name, base] of Object.entries(LEASES)) {
    for (const known of DATA) {
      for (const postgres of SERVERS) {
        for (const doing of DOING) {
          const twists = doing ? TWISTS.slice(0, twistsWithWork) : TWISTS;
          for (const [at, twist] of twists.entries()) {
            const heldEpoch = name === "usurped" ? 2 : 0;
            const [v, l] = twist(base, local({ data: known, postgres, doing, heldEpoch }));
            const label = `${name}/${known.kind}/${postgres.kind}/${doing?.kind}/${at}`;
            yield { name: label, view: v, local: l };
          }
        }
      }
    }
  }
}

const RULES = new Map(TRANSITIONS.map((row) => [row.name, row]));

/** What must never be decided; undefined = nothing is wrong. */
function wrong(
  { view: v, local: l }: Case,
  { state, rule, goal, action, sentence }: Decision,
): string | undefined {
  if (sentence.length < 4) return `${rule} says nothing`;
  const row = RULES.get(rule);
  if (row?.from !== state) return `row ${rule} in state ${state}`;
  if (row.action !== action.kind) return `${rule} says ${row.action} and does ${action.kind}`;
  if (row.goal !== "any" && row.goal !== goal.kind) return `${rule} has goal ${goal.kind}`;
  const holds = v.own !== null && NOW < v.own.deadlineMs;
  if (goal.kind === "primary" && !holds) return "a goal of primary without a lease";
  if (action.kind === "promote" && (!holds || v.promise)) return "a promotion that is not allowed";
  if (action.kind === "change_lease" && !holds) return "a change of a lease that is not held";
  if (action.kind === "change_lease" && v.own?.changing) return "a second change at once";
  if (action.kind === "bootstrap" && v.lease?.row?.epoch !== 1) return "new data in a later epoch";
  if (action.kind === "release" && l.postgres.kind === "primary") return "released by a primary";
  const empty = l.postgres.kind !== "stopped" || l.postgres.empty;
  if (action.kind === "release" && action.ending.kind !== "cannot_promote" && !empty) {
    return "released before every process was gone";
  }
  const unleased = l.postgres.kind === "primary" && !holds && v.lease?.row?.holder === "a";
  const touches =
    l.data.kind !== "refused" && !(l.data.kind === "ready" && l.data.systemIdentifier !== "7");
  if (unleased && touches && action.kind !== "fence") return "a primary without a lease goes on";
  return undefined;
}

describe("every combination of facts", () => {
  test("is decided, as the table says, and never dangerously", () => {
    const fired = new Set<string>();
    const found = new Map<string, string>();
    let count = 0;
    for (const each of cases()) {
      const decision = decide(each.view, each.local, NOW);
      count += 1;
      fired.add(decision.rule);
      const problem = wrong(each, decision);
      if (problem) found.set(problem, each.name);
    }
    expect([...found]).toEqual([]);
    expect(count).toBeGreaterThan(100_000);
    const never = TRANSITIONS.map(({ name }) => name).filter((name) => !fired.has(name));
    expect(never).toEqual([]);
  });
});
