// What a run of the fault matrix is asked to do.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { detectionMs, SYSTEMS, type SystemName } from "./open.ts";
import { MODES, type Mode, type Timings } from "./system.ts";

export interface MatrixOptions {
  readonly system: SystemName;
  readonly modes: readonly Mode[];
  /** The whole matrix on the first, the core set on the others. */
  readonly majors: readonly number[];
  readonly timings: Timings;
  /** Numbers of faults or groups; empty = all. */
  readonly only: readonly string[];
  /** Random faults instead of the list; 0 = the list. */
  readonly random: number;
  readonly seed: number;
  readonly report: string;
  /** Of a second, of each host; absent = what the rig gives. */
  readonly realtimeMs?: number;
  /** How long a system with these timings may take to notice a lost host. */
  readonly detectionMs: number;
}

export const USAGE = `usage: bun scripts/faults.ts [--system pgherd] [--modes async,sync,strict,quorum] [--majors 17,15,16,18]
  [--timings usual|fastest] [--only F1,F9.2] [--random 200] [--seed 1] [--report FILE]
  [--realtime-ms 300] of a second for what runs at real-time priority on each host; all labs at once have 950`;

export function parseMatrixOptions(args: readonly string[]): MatrixOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      system: { type: "string", default: "pgherd" },
      modes: { type: "string", default: MODES.join() },
      majors: { type: "string", default: "17,15,16,18" },
      timings: { type: "string", default: "fastest" },
      only: { type: "string", default: "" },
      random: { type: "string", default: "0" },
      seed: { type: "string", default: "1" },
      "realtime-ms": { type: "string" },
      report: { type: "string", default: join(import.meta.dir, "../../.cache/reports/faults.md") },
    },
  });
  const timingNames: readonly Timings[] = ["usual", "fastest"];
  const timings = known(values.timings, timingNames);
  const system = known(values.system, SYSTEMS);
  return {
    system,
    modes: values.modes.split(",").map((mode) => known(mode, MODES)),
    majors: values.majors.split(",").map(Number),
    timings,
    only: values.only.split(",").filter(Boolean),
    random: Number(values.random),
    seed: Number(values.seed),
    report: values.report,
    ...(values["realtime-ms"] ? { realtimeMs: Number(values["realtime-ms"]) } : {}),
    detectionMs: detectionMs(system, timings),
  };
}

function known<T extends string>(word: string, all: readonly T[]): T {
  const value = all.find((each) => each === word);
  if (value === undefined) throw new Error(`"${word}" is none of ${all.join(", ")}`);
  return value;
}
