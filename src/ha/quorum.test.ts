// The claims of quorum.ts, counted out: for small sets every way in which standbys can have a commit is tried.
import { describe, expect, test } from "bun:test";
import {
  asynchronous,
  between,
  isCovered,
  isElectable,
  isElected,
  isImplied,
  isSafe,
  recordOf,
  type SyncRecord,
  type SyncSetting,
} from "./quorum.ts";

const ALL = ["a", "b", "c", "d"];

function subsets(of: readonly string[]): string[][] {
  const all: string[][] = [[]];
  for (const item of of) all.push(...all.map((set) => [...set, item]));
  return all;
}

const SETTINGS: SyncSetting[] = subsets(ALL)
  .filter((standbys) => standbys.length > 0)
  .flatMap((standbys) =>
    standbys.map((_, index) => ({ standbys, count: index + 1, blocked: false })),
  );
const RECORDS: SyncRecord[] = subsets(ALL).flatMap((voters) =>
  [...voters, "one more"].map((_, index) => {
    const quorum = index + 1;
    return { version: 0, mode: "on", voters, quorum, count: 1 } as const;
  }),
);

/** The sets that may have a commit when it is acknowledged: the least ones are enough. */
function holders({ standbys, count }: SyncSetting): string[][] {
  return subsets(standbys).filter((set) => set.length === count);
}

/** The sets that may elect. */
function electorates({ voters, quorum }: SyncRecord): string[][] {
  return subsets(voters).filter((set) => set.length === quorum);
}

function meet(a: readonly string[], b: readonly string[]): boolean {
  return a.some((item) => b.includes(item));
}

describe("first claim: setting and record", () => {
  test("safe exactly when every electorate meets every set of holders", () => {
    let pairs = 0;
    for (const setting of SETTINGS) {
      for (const record of RECORDS) {
        const always = holders(setting).every((having) =>
          electorates(record).every((set) => meet(having, set)),
        );
        expect(isSafe(setting, record)).toBe(always);
        pairs += 1;
      }
    }
    expect(pairs).toBeGreaterThan(1_000);
  });

  test("an asynchronous setting goes only with a record that elects nobody", () => {
    for (const record of RECORDS) expect(isSafe(asynchronous, record)).toBe(!isElectable(record));
  });
});

describe("second claim: from record to record", () => {
  test("implied records elect only where the old one's electorates are inside", () => {
    for (const from of RECORDS.filter(isElectable)) {
      for (const to of RECORDS.filter((record) => isImplied(from, record))) {
        for (const set of electorates(to)) {
          expect(electorates(from).some((old) => old.every((id) => set.includes(id)))).toBe(true);
        }
      }
    }
  });
});

describe("third claim: those who caught up", () => {
  test("cover exactly when no electorate avoids them", () => {
    for (const record of RECORDS) {
      for (const having of subsets(ALL)) {
        const always = electorates(record).every((set) => meet(set, having));
        expect(isCovered(record, having)).toBe(always);
      }
    }
  });
});

describe("ways", () => {
  test("what lies between two settings goes with both records", () => {
    for (const from of SETTINGS) {
      const old = recordOf(from, 1);
      for (const to of SETTINGS) {
        const way = between(from, old, to);
        expect(isSafe(way, old)).toBe(true);
        expect(isSafe(way, recordOf(to, 2))).toBe(true);
      }
    }
  });

  test("n of n lets each be promoted alone; one of n asks for all", () => {
    const both = { standbys: ["a", "b"], count: 2, blocked: false };
    expect(recordOf(both, 0)).toMatchObject({ voters: ["a", "b"], quorum: 1 });
    const any = { ...both, count: 1 };
    expect(recordOf(any, 0)).toMatchObject({ voters: ["a", "b"], quorum: 2 });
    expect(isElected(recordOf(any, 0), "a", ["c"])).toBe(false);
    expect(isElected(recordOf(any, 0), "a", ["b"])).toBe(true);
  });
});
