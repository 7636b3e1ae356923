// A few of the runs of scripts/cluster-faults.ts: creation of a database on three hosts with a fault at a random moment.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { series, summary } from "./faults/series.ts";
import { Lab } from "./lab.ts";
import { cluster, LabMember } from "./members.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const runs = Number(process.env.PGHERD_CLUSTER_FAULTS ?? 5);
const seed = Number(process.env.PGHERD_SEED ?? Date.now() % 100_000);
const secondsMax = 60_000 + runs * 120_000;

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let members: readonly LabMember[];

  beforeAll(async () => {
    console.log(`seed ${seed}: PGHERD_SEED=${seed} repeats these faults`);
    lab = await Lab.up(`${directory}/cluster-faults`, image);
    members = await LabMember.bootAll(lab, ["one", "two", "three"]);
    await cluster(members);
  }, secondsMax);
  afterAll(() => lab.down(), secondsMax);

  test(
    "whatever strikes: tasks end, scripts run once, nothing is left",
    async () => {
      const numbers = Array.from({ length: runs }, (_, at) => at + 1);
      const made = await series(lab, members, {
        seed,
        numbers,
        evidence: join(import.meta.dir, "../../.cache/cluster-faults"),
        print: console.log,
      });
      console.log(summary(made));
      expect(
        made.flatMap(({ number, wrong }) => wrong.map((text) => `${number}: ${text}`)),
      ).toEqual([]);
      expect(made.map(({ ended }) => ended)).not.toContain("stuck");
    },
    secondsMax,
  );
}
