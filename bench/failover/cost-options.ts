// What the benchmark of steady cost is asked to measure.
import { parseArgs } from "node:util";
import { SYSTEMS, type SystemName } from "../../test/ha-rig/open.ts";

export interface CostOptions {
  readonly systems: readonly SystemName[];
  /** How often agents are stopped and go on. */
  readonly pairs: number;
  /** Length of one turn. */
  readonly seconds: number;
  /** Of pgbench. */
  readonly clients: number;
  /** Which of pgbench's own scripts, one after the other. */
  readonly builtins: readonly string[];
}

export function parseCostOptions(args: readonly string[]): CostOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      systems: { type: "string", default: SYSTEMS.join() },
      pairs: { type: "string", default: "40" },
      seconds: { type: "string", default: "10" },
      clients: { type: "string", default: "8" },
      builtin: { type: "string", default: "tpcb-like" },
    },
  });
  return {
    systems: SYSTEMS.filter((name) => values.systems.split(",").includes(name)),
    pairs: Number(values.pairs),
    seconds: Number(values.seconds),
    clients: Number(values.clients),
    builtins: values.builtin.split(","),
  };
}
