// What the benchmark of steady cost is asked to measure.
import { parseArgs } from "node:util";
import { SYSTEMS, type SystemName } from "../../test/ha-rig/open.ts";

export interface CostOptions {
  readonly systems: readonly SystemName[];
  readonly rounds: number;
  /** Length of one run of pgbench. */
  readonly seconds: number;
}

export function parseCostOptions(args: readonly string[]): CostOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      systems: { type: "string", default: SYSTEMS.join() },
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "10" },
    },
  });
  return {
    systems: SYSTEMS.filter((name) => values.systems.split(",").includes(name)),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
  };
}
