// A node on three hosts under load, hit by the faults that every release must survive: nothing acknowledged is lost,
// never do two nodes acknowledge, and full redundancy comes back without a hand. The whole matrix: bun scripts/faults.ts
import { afterAll, beforeAll, expect, test } from "bun:test";
import { describe, type Fault } from "../ha-rig/faults/fault.ts";
import { Run } from "../ha-rig/runner.ts";
import type { System } from "../ha-rig/system.ts";
import { Pgherd } from "../ha-rig/systems/pgherd.ts";
import { judge } from "../ha-rig/verdict.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 240_000;
const setup = { mode: "sync", timings: "fastest", major: 17 } as const;
const heldMs = 14_000;

const faults: readonly Fault[] = [
  { kind: "switchover" },
  { kind: "kill", what: ["postmaster"], on: "primary" },
  { kind: "kill", what: ["agent"], on: "primary" },
  { kind: "power-off", on: ["primary"], forMs: heldMs },
  { kind: "stop", what: ["agent"], on: "primary", forMs: heldMs },
  { kind: "partition", links: "alone", on: "primary", forMs: heldMs },
];
const entry = { noPromotion: false, gapMaxMs: Number.POSITIVE_INFINITY, kind: "usual" } as const;

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let system: System;
  let run: Run;

  beforeAll(async () => {
    system = await Pgherd.create(`${directory}/failover`, image, ["h1", "h2", "h3"], {
      cpuWeight: 8,
    });
    run = new Run(system, setup);
    await run.begin();
  }, secondsMax);
  afterAll(async () => {
    await run.end();
    await system.lab.down();
  }, secondsMax);

  test.each(faults.map((fault) => [describe(fault), fault] as const))(
    "%s",
    async (_, fault) => {
      const result = await run.fault(fault, 0);
      console.log(
        `write gap ${(result.gapMs / 1_000).toFixed(2)} s, redundant again after ${((result.redundancyMs ?? 0) / 1_000).toFixed(1)} s`,
      );
      expect(judge(result, entry, setup.mode)).toEqual([]);
    },
    secondsMax,
  );

  test(
    "every node has every acknowledged row, and all are equal",
    async () => {
      const { acked, findings } = await run.finish();
      expect(findings).toEqual([]);
      expect(acked).toBeGreaterThan(1_000);
    },
    secondsMax,
  );
}
