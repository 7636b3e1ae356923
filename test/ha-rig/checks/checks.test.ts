// Every check must stay silent on a good run and must catch the violation that is planted here.
import { describe, expect, test } from "bun:test";
import type { Attempt, Outcome } from "../attempt.ts";
import { checkAppends } from "./append.ts";
import { checkEpochs } from "./epochs.ts";
import { checkEquality } from "./equality.ts";
import { writeGap } from "./gap.ts";
import { checkLeaks } from "./leaks.ts";
import { checkLedger, lostRows } from "./ledger.ts";
import { checkStaleReads } from "./stale.ts";
import { checkTimelines, parseHistory } from "./timelines.ts";
import { checkTwoPrimaries, overlap } from "./two-primaries.ts";

const attempt = (n: number, change: Partial<Attempt> = {}): Attempt => ({
  client: "w",
  n,
  host: "h1",
  sentMs: n * 10,
  endedMs: n * 10 + 5,
  outcome: "acked",
  timeline: 1,
  reason: "",
  ...change,
});
const rows = (...ns: number[]) => new Set(ns.map((n) => `w:${n}`));
const names = (findings: readonly { readonly check: string }[]) =>
  findings.map(({ check }) => check);

describe("ledger", () => {
  const attempts = [
    attempt(0),
    attempt(1, { outcome: "failed" }),
    attempt(2, { outcome: "unknown" }),
    attempt(3),
  ];
  test("acknowledged rows are there, refused ones are not, unknown ones may be", () => {
    expect(checkLedger(attempts, rows(0, 3), "h1", false)).toEqual([]);
    expect(checkLedger(attempts, rows(0, 2, 3), "h1", false)).toEqual([]);
  });
  test.each<[string, Set<string>, string]>([
    ["an acknowledged row is missing", rows(0), "lost"],
    ["a refused row is there", rows(0, 1, 3), "refused"],
    ["a row comes from nowhere", rows(0, 3, 9), "unasked"],
  ])("%s", (_, present, check) => {
    expect(names(checkLedger(attempts, present, "h1", false))).toEqual([check]);
  });
  test("asynchronous losses are counted, not reported", () => {
    expect(lostRows(attempts, rows(0)).map(({ n }) => n)).toEqual([3]);
    expect(checkLedger(attempts, rows(0), "h1", true)).toEqual([]);
  });
});

describe("two primaries", () => {
  const before = [attempt(0), attempt(1)];
  const after = [5, 6].map((n) => attempt(n, { host: "h2", timeline: 2 }));
  const outcomes: readonly Outcome[] = ["failed", "unknown"];
  test("a handover is none, and neither are writes that the old one did not acknowledge", () => {
    expect(checkTwoPrimaries([...before, ...after])).toEqual([]);
    const late = outcomes.map((outcome, at) => attempt(10 + at, { outcome }));
    expect(checkTwoPrimaries([...before, ...after, ...late])).toEqual([]);
  });
  test("a write that was sent before and answered late is none", () => {
    expect(overlap([...before, ...after, attempt(4, { endedMs: 90 })]).writes).toBe(0);
  });
  test("a return to the first host on a newer timeline is none", () => {
    const back = attempt(9, { host: "h1", timeline: 3 });
    expect(checkTwoPrimaries([...before, ...after, back])).toEqual([]);
  });
  test("the old one acknowledges a write that was sent after the new one had begun", () => {
    const late = attempt(7);
    expect(names(checkTwoPrimaries([...before, ...after, late]))).toEqual(["two-primaries"]);
    expect(overlap([...before, ...after, late])).toMatchObject({ ms: 20, writes: 1 });
  });
  test("several such times add up, without what lies between them", () => {
    const more = [20, 21].map((n) => attempt(n, { host: "h3", timeline: 3 }));
    const late = [attempt(7), attempt(22, { host: "h2", timeline: 2 })];
    expect(overlap([...before, ...after, ...more, ...late])).toMatchObject({ ms: 40, writes: 2 });
  });
  test("two nodes write one timeline", () => {
    const fork = attempt(5, { host: "h2", timeline: 1 });
    expect(names(checkTwoPrimaries([...before, fork]))).toEqual(["shared-timeline"]);
  });
});

describe("write gap", () => {
  test("the largest pause that the window touches", () => {
    const attempts = [attempt(0), attempt(1), attempt(51), attempt(52)];
    expect(writeGap(attempts, 100, 530)).toBe(500);
    expect(writeGap(attempts, 516, 530)).toBe(10);
  });
  test("failed writes close no gap, and one that never ends is as long as the window", () => {
    expect(writeGap([attempt(0), attempt(1, { outcome: "failed" })], 5, 1_005)).toBe(1_000);
    expect(writeGap([], 5, 1_005)).toBe(1_000);
  });
});

describe("stale reads", () => {
  const attempts = [attempt(0), attempt(1), attempt(2)];
  const read = (sentMs: number, n: number) => ({
    host: "h1",
    sentMs,
    newest: new Map([["w", n]]),
  });
  test("a read sees what was acknowledged before it, or more", () => {
    expect(checkStaleReads(attempts, [read(16, 1), read(14, 1), read(30, 2)], new Set())).toEqual(
      [],
    );
  });
  test("a read that misses an acknowledged write", () => {
    expect(names(checkStaleReads(attempts, [read(26, 1)], new Set()))).toEqual(["stale-read"]);
  });
  test("a read before anything was written misses nothing", () => {
    expect(checkStaleReads(attempts, [read(1, -1)], new Set())).toEqual([]);
  });
  test("a row that is reported as lost is not missed again", () => {
    expect(checkStaleReads(attempts, [read(30, 1)], rows(2))).toEqual([]);
  });
});

describe("append order", () => {
  const attempts = [attempt(0), attempt(1), attempt(2, { outcome: "unknown", endedMs: 900 })];
  const check = (...elements: string[]) => checkAppends(attempts, new Map([[0, elements]]));
  test("in order, with an unknown one anywhere after it was sent", () => {
    expect(check("w:0", "w:1", "w:2")).toEqual([]);
    expect(check("w:0", "w:1")).toEqual([]);
  });
  test.each<[string, string[]]>([
    ["swapped", ["w:1", "w:0"]],
    ["twice", ["w:0", "w:1", "w:0"]],
    ["from nowhere", ["w:0", "w:7"]],
    ["an unknown one before what ended before it was sent", ["w:0", "w:2", "w:1"]],
  ])("%s", (_, elements) => {
    expect(names(check(...elements))).toEqual(["append-order"]);
  });
});

describe("epochs", () => {
  const epoch = (number: number, holder: string, timeline: number) => ({
    epoch: number,
    holder,
    timeline,
  });
  const good = [epoch(1, "a", 1), epoch(2, "b", 2), epoch(3, "b", 2), epoch(5, "a", 4)];
  test("they grow, and a holder may go on with its timeline", () => {
    expect(checkEpochs(good)).toEqual([]);
  });
  test.each<[string, ReturnType<typeof epoch>]>([
    ["an epoch twice", epoch(5, "b", 5)],
    ["an epoch that goes back", epoch(4, "b", 5)],
    ["a timeline of another holder", epoch(6, "b", 4)],
    ["a timeline that goes back", epoch(6, "a", 3)],
  ])("%s", (_, last) => {
    expect(names(checkEpochs([...good, last]))).toContain("epochs");
  });
});

describe("timelines", () => {
  const third = parseHistory(
    "# comment\n1\t0/50\tno recovery target\n\n2\t0/90\tno recovery target",
  );
  const node = (name: string, current: number, histories: [number, string][]) => ({
    node: name,
    current,
    histories: new Map(histories),
  });
  const primary = node("h1", 3, [
    [2, "1 0/50 no recovery target"],
    [3, third],
  ]);
  const written = new Set([1, 2, 3]);
  test("one past, known everywhere, and reserved numbers without one", () => {
    const standby = node("h2", 3, [
      [2, ""],
      [3, third],
    ]);
    expect(checkTimelines(primary, [standby], written, false)).toEqual([]);
  });
  test("a number with two pasts", () => {
    const standby = node("h2", 3, [[2, "1 0/70 no recovery target"]]);
    expect(names(checkTimelines(primary, [standby], written, false))).toEqual(["timelines"]);
  });
  test("a standby on another timeline", () => {
    expect(names(checkTimelines(primary, [node("h2", 2, [])], written, false))).toEqual([
      "timelines",
    ]);
  });
  test("an acknowledged timeline that is no ancestor; asynchronous failovers may abandon one", () => {
    const abandoned = new Set([1, 4]);
    expect(names(checkTimelines(primary, [], abandoned, false))).toEqual(["timelines"]);
    expect(checkTimelines(primary, [], abandoned, true)).toEqual([]);
  });
});

describe("equality", () => {
  const node = (name: string, sum: string, balance = 8, corruption: string[] = []) => ({
    node: name,
    checksums: new Map([["ledger", sum]]),
    balance,
    corruption,
  });
  test("the same everywhere", () => {
    expect(checkEquality([node("h1", "a"), node("h2", "a")], 8)).toEqual([]);
  });
  test.each<[string, ReturnType<typeof node>, string]>([
    ["another checksum", node("h2", "b"), "equality"],
    ["money that vanished", node("h2", "a", 7), "balance"],
    ["a broken index", node("h2", "a", 8, ["item order invariant violated"]), "amcheck"],
  ])("%s", (_, other, check) => {
    expect(names(checkEquality([node("h1", "a"), other], 8))).toEqual([check]);
  });
});

describe("leaks", () => {
  const clean = {
    node: "h1",
    postmasters: 1,
    orphans: [],
    idleSlots: [],
    heldTransactions: 7,
    keptAside: [],
  };
  test("nothing left", () => {
    expect(checkLeaks([clean], 0)).toEqual([]);
  });
  test.each<[string, Partial<Parameters<typeof checkLeaks>[0][number]>]>([
    ["no postmaster", { postmasters: 0 }],
    ["two postmasters", { postmasters: 2 }],
    ["a backend without its postmaster", { orphans: ["12 postgres: rig shop"] }],
    ["a slot that nobody uses", { idleSlots: ["h9"] }],
    ["rows that nobody sees", { heldTransactions: 5_000 }],
    ["more old data than faults", { keptAside: ["data.failed"] }],
  ])("%s", (_, change) => {
    expect(names(checkLeaks([{ ...clean, ...change }], 0))).toEqual(["leaks"]);
  });
});
