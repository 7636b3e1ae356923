// Time from `join` to a healthy member, against a bare rqlited of the same timing that joins a bare one (the floor).
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clusterTiming } from "../src/store/rqlited-process.ts";
import { TestCluster } from "../test/cluster/members.ts";
import { listeningNowhere } from "../test/cluster/processes.ts";
import { eventually } from "../test/e2e/harness.ts";
import { rqlitedBinary } from "./cluster.ts";
import { median, ms } from "./figures.ts";

const joins = Number(process.env.JOINS ?? 6);

interface Bare {
  readonly child: Bun.Subprocess;
  readonly url: string;
  readonly raft: string;
}

/** A bare rqlited without certificates. Resolves when it is ready: as a member, when it was told whom to join. */
async function bare(binary: string, directory: string, leader?: Bare): Promise<Bare> {
  const { heartbeatMs, electionMs, leaderLeaseMs } = clusterTiming(500);
  const [http, raft] = [await listeningNowhere("127.0.0.1"), await listeningNowhere("127.0.0.1")];
  const child = Bun.spawn(
    [
      ...[binary, "-http-addr", `127.0.0.1:${http}`, "-raft-addr", `127.0.0.1:${raft}`],
      ...["-raft-timeout", `${heartbeatMs}ms`, "-raft-election-timeout", `${electionMs}ms`],
      ...["-raft-leader-lease-timeout", `${leaderLeaseMs}ms`],
      ...(leader ? ["-join", leader.raft] : []),
      join(directory, `bare-${raft}`),
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
  );
  const url = `http://127.0.0.1:${http}`;
  await eventually("rqlited is ready", async () => {
    const response = await fetch(`${url}/readyz`).catch(() => undefined);
    return response?.ok ? true : undefined;
  });
  return { child, url, raft: `127.0.0.1:${raft}` };
}

async function floor(binary: string): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "pgherd-join-"));
  const nodes = [await bare(binary, directory)];
  const startMs = performance.now();
  nodes.push(await bare(binary, directory, nodes[0]));
  const tookMs = performance.now() - startMs;
  const members: unknown = await (await fetch(`${nodes[0]?.url}/nodes`)).json();
  if (Object.keys(Object(members)).length !== 2) throw new Error(JSON.stringify(members));
  for (const { child } of nodes) {
    child.kill("SIGKILL");
    await child.exited;
  }
  rmSync(directory, { recursive: true });
  return tookMs;
}

const [times, floors]: [number[], number[]] = [[], []];
const cluster = new TestCluster();
try {
  const first = await cluster.add();
  const startMs = performance.now();
  await cluster.init();
  console.log(`init: ${ms(performance.now() - startMs)}`);
  const binary = rqlitedBinary(first);
  for (let round = 0; round < joins; round++) {
    const host = await cluster.add();
    const joinMs = performance.now();
    await cluster.join(host);
    times.push(performance.now() - joinMs);
    const states = await first.hosts();
    if (states[host.id] !== "healthy") throw new Error(`${host.id} is ${states[host.id]}`);
    floors.push(await floor(binary));
    console.log(`host ${round + 2}: ${ms(times.at(-1) ?? 0)}, floor ${ms(floors.at(-1) ?? 0)}`);
  }
} finally {
  await cluster.destroy();
}
const ratio = median(times) / median(floors);
console.log(
  `join: ${ms(median(times))}; floor (a bare rqlited joins): ${ms(median(floors))}; ratio ${ratio.toFixed(2)}`,
);
