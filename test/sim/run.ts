// Runs one seed: a while of faults, then everything is put right and the node has to be well again.
import { messageOf } from "../../src/base/errors.ts";
import { seededRng } from "../../src/base/rng.ts";
import { Nemesis } from "./nemesis.ts";
import { type Build, sound, World } from "./world.ts";

export interface SeedResult {
  readonly seed: number;
  readonly steps: number;
  readonly violation: string | null;
  readonly acknowledgedSync: number;
  readonly acknowledgedAsync: number;
  readonly promotions: number;
  readonly log: readonly string[];
}

export interface RunOptions {
  readonly seed: number;
  /** Steps with faults; the quiet time at the end comes on top. */
  readonly steps: number;
  readonly build?: Build;
  readonly keepsLog?: boolean;
}

/** Time in which a node has to become well after the last fault; longer than every limit of the settings together. */
const restMs = 150_000;

export function runSeed({ seed, steps, build = sound, keepsLog = false }: RunOptions): SeedResult {
  const world = new World(seed, build, keepsLog);
  const nemesis = new Nemesis(world, seededRng(seed ^ 0x5bd1e995));
  let done = 0;
  const result = (violation: string | null): SeedResult => ({
    seed,
    steps: done,
    violation,
    acknowledgedSync: world.invariants.acknowledgedSync,
    acknowledgedAsync: world.invariants.acknowledgedAsync,
    promotions: world.invariants.promotions,
    log: world.log,
  });
  const step = (): void => {
    world.schedule.step();
    world.invariants.afterStep();
    done += 1;
  };
  try {
    while (done < steps) step();
    nemesis.heal();
    const endMs = world.schedule.nowMs + restMs;
    while (world.schedule.nowMs < endMs && world.invariants.restProblem() !== null) step();
    world.invariants.atRest();
    return result(null);
  } catch (error) {
    return result(messageOf(error));
  }
}
