// What instances cost the store by reporting: 10, 100 and 1,000 of them on three hosts, each reporting as its keeper
// does, first alone and then together with the others of its host. The floor is the same cluster without any.

import { Batch } from "../agents/keeper/relay/batch.ts";
import { systemClock } from "../src/base/clock.ts";
import { instanceReportIntervalMs } from "../src/base/limits.ts";
import { createHaStore } from "../src/store/ha-store.ts";
import { TestCluster, type TestHost } from "../test/cluster/members.ts";
import { costOf, logIndex, storeClient } from "./cluster.ts";
import { ms, percentile } from "./figures.ts";

const counts = (process.env.COUNTS ?? "10,100,1000").split(",").map(Number);
const seconds = Number(process.env.SECONDS ?? 20);

/** The rows that reports belong to; a report of an instance that is not there is refused. */
async function addInstances(host: TestHost, count: number): Promise<void> {
  const sql = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})
    INSERT INTO instances (id, database_id, node_name, host_id, state, generation, created_at_ms, updated_at_ms)
    SELECT 'bench-n1-' || i, 'bench', 'n1', 'h1', 'available', 1, 0, 0 FROM n WHERE true ON CONFLICT DO NOTHING`;
  const options = { timeoutMs: 20_000, deadlineMs: 20_000 };
  await storeClient(host).request([{ sql, params: [] }], options);
}

/** Keepers that only report, until the signal aborts; milliseconds that each report took. */
async function report(
  cluster: TestCluster,
  count: number,
  together: boolean,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const samples: number[] = [];
  const hosts = cluster.hosts.map((host) => {
    const rqlite = storeClient(host);
    return { rqlite, batch: together ? new Batch({ clock: systemClock, rqlite }) : undefined };
  });
  const running = hosts.map(({ batch }) => batch?.run(signal));
  const keeper = async (index: number) => {
    const host = hosts[index % hosts.length];
    if (!host) return;
    const id = `bench-n1-${index}`;
    const store = createHaStore(host.rqlite, id, host.batch);
    await systemClock.sleep((index / count) * instanceReportIntervalMs, signal);
    while (!signal.aborted) {
      const startMs = systemClock.monotonicMs();
      await store.saveReport(sample(id), false, signal);
      samples.push(systemClock.monotonicMs() - startMs);
      await systemClock.sleep(instanceReportIntervalMs, signal);
    }
  };
  const keepers = Array.from({ length: count }, (_, index) =>
    keeper(index).catch((thrown) => {
      if (!signal.aborted) throw thrown;
    }),
  );
  await Promise.all([...keepers, ...running]);
  return samples;
}

function sample(id: string) {
  return {
    instance_id: id,
    incarnation: "bench",
    observed_at_ms: systemClock.nowMs(),
    postgres_state: "running",
    role: "primary",
    postgres_version: "17.6",
    system_identifier: "7000000000000000001",
    timeline: 1,
    lsn: "0/3000060",
    pending_restart: false,
    pending_restart_settings: [],
    applied_generation: 1,
    decision: "generation 1 is in effect",
  } as const;
}

interface Traffic {
  readonly writes: number;
  readonly cpu: number;
}

/** Log entries and processor time of the store, all members together, per second. */
async function traffic(cluster: TestCluster, work: () => Promise<void>): Promise<Traffic> {
  const leader = await cluster.leader();
  const cpu = () => cluster.hosts.reduce((sum, host) => sum + costOf(host).rqlited.cpuSeconds, 0);
  const [cpuBefore, before, startMs] = [cpu(), await logIndex(leader), performance.now()];
  await work();
  const took = (performance.now() - startMs) / 1_000;
  return { writes: ((await logIndex(leader)) - before) / took, cpu: (cpu() - cpuBefore) / took };
}

const cluster = await TestCluster.of(3);
try {
  const [first] = cluster.hosts;
  if (!first) throw new Error("no host");
  await systemClock.sleep(5_000);
  const floor = await traffic(cluster, () => systemClock.sleep(seconds * 1_000));
  const cores = (value: number) => `${(value * 100).toFixed(1)} % of a processor`;
  console.log(`no instances (floor): ${floor.writes.toFixed(2)} writes/s, ${cores(floor.cpu)}`);
  for (const together of [false, true]) {
    console.log(together ? "each host's together:" : "each alone:");
    for (const count of counts) {
      await addInstances(first, count);
      let samples: readonly number[] = [];
      const made = await traffic(cluster, async () => {
        samples = await report(cluster, count, together, AbortSignal.timeout(seconds * 1_000));
      });
      const ratio = (made.writes / floor.writes).toFixed(1);
      console.log(
        `  ${String(count).padStart(5)} instances: ${made.writes.toFixed(1)} writes/s (${ratio} x floor), ${cores(made.cpu)}; ${samples.length} reports, p99 ${ms(percentile(samples, 0.99))}`,
      );
    }
  }
} finally {
  await cluster.destroy();
}
