// Time without answers after the leader's host died: from its kill -9 to the first change that a survivor takes, and to
// the first list. The floor is the store's own election: when one of the survivors' rqlited leads.
import { systemClock } from "../src/base/clock.ts";
import { storeLeaderTimeoutMs } from "../src/base/limits.ts";
import { TestCluster, type TestHost } from "../test/cluster/members.ts";
import { median, ms, percentile } from "./figures.ts";

const rounds = Number(process.env.ROUNDS ?? 5);
const answersMsMax = 3_000;
/** What is shipped, and what suits three hosts of one rack. */
const timeouts = [storeLeaderTimeoutMs, 200];

/** Asks again and again until there is a good answer; milliseconds since `sinceMs`. Others must be retryable. */
async function firstAnswer(
  sinceMs: number,
  host: TestHost,
  method: string,
  path: string,
  body?: unknown,
): Promise<number> {
  for (;;) {
    const answer = await host.request(method, path, body);
    if (answer.status === 200) return performance.now() - sinceMs;
    if (answer.status !== 503 || !answer.headers.has("retry-after"))
      throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    await systemClock.sleep(10);
  }
}

async function round(cluster: TestCluster) {
  const leader = await cluster.leader();
  const survivors = cluster.hosts.filter((host) => host !== leader);
  const startMs = performance.now();
  await leader.kill();
  const elected = cluster.leader(survivors).then(() => performance.now() - startMs);
  const changed = survivors.map((host) =>
    firstAnswer(startMs, host, "POST", "/v1/cluster/join-tokens", {}),
  );
  const listed = survivors.map((host) => firstAnswer(startMs, host, "GET", "/v1/databases"));
  const times = {
    electionMs: await elected,
    changeMs: Math.max(...(await Promise.all(changed))),
    listMs: Math.max(...(await Promise.all(listed))),
  };
  await leader.start();
  await leader.ready();
  return times;
}

for (const timeout of timeouts) {
  const cluster = new TestCluster();
  try {
    for (let n = 0; n < 3; n++) await cluster.add({ store: { leader_timeout_ms: timeout } });
    await cluster.init();
    for (const host of cluster.hosts.slice(1)) await cluster.join(host);
    const made: Awaited<ReturnType<typeof round>>[] = [];
    for (let n = 0; n < rounds; n++) made.push(await round(cluster));
    const [election, change, list] = [
      made.map(({ electionMs }) => electionMs),
      made.map(({ changeMs }) => changeMs),
      made.map(({ listMs }) => listMs),
    ];
    const ratio = (median(change) / median(election)).toFixed(2);
    const worst = percentile([...change, ...list], 1);
    console.log(
      `leader_timeout_ms ${timeout}: a change after ${ms(median(change))} (longest ${ms(percentile(change, 1))}), a list after ${ms(median(list))}; election ${ms(median(election))}; ratio ${ratio}`,
    );
    if (timeout === storeLeaderTimeoutMs)
      console.log(
        `without answers at most ${answersMsMax} ms as shipped: ${worst <= answersMsMax ? "yes" : "NO"}`,
      );
  } finally {
    await cluster.destroy();
  }
}
