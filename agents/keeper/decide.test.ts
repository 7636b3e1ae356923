// Every combination of what can be seen and wanted is decided, and no decision breaks an invariant.
import { expect, test } from "bun:test";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import { type Decision, decide, type Observed, RULES, type Wanted } from "./decide.ts";

const config: InstanceConfig = {
  generation: 4,
  instance_id: "i",
  database_id: "d",
  node_name: "n1",
  host_id: "h",
  database_name: "d",
  postgres_major: 15,
  bin_dir: "/b",
  run: "running",
  port: 5432,
  rest_port: null,
  listen_addresses: [],
  connect_addresses: [],
  parameters: {},
  hba: [],
  ident: [],
  restart_generation: 0,
};
const healthy: Observed = {
  data: { kind: "ready" },
  process: { kind: "running" },
  accepting: true,
  configuration: {
    files: "same",
    refusal: undefined,
    substituted: false,
    usable: true,
    fallback: false,
  },
  pendingRestart: [],
  overridden: [],
  inRecovery: false,
  certificatesChanged: false,
};
const calm: Wanted = {
  config,
  fromStore: true,
  appliedGeneration: 4,
  restartedGeneration: 0,
  requests: [],
  goal: undefined,
  held: false,
  busy: false,
  restartReason: undefined,
  reloadAsked: false,
};
const goals: readonly Wanted["goal"][] = [
  { kind: "stopped", why: "handover" },
  { kind: "wait", why: "the group" },
  { kind: "standby", upstream: "b" },
  {
    kind: "primary",
    epoch: 1,
    timeline: 1,
    gate: "open",
    sync: { standbys: [], count: 0, blocked: false },
  },
];
const script = {
  id: "r1",
  generation: 4,
  payload: { kind: "script", key: "k", database: "d", statements: [] },
} as const;
const stopped = { kind: "stopped", filesSuspected: false, waitMs: 0 } as const;

function kindOf(observed: Partial<Observed>, wanted: Partial<Wanted> = {}): string {
  return decide({ ...healthy, ...observed }, { ...calm, ...wanted }).action.kind;
}

test("from nothing to in effect", () => {
  const absent = { data: { kind: "absent" }, process: stopped, accepting: false } as const;
  expect(kindOf(absent, { config: undefined as never })).toBe("none");
  expect(kindOf(absent, { fromStore: false })).toBe("none");
  expect(kindOf({ ...absent, process: { kind: "unknown" } })).toBe("bootstrap");
  const different = { ...healthy.configuration, files: "different", usable: false } as const;
  expect(kindOf({ process: stopped, configuration: different })).toBe("write_configuration");
  expect(kindOf({ process: stopped })).toBe("start");
  expect(kindOf({ accepting: false })).toBe("none");
  expect(decide(healthy, calm)).toMatchObject({ action: { kind: "none" }, settled: true });
});

test("a refused configuration is reported, leaves PostgreSQL running, and is not tried again", () => {
  const configuration = { ...healthy.configuration, refusal: "work_mem: nonsense" };
  expect(decide({ ...healthy, configuration }, calm)).toMatchObject({
    action: { kind: "none" },
    error: "work_mem: nonsense",
    settled: false,
  });
  expect(kindOf({ configuration, process: stopped })).toBe("start");
});

test("files that do not start give way to those that did", () => {
  const crashed = {
    kind: "stopped",
    crash: "no memory",
    filesSuspected: true,
    waitMs: 900,
  } as const;
  const configuration = {
    files: "same",
    refusal: undefined,
    substituted: false,
    usable: true,
    fallback: true,
  } as const;
  expect(kindOf({ process: crashed, configuration })).toBe("restore_configuration");
  expect(kindOf({ process: crashed })).toBe("none");
  expect(kindOf({ process: { ...crashed, waitMs: 0 } })).toBe("start");
});

test("settings wait for a restart until a plan orders it for this generation, once", () => {
  const pendingRestart = ["max_connections"];
  const ordered = { ...config, restart_generation: 4 };
  expect(decide({ ...healthy, pendingRestart }, calm).settled).toBe(true);
  expect(kindOf({ pendingRestart }, { config: ordered })).toBe("restart");
  expect(kindOf({ pendingRestart }, { config: ordered, busy: true })).toBe("none");
  expect(decide({ ...healthy, pendingRestart }, { ...calm, config: ordered }).settled).toBe(false);
  expect(kindOf({ pendingRestart }, { config: ordered, restartedGeneration: 4 })).toBe("none");
  expect(kindOf({ pendingRestart }, { config: { ...config, restart_generation: 3 } })).toBe("none");
});

test("requests wait for their generation, and are declined by an instance that should not run", () => {
  expect(kindOf({}, { requests: [script] })).toBe("serve");
  expect(kindOf({}, { requests: [script], busy: true })).toBe("none");
  expect(kindOf({}, { requests: [{ ...script, generation: 5 }] })).toBe("none");
  expect(kindOf({ accepting: false }, { requests: [script] })).toBe("none");
  const off = { ...config, run: "stopped" } as const;
  expect(kindOf({}, { config: off, requests: [script] })).toBe("stop");
  expect(kindOf({ process: stopped }, { config: off, requests: [script] })).toBe("decline");
  const again = { ...script, payload: { kind: "restart", reason: "asked" } } as const;
  expect(kindOf({}, { requests: [again] })).toBe("restart");
});

test("every rule decides something in some situation, and every situation is decided safely", () => {
  const reached = new Set<string>();
  for (const [observed, wanted] of situations()) {
    const decision = decide(observed, wanted);
    const view = { ...observed, ...wanted, config: wanted.config ?? config };
    if (wanted.config) reached.add(RULES.find((rule) => rule.when(view))?.name ?? "none");
    checkSafe(observed, wanted, decision);
  }
  expect([...reached].sort()).toEqual(RULES.map((rule) => rule.name).sort());
});

function checkSafe(observed: Observed, wanted: Wanted, decision: Decision): void {
  const { kind } = decision.action;
  const what = () => JSON.stringify({ observed, wanted, decision });
  const assertThat = (holds: boolean) => {
    if (!holds) throw new Error(what());
  };
  assertThat(decision.sentence !== "");
  const on = wanted.config?.run === "running";
  if (kind === "bootstrap") assertThat(observed.data.kind === "absent" && wanted.fromStore && on);
  if (kind === "start") assertThat(observed.data.kind === "ready" && on);
  if (kind === "start") assertThat(observed.process.kind === "stopped");
  const { goal } = wanted;
  if (goal) {
    const runs = goal.kind === "primary" || goal.kind === "standby";
    if (kind === "start") assertThat(runs);
    if (kind === "stop") assertThat(goal.kind === "stopped");
    if (kind === "serve" && wanted.requests[0]?.payload.kind === "script") {
      assertThat(observed.inRecovery === false);
    }
    assertThat(kind !== "bootstrap");
    return;
  }
  if (["stop", "restart"].includes(kind)) assertThat(observed.process.kind === "running");
  if (kind === "restart") assertThat(on && observed.accepting && !wanted.busy);
  if (kind === "stop") assertThat(!on);
  if (["serve", "apply_configuration", "reload"].includes(kind)) assertThat(observed.accepting);
  if (["serve", "restart"].includes(kind)) assertThat(!wanted.busy);
  if (decision.settled) assertThat(decision.error === undefined);
  if (decision.settled && on) {
    assertThat(observed.configuration.files === "same" && observed.accepting);
  }
}

/** All combinations of a few values of each field. */
function* situations(): Generator<[Observed, Wanted]> {
  const stops = [
    stopped,
    { ...stopped, crash: "signal 9", waitMs: 500 },
    { ...stopped, crash: "bad file", filesSuspected: true },
  ];
  const restart = { ...script, payload: { kind: "restart", reason: "asked" } } as const;
  for (const data of [
    { kind: "absent" },
    { kind: "ready" },
    { kind: "refused", reason: "not ours" },
  ] as const)
    for (const process of [
      ...stops,
      { kind: "unknown" },
      { kind: "stopping" },
      { kind: "running" },
    ] as const)
      for (const accepting of process.kind === "running" ? [true, false] : [false])
        for (const files of ["same", "unread", "different"] as const)
          for (const refusal of [undefined, "work_mem"])
            for (const usable of [true, false])
              for (const pendingRestart of [[], ["max_connections"]])
                for (const certificatesChanged of [true, false])
                  for (const wanted of wishes(script, restart)) {
                    const fallback = !usable;
                    const substituted = fallback && pendingRestart.length > 0;
                    const configuration = { files, refusal, substituted, usable, fallback };
                    const seen = { data, process, accepting, configuration };
                    const more = {
                      pendingRestart,
                      overridden: [],
                      inRecovery: usable,
                      certificatesChanged,
                    };
                    yield [{ ...seen, ...more }, wanted];
                  }
}

function* wishes(...requests: readonly Wanted["requests"][number][]): Generator<Wanted> {
  for (const run of ["running", "stopped"] as const)
    for (const restart_generation of [0, 4])
      for (const pending of [[], ...requests.map((request) => [request])])
        for (const [fromStore, busy, restartReason, reloadAsked] of [
          [true, false, undefined, false],
          [false, false, undefined, true],
          [true, true, undefined, false],
          [true, false, "REST", false],
        ] as const) {
          const wanted = { ...config, run, restart_generation };
          yield {
            ...calm,
            config: wanted,
            requests: pending,
            fromStore,
            busy,
            restartReason,
            reloadAsked,
          };
        }
  for (const goal of goals) {
    for (const run of ["running", "stopped"] as const) {
      for (const pending of [[], ...requests.map((request) => [request])]) {
        const held = goal?.kind === "wait" && pending.length > 0;
        yield { ...calm, config: { ...config, run }, requests: pending, goal, held };
      }
    }
  }
  yield { ...calm, config: undefined };
}
