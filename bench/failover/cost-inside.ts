// The measuring part of the benchmark of steady cost: runs in the lab's box.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { processesOf } from "../../test/ha-rig/faults/processes.ts";
import { labDirectory, open, type SystemName } from "../../test/ha-rig/open.ts";
import type { System } from "../../test/ha-rig/system.ts";
import { isPrimary } from "../../test/ha-rig/workload/route.ts";
import type { LabHost } from "../../test/lab/lab.ts";
import { type CostOptions, parseCostOptions } from "./cost-options.ts";
import { type InTurns, inTurns } from "./in-turns.ts";

const clients = 4;
const scale = 10;
/** What is measured is the steady state: agents that were just started have more to look at, as has PostgreSQL. */
const settleMs = 15_000;
const cpuS = 60;
/** Not counted: PostgreSQL itself, the service manager and what it brings. */
const uncounted = /postgres|systemd|\/sbin\/init|dbus|agetty|sshd|pgbench|psql|^$/;

interface Usage {
  readonly name: string;
  readonly megabytes: number;
  /** CPU seconds since the process began. */
  readonly cpuS: number;
}

/** Proportional memory and CPU time of the processes beside PostgreSQL, by program. */
function usageOf(host: LabHost): Usage[] {
  return processesOf(host)
    .filter(({ args }) => !uncounted.test(args))
    .map(({ pid, args }) => {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      const kilobytes = Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
      return { name: programOf(args), megabytes: kilobytes / 1_024, cpuS: cpuSecondsOf(pid) };
    });
}

/** Of all its threads, since it began; with what its ended children used. */
function cpuSecondsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return ticks / 100;
  } catch {
    // It has ended since it was listed.
    return 0;
  }
}

function programOf(args: string): string {
  return /patroni|etcd|rqlited|pgherd (keeper|fencer|server)/.exec(args)?.[0] ?? args.slice(0, 40);
}

async function pgbench(
  system: System,
  host: LabHost,
  args: readonly string[],
  timeoutMs = 120_000,
): Promise<string> {
  const { user, password, database } = system.login;
  const { address, port } = system.endpoint(host);
  const target = ["-h", address, "-p", String(port), "-U", user, database];
  const env = { PGPASSWORD: password };
  const { stderr } = await host.exec(["pgbench", ...args, ...target], { env, timeoutMs });
  return stderr;
}

/** As many clients as keep the machine busy; answers a line of progress for every second. */
function load(system: System, host: LabHost, seconds: number): Promise<string> {
  const args = ["-n", "-c", String(clients), "-j", "2", "-T", String(seconds)];
  const timeoutMs = (seconds + 60) * 1_000;
  return pgbench(system, host, [...args, "-P", "1", "--progress-timestamp"], timeoutMs);
}

/** The primary, on a host that does not lead the store: most are like it. */
async function plainPrimary(system: System): Promise<LabHost> {
  const primary = await primaryOf(system);
  if ((await system.storeLeader()) !== primary) return primary;
  const other = system.hosts.find((host) => host !== primary);
  if (other) await system.switchover(primary, other);
  return primaryOf(system);
}

async function primaryOf(system: System): Promise<LabHost> {
  for (;;) {
    for (const host of system.hosts) if (await isPrimary(system.primaryUrl(host))) return host;
    await Bun.sleep(100);
  }
}

/** What the programs of a host take: memory, and CPU time between two looks; last what they take of the machine together. */
function takenBy(before: readonly Usage[], after: readonly Usage[], seconds: number): string {
  const of = (usages: readonly Usage[], name: string) => usages.filter((it) => it.name === name);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const cpuSeconds = (usages: readonly Usage[]) => sum(usages.map((each) => each.cpuS));
  const programs = [...new Set(after.map(({ name }) => name))].sort().map((name) => {
    const now = of(after, name);
    const cpu = (100 * (cpuSeconds(now) - cpuSeconds(of(before, name)))) / seconds;
    return { name, cpu, megabytes: sum(now.map(({ megabytes }) => megabytes)) };
  });
  const lines = programs.map(
    ({ name, cpu, megabytes }) =>
      `${name}: ${megabytes.toFixed(0)} MB, ${cpu.toFixed(2)} % of a CPU`,
  );
  const processors = availableParallelism();
  const share = sum(programs.map(({ cpu }) => cpu)) / processors;
  return `${lines.join("; ")}; together ${share.toFixed(2)} % of ${processors} CPUs`;
}

async function measure(name: SystemName, options: CostOptions): Promise<void> {
  const system = await open(name, `${labDirectory()}/${name}`);
  try {
    await system.up({ mode: "async", timings: "usual", major: 17 });
    const primary = await plainPrimary(system);
    await pgbench(system, primary, ["-i", "-q", "-s", String(scale)]);
    await Bun.sleep(settleMs);
    console.log(`\n${name}, ${await system.version()}`);
    await cpuOf(system, primary, "idle", Bun.sleep(cpuS * 1_000));
    await cpuOf(system, primary, "under pgbench", load(system, primary, cpuS));
    await compare(system, primary, options);
  } finally {
    await system.lab.down();
  }
}

/** What the processes beside PostgreSQL take while something goes on. */
async function cpuOf(
  system: System,
  primary: LabHost,
  what: string,
  going: Promise<unknown>,
): Promise<void> {
  const before = system.hosts.map(usageOf);
  await going;
  for (const [at, host] of system.hosts.entries()) {
    const role = host === primary ? "primary" : "standby";
    const taken = takenBy(before[at] ?? [], usageOf(host), cpuS);
    console.log(`  ${role} ${host.name}, ${what}: ${taken}`);
  }
}

async function compare(
  system: System,
  primary: LabHost,
  { pairs, seconds }: CostOptions,
): Promise<void> {
  const { transactions, processors } = await inTurns({
    host: primary,
    isAgent: (args) => !uncounted.test(args),
    pairs,
    seconds,
    pgbench: (forS) => load(system, primary, forS),
    used: () => usedBy(system),
  });
  const beside = ({ ratio, error }: InTurns) => `× ${ratio.toFixed(3)} ± ${error.toFixed(3)}`;
  console.log(
    `  pgbench, ${clients} clients: ${transactions.running.toFixed(0)} tps with agents, ` +
      `${transactions.stopped.toFixed(0)} without: ${beside(transactions)} (n=${pairs})\n` +
      `  processors that it and the databases had: ${processors.running.toFixed(3)} with agents, ` +
      `${processors.stopped.toFixed(3)} without: ${beside(processors)}`,
  );
}

/** CPU seconds of pgbench and the databases on all hosts, without the sessions of agents, which are the local ones. */
function usedBy(system: System): number {
  const counts = (args: string) =>
    /^postgres|\/postgres |pgbench/.test(args) && !/^postgres: .*\[local\]/.test(args);
  const processes = system.hosts.flatMap(processesOf).filter(({ args }) => counts(args));
  return processes.reduce((total, { pid }) => total + cpuSecondsOf(pid), 0);
}

const options = parseCostOptions(process.argv.slice(2));
for (const name of options.systems) await measure(name, options);
process.exit(0);
