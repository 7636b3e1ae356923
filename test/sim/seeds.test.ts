// A short run of the simulation, the seeds that once failed, and the proof that the invariants can fail: each of the
// builds that are broken on purpose has to be caught.
import { describe, expect, test } from "bun:test";
import { runSeed } from "./run.ts";
import { type Build, sound } from "./world.ts";

/** Seed and steps of runs that found something, and what it was. */
const FOUND: readonly (readonly [seed: number, steps: number, what: string])[] = [
  [10, 20_000, "a lease that was perhaps released was still acted on"],
  [188, 20_000, "a primary started with a setting that the record under way did not go with"],
  [246, 20_000, "the only member with all commits was kept away for its failed promotions"],
  [691, 20_000, "PostgreSQL was started although the fencer had fired already"],
  [675, 4_000, "a lease was given away for ever to a member that could not take it"],
  [753, 20_000, "a host thawed while its PostgreSQL was starting"],
  [9_297, 3_000, "a read that was sent before a release was announced counted as newer"],
  [6, 20_000, "data that had left the history was stopped and started for ever"],
];

describe("simulation", () => {
  test.each(FOUND)("seed %d of %d steps: %s", (seed, steps) => {
    expect(runSeed({ seed, steps }).violation).toBeNull();
  });

  test("new seeds", () => {
    const results = Array.from({ length: 40 }, (_, at) =>
      runSeed({ seed: 5_000 + at, steps: 4_000 }),
    );
    expect(
      results.flatMap(({ seed, violation }) => (violation ? [`${seed}: ${violation}`] : [])),
    ).toEqual([]);
    const sum = (of: (result: (typeof results)[number]) => number) =>
      results.reduce((total, result) => total + of(result), 0);
    expect(sum(({ promotions }) => promotions)).toBeGreaterThan(40);
    expect(sum(({ acknowledgedSync }) => acknowledgedSync)).toBeGreaterThan(1_000);
  });

  test("the same seed gives the same run", () => {
    const run = () => runSeed({ seed: 77, steps: 3_000, keepsLog: true });
    expect(run()).toEqual(run());
  });
});

describe("broken builds are caught", () => {
  interface Hunt {
    readonly invariant: RegExp;
    readonly first: number;
    readonly steps: number;
  }
  const builds: Record<keyof Build, Hunt> = {
    fences: { invariant: /^I1/, first: 1, steps: 12_000 },
    margin: { invariant: /^I[12]/, first: 1, steps: 12_000 },
    proves: { invariant: /^I6/, first: 1, steps: 12_000 },
    ownTimelines: { invariant: /^I4/, first: 1, steps: 12_000 },
    linearizable: { invariant: /^I7/, first: 1, steps: 12_000 },
  };
  test.each(Object.entries(builds))(
    "%s",
    (part, { invariant, first, steps }) => {
      const build = { ...sound, [part]: false };
      for (let seed = first; seed < first + 100; seed += 1) {
        const { violation } = runSeed({ seed, steps, build });
        if (violation !== null && invariant.test(violation)) return;
      }
      throw new Error("no seed found it");
    },
    60_000,
  );
});
