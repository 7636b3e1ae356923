// `bun scripts/cluster-faults.ts [--runs 100] [--seed N] [--hosts 3] [--boxes 1] [--only RUN] [--faults power,link]`:
// databases with a node on every host are made while faults strike at random moments. Each must come to an end, have run
// its scripts once, and leave nothing when it is deleted. The same seed and run draw the same fault and the same moment.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { series, summary } from "../test/lab/faults/series.ts";
import { Lab } from "../test/lab/lab.ts";
import { cluster, LabMember } from "../test/lab/members.ts";

const here = import.meta.dir;
const names = ["one", "two", "three", "four", "five", "six", "seven"];

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "100" },
    seed: { type: "string", default: String(Date.now() % 100_000) },
    hosts: { type: "string", default: "3" },
    /** Clusters at once; each makes every n-th run. */
    boxes: { type: "string", default: "1" },
    /** Which of them this process is; without it, it starts them. */
    box: { type: "string" },
    only: { type: "string" },
    faults: { type: "string" },
    evidence: { type: "string", default: join(here, "../.cache/cluster-faults") },
  },
});
const seed = Number(values.seed);
const boxes = Number(values.boxes);

/** Starts the boxes, and adds up what they print last. */
async function outside(): Promise<number> {
  console.log(`seed ${seed}: --seed ${seed} repeats it, --only RUN one of its runs`);
  const again = process.argv.slice(2);
  const children = Array.from({ length: boxes }, (_, box) =>
    Bun.spawn(
      [
        ...[join(here, "../test/lab/run.sh"), "--script", import.meta.path, ...again],
        ...["--seed", String(seed), "--box", String(box)],
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    ),
  );
  const codes = await Promise.all(children.map(({ exited }) => exited));
  return codes.every((code) => code === 0) ? 0 : 1;
}

function numbers(box: number): readonly number[] {
  if (values.only !== undefined) return values.only.split(",").map(Number);
  const all = Array.from({ length: Number(values.runs) }, (_, at) => at + 1);
  return all.filter((number) => number % boxes === box);
}

async function inside(box: number, image: string, directory: string): Promise<number> {
  const lab = await Lab.up(join(directory, "faults"), image);
  try {
    const members = await LabMember.bootAll(lab, names.slice(0, Number(values.hosts)));
    await cluster(members);
    const runs = await series(lab, members, {
      seed,
      numbers: numbers(box),
      kinds: values.faults?.split(","),
      evidence: values.evidence,
      print: console.log,
    });
    console.log(`${members.length} hosts, seed ${seed}, box ${box}: ${summary(runs)}`);
    return runs.every(({ wrong }) => wrong.length === 0) ? 0 : 1;
  } finally {
    await lab.down();
  }
}

const { PGHERD_LAB_IMAGE: image, PGHERD_LAB_DIRECTORY: directory } = process.env;
if (values.box === undefined) process.exit(await outside());
if (!image || !directory) throw new Error("--box is for the script itself");
process.exit(await inside(Number(values.box), image, directory));
