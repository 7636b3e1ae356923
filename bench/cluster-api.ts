// Latency and throughput of a read and of a change, asked of the leader and of a follower of a cluster of three.
// Floors in the same run: GET /v1/version (HTTP without the store), and one row written by the store's own client.
import { TestCluster, type TestHost } from "../test/cluster/members.ts";
import { spec } from "../test/e2e/harness.ts";
import { storeClient } from "./cluster.ts";
import { ms, percentile } from "./figures.ts";

const clients = Number(process.env.CLIENTS ?? 4);
const requests = Number(process.env.REQUESTS ?? 400);

interface Figures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

async function load(one: () => Promise<void>, count = requests): Promise<Figures> {
  const samples: number[] = [];
  const startMs = performance.now();
  const client = async () => {
    for (let n = 0; n < count / clients; n++) {
      const beganMs = performance.now();
      await one();
      samples.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return {
    p50Ms: percentile(samples, 0.5),
    p99Ms: percentile(samples, 0.99),
    perSecond: samples.length / ((performance.now() - startMs) / 1_000),
  };
}

function asking(host: TestHost, method: string, path: string, body?: unknown) {
  return async () => {
    const answer = await host.request(method, path, body);
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status}`);
  };
}

function line(what: string, figures: Figures, floor: Figures): void {
  const ratio = (figures.p50Ms / floor.p50Ms).toFixed(1);
  console.log(
    `${what.padEnd(24)} p50 ${ms(figures.p50Ms)}, p99 ${ms(figures.p99Ms)}, ${figures.perSecond.toFixed(0)}/s; ${ratio} x floor`,
  );
}

const cluster = await TestCluster.of(3);
try {
  const leader = await cluster.leader();
  const follower = cluster.hosts.find((host) => host !== leader) ?? leader;
  const nodes = [{ name: "n1", host_ids: ["h1"] }];
  const { body, status } = await leader.post("/v1/databases", {
    id: "bench",
    spec: spec({ nodes }),
  });
  if (status !== 200) throw new Error(JSON.stringify(body));
  await leader.finished(body.task);
  console.log(`${clients} clients, ${requests} requests each figure`);
  for (const [name, host] of [
    ["leader", leader],
    ["follower", follower],
  ] as const) {
    const version = asking(host, "GET", "/v1/version");
    await load(version);
    const floor = await load(version);
    line(`${name}: version (floor)`, floor, floor);
    const read = asking(host, "GET", "/v1/databases/bench");
    await load(read);
    line(`${name}: one database`, await load(read), floor);
    const list = asking(host, "GET", "/v1/databases");
    line(`${name}: all databases`, await load(list), floor);
    const store = storeClient(leader);
    const sql = "UPDATE changes SET version = version + 1 WHERE singleton = 1";
    const row = async () => {
      await store.request([{ sql, params: [] }], { timeoutMs: 5_000, deadlineMs: 5_000 });
    };
    const writeFloor = await load(row, requests / 4);
    line("one row (floor)", writeFloor, writeFloor);
    const token = asking(host, "POST", "/v1/cluster/join-tokens", {});
    line(`${name}: a join token`, await load(token, requests / 4), writeFloor);
  }
} finally {
  await cluster.destroy();
}
