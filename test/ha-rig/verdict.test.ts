// A verdict must name everything that was not allowed, and nothing else.
import { expect, test } from "bun:test";
import type { FaultResult } from "./runner.ts";
import { judge } from "./verdict.ts";

const well: FaultResult = {
  fault: "switchover",
  hosts: [],
  note: "",
  gapMs: 900,
  overlapMs: 0,
  lost: 0,
  promotions: 1,
  redundancyMs: 800,
  missing: "",
};
const free = { noPromotion: false, gapMaxMs: Number.POSITIVE_INFINITY, kind: "usual" } as const;

test("a failover without loss is allowed in every mode", () => {
  expect(judge(well, free, "strict")).toEqual([]);
  expect(judge({ ...well, lost: 3 }, free, "async")).toEqual([]);
});

test.each<[string, Partial<FaultResult>, Parameters<typeof judge>[1]]>([
  ["acknowledged rows lost", { lost: 3 }, free],
  ["two nodes", { overlapMs: 20 }, free],
  ["never redundant", { redundancyMs: undefined, missing: "no primary" }, free],
  ["without need", {}, { ...free, noPromotion: true }],
  ["no writes for 9.0 s", { gapMs: 9_000 }, { ...free, gapMaxMs: 8_000 }],
])("%s", (words, change, entry) => {
  const wrong = judge({ ...well, ...change }, entry, "sync");
  expect(wrong).toHaveLength(1);
  expect(wrong[0]).toContain(words);
});

test("what was done by hand may cost rows, but not the way back", () => {
  const byHand = { ...free, kind: "by-hand" } as const;
  expect(judge({ ...well, lost: 3, overlapMs: 900 }, byHand, "strict")).toEqual([]);
  expect(judge({ ...well, redundancyMs: undefined }, byHand, "strict")).toHaveLength(1);
});

test("two nodes acknowledging is wrong in asynchronous mode as well", () => {
  expect(judge({ ...well, overlapMs: 1 }, free, "async")).toHaveLength(1);
});
