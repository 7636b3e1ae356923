// What a member costs that has nothing to do, in clusters of 3, 5 and 7: memory, processor, and what its store writes.
// The floor is the share of rqlited: what a bare store of as many members costs.
import { systemClock } from "../src/base/clock.ts";
import { TestCluster, type TestHost } from "../test/cluster/members.ts";
import { type Cost, costOf, logIndex } from "./cluster.ts";

const sizes = (process.env.SIZES ?? "3,5,7").split(",").map(Number);
const seconds = Number(process.env.SECONDS ?? 30);
const settleMs = 12_000;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

interface Spent {
  readonly residentMb: number;
  /** Per cent of one processor. */
  readonly cpu: number;
}

function spent(before: readonly Cost[], after: readonly Cost[]): Spent {
  const used = after.map(({ cpuSeconds }, at) => cpuSeconds - (before[at]?.cpuSeconds ?? 0));
  return {
    residentMb: mean(after.map(({ residentMb }) => residentMb)),
    cpu: (mean(used) / seconds) * 100,
  };
}

function text({ residentMb, cpu }: Spent): string {
  return `${residentMb.toFixed(0)} MB, ${cpu.toFixed(1)} %`;
}

async function measure(cluster: TestCluster, leader: TestHost): Promise<void> {
  const groups = { leader: [leader], others: cluster.hosts.filter((host) => host !== leader) };
  const costs = () => new Map(cluster.hosts.map((host) => [host, costOf(host)]));
  const [before, indexBefore] = [costs(), await logIndex(leader)];
  await systemClock.sleep(seconds * 1_000);
  const [after, indexAfter] = [costs(), await logIndex(leader)];
  const writes = (indexAfter - indexBefore) / seconds;
  const perHost = (writes / cluster.hosts.length).toFixed(2);
  console.log(
    `${cluster.hosts.length} members: ${writes.toFixed(2)} store writes/s, ${perHost} per member`,
  );
  for (const [name, hosts] of Object.entries(groups)) {
    const of = (from: typeof after, which: "server" | "rqlited") =>
      hosts.flatMap((host) => from.get(host)?.[which] ?? []);
    const server = spent(of(before, "server"), of(after, "server"));
    const rqlited = spent(of(before, "rqlited"), of(after, "rqlited"));
    const ratio = (server.cpu + rqlited.cpu) / Math.max(rqlited.cpu, 0.1);
    console.log(
      `  ${name.padEnd(6)} server ${text(server)}; rqlited (floor) ${text(rqlited)}; processor ratio ${ratio.toFixed(1)}`,
    );
  }
}

for (const size of sizes) {
  const cluster = await TestCluster.of(size);
  try {
    await systemClock.sleep(settleMs);
    await measure(cluster, await cluster.leader());
  } finally {
    await cluster.destroy();
  }
}
