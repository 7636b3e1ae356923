// Time of planning over the number of instances, and how it grows. Run: bun bench/plan.ts
// A fleet of databases of three nodes, as there are in fact, and one database as large as there never is.
import { checkPlan } from "../src/plan/check.ts";
import { makePlan, type PlanInput } from "../src/plan/plan.ts";
import type { Plan } from "../src/plan/resource.ts";
import type { DatabaseSpec } from "../src/spec/database-spec.ts";
import {
  applied,
  emptyDatabase,
  host,
  type ModelDatabase,
  planInput,
  shopSpec,
} from "../test/support/planning.ts";
import { median, ms } from "./figures.ts";

const sizes = [10, 100, 1_000, 10_000];
const rounds = 3;
/** Time per instance of the largest against that of a hundredth of it; linear is 1. */
const growthMax = 2;
const hosts = Array.from({ length: 9 }, (_, at) => host(`host-${at + 1}`));

function specOf(nodes: number): DatabaseSpec {
  const names = Array.from({ length: nodes }, (_, at) => ({
    name: `n${at + 1}`,
    host_ids: [`host-${(at % hosts.length) + 1}`],
  }));
  return { ...shopSpec, port: 0, patroni_port: 0, nodes: names };
}

function planOf(input: PlanInput): Plan {
  const result = makePlan(input);
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

/** Median time of one pass over all databases, plan and check together. */
function timed(inputs: readonly PlanInput[]): number {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    for (const input of inputs) {
      const findings = checkPlan(planOf(input), input.stored);
      if (findings.length > 0) throw new Error(JSON.stringify(findings[0]));
    }
    times.push(performance.now() - startMs);
  }
  return median(times);
}

/** Create, change of a setting that restarts, and no change. */
function measure(databases: readonly number[]): readonly number[] {
  const specs = databases.map(specOf);
  const created = specs.map((spec): ModelDatabase => {
    const empty = emptyDatabase(hosts);
    const plan = planOf(planInput(empty, spec));
    const stored = plan.steps.map(({ resource }) => ({ ...resource, state: "applied" as const }));
    return { ...applied(empty, { ...plan, steps: [] }), stored };
  });
  const change = { postgresql_conf: { max_connections: 300 } };
  const pairs = specs.map((spec, at) => ({ spec, database: created[at] ?? emptyDatabase(hosts) }));
  return [
    timed(specs.map((spec) => planInput(emptyDatabase(hosts), spec))),
    timed(pairs.map(({ spec, database }) => planInput(database, { ...spec, ...change }))),
    timed(pairs.map(({ spec, database }) => planInput(database, spec))),
  ];
}

function report(title: string, split: (instances: number) => readonly number[]): boolean {
  console.log(title);
  const perInstance = new Map<number, readonly number[]>();
  measure(split(100));
  for (const size of sizes) {
    const times = measure(split(size));
    perInstance.set(
      size,
      times.map((time) => time / size),
    );
    const texts = ["create", "change", "nothing"].map(
      (what, at) => `${what} ${ms(times[at] ?? 0)}`,
    );
    console.log(`  ${String(size).padStart(6)} instances: ${texts.join(", ")}`);
  }
  const growth = (perInstance.get(10_000) ?? []).map(
    (time, at) => time / (perInstance.get(100)?.[at] ?? Number.NaN),
  );
  const texts = growth.map((factor) => factor.toFixed(2)).join(", ");
  const linear = growth.every((factor) => factor <= growthMax);
  console.log(
    `  time per instance, 10,000 against 100: ${texts}; linear: ${linear ? "yes" : "NO"}`,
  );
  return linear;
}

const fleet = report("databases of 3 nodes", (instances) =>
  Array.from({ length: Math.ceil(instances / 3) }, (_, at) => Math.min(3, instances - at * 3)),
);
const giant = report("one database of all nodes", (instances) => [instances]);
if (!fleet || !giant) process.exitCode = 1;
