// What the benchmark is asked to measure.
import { parseArgs } from "node:util";
import type { Fault } from "../../test/ha-rig/faults/fault.ts";
import { SYSTEMS, type SystemName } from "../../test/ha-rig/open.ts";
import { MODES, type Mode, TIMINGS, type Timings } from "../../test/ha-rig/system.ts";

/** Faults by their short names. Those that hide something are held until any system has noticed, by its own settings. */
export function benchFaults(detectionMs: number): Readonly<Record<string, Fault>> {
  return {
    switchover: { kind: "switchover" },
    stop: { kind: "clean-stop", forMs: 5_000 },
    crash: { kind: "kill", what: ["postmaster"], on: "primary" },
    host: { kind: "power-off", on: ["primary"], forMs: detectionMs + 5_000 },
    agent: { kind: "stop", what: ["agent"], on: "primary", forMs: detectionMs + 40_000 },
    fencer: { kind: "stop", what: ["fencer"], on: "primary", forMs: detectionMs + 20_000 },
    postmaster: { kind: "stop", what: ["postmaster"], on: "primary", forMs: detectionMs + 20_000 },
    frozen: { kind: "freeze", on: "primary", forMs: detectionMs + 20_000 },
  };
}

const usualFaults = "switchover,stop,crash,host,agent";

export interface BenchOptions {
  readonly systems: readonly SystemName[];
  readonly timings: readonly Timings[];
  readonly faults: readonly string[];
  readonly mode: Mode;
  readonly major: number;
  /** Labs per system and timings. */
  readonly rounds: number;
  /** Times that each fault is done in one lab. */
  readonly repeat: number;
  readonly seed: number;
}

export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      systems: { type: "string", default: SYSTEMS.join() },
      timings: { type: "string", default: Object.keys(TIMINGS).join() },
      faults: { type: "string", default: usualFaults },
      mode: { type: "string", default: "async" },
      major: { type: "string", default: "17" },
      rounds: { type: "string", default: "3" },
      repeat: { type: "string", default: "2" },
      seed: { type: "string", default: "1" },
    },
  });
  const timingNames: readonly Timings[] = ["usual", "fastest"];
  const [mode] = chosen(values.mode, MODES);
  if (!mode) throw new Error("a mode is needed");
  return {
    systems: chosen(values.systems, SYSTEMS),
    timings: chosen(values.timings, timingNames),
    faults: chosen(values.faults, Object.keys(benchFaults(0))),
    mode,
    major: Number(values.major),
    rounds: Number(values.rounds),
    repeat: Number(values.repeat),
    seed: Number(values.seed),
  };
}

/** The values of a list with commas; all of them must be known. */
function chosen<T extends string>(list: string, known: readonly T[]): T[] {
  return list.split(",").map((word) => {
    const value = known.find((each) => each === word);
    if (value === undefined) throw new Error(`"${word}" is none of ${known.join(", ")}`);
    return value;
  });
}
