// The simulation of high availability from the command line.
//   bun scripts/sim.ts [--seed N] [--seeds N] [--steps N] [--break fences|margin|proves|ownTimelines|linearizable] [--log]
import { runSeed } from "../test/sim/run.ts";
import { type Build, sound } from "../test/sim/world.ts";

function numberOf(args: readonly string[], name: string, otherwise: number): number {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? otherwise : Number(args[at + 1]);
}

function buildOf(args: readonly string[]): Build {
  const at = args.indexOf("--break");
  return at < 0 ? sound : { ...sound, [String(args[at + 1])]: false };
}

function main(args: readonly string[]): number {
  const first = numberOf(args, "seed", 1);
  const seeds = numberOf(args, "seeds", 1);
  const steps = numberOf(args, "steps", 4_000);
  const keepsLog = args.includes("--log");
  const build = buildOf(args);
  const began = performance.now();
  const sum = { steps: 0, sync: 0, async: 0, promotions: 0, violations: 0 };
  for (let seed = first; seed < first + seeds; seed += 1) {
    const result = runSeed({ seed, steps, build, keepsLog });
    sum.steps += result.steps;
    sum.sync += result.acknowledgedSync;
    sum.async += result.acknowledgedAsync;
    sum.promotions += result.promotions;
    if (keepsLog) console.log(result.log.join("\n"));
    if (result.violation === null) continue;
    sum.violations += 1;
    console.log(`seed ${seed}, step ${result.steps}: ${result.violation}`);
  }
  const seconds = (performance.now() - began) / 1_000;
  console.log(
    `${sum.steps} steps of ${seeds} seeds in ${seconds.toFixed(1)} s: ${sum.violations} violations; ` +
      `${sum.sync} synchronous and ${sum.async} asynchronous commits, ${sum.promotions} primaries`,
  );
  return sum.violations === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(main(process.argv.slice(2)));
