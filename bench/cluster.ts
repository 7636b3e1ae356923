// What the benchmarks of clusters share: what a host costs, and what its store has to write.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { systemRng } from "../src/base/rng.ts";
import { Secret } from "../src/base/secret.ts";
import { createRqlite, type Rqlite } from "../src/store/rqlite.ts";
import type { TestHost } from "../test/cluster/members.ts";
import { processesOf } from "../test/cluster/processes.ts";

const ticksPerSecond = 100;
const pageBytes = 4_096;

export interface Cost {
  readonly residentMb: number;
  /** Since the start of the process. */
  readonly cpuSeconds: number;
}

/** What the server of a host and its rqlited cost. */
export function costOf(host: TestHost): { readonly server: Cost; readonly rqlited: Cost } {
  const pids = processesOf(host.directory);
  const find = (what: string) => {
    const pid = pids.find((each) => readFileSync(`/proc/${each}/cmdline`, "utf8").includes(what));
    if (pid === undefined) throw new Error(`${host.id}: no ${what}`);
    return processCost(pid);
  };
  return { server: find("server\0run"), rqlited: find("/bin/rqlited-") };
}

function processCost(pid: number): Cost {
  const [user = 0, system = 0] = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ")
    .slice(11, 13)
    .map(Number);
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return {
    residentMb: (pages * pageBytes) / 1024 ** 2,
    cpuSeconds: (user + system) / ticksPerSecond,
  };
}

/** Number of the newest entry of the store's log that this host applied: its growth is what was written. */
export async function logIndex(host: TestHost): Promise<number> {
  const { body } = await host.store("/status?key=store.raft.applied_index");
  return Number(body);
}

/** A client of a host's own member of the store, as the product's. */
export function storeClient(host: TestHost): Rqlite {
  const file = (name: string) => readFileSync(join(host.dataDir, "certificates", name), "utf8");
  const [user] = JSON.parse(readFileSync(join(host.dataDir, "rqlited/auth.json"), "utf8"));
  const own = host.membership().members.find(({ id }: { id: string }) => id === host.id);
  return createRqlite({
    urls: [own.url],
    username: user.username,
    password: new Secret(user.password),
    clock: systemClock,
    rng: systemRng,
    tls: { ca: file("ca.crt"), cert: file("host.crt"), key: file("host.key") },
  });
}

/** The rqlited that the hosts run. */
export function rqlitedBinary(host: TestHost): string {
  const directory = join(host.dataDir, "bin");
  const name = readdirSync(directory).find((each) => each.startsWith("rqlited-"));
  if (name === undefined) throw new Error(`no rqlited in ${directory}`);
  return join(directory, name);
}
