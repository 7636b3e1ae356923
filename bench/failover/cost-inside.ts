// The measuring part of the benchmark of steady cost: runs in the lab's box.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { processesOf, signal } from "../../test/ha-rig/faults/processes.ts";
import { labDirectory, open, type SystemName } from "../../test/ha-rig/open.ts";
import type { System } from "../../test/ha-rig/system.ts";
import { isPrimary } from "../../test/ha-rig/workload/route.ts";
import type { ExecOptions, Output } from "../../test/lab/command.ts";
import type { LabHost } from "../../test/lab/lab.ts";
import { type CostOptions, parseCostOptions } from "./cost-options.ts";
import { type InTurns, inTurns, type Load } from "./in-turns.ts";

/** More than clients: they would wait for each other's rows otherwise. */
const scale = 50;
/** What is measured is the steady state: agents that were just started have more to look at, as has PostgreSQL. */
const settleMs = 15_000;
const cpuS = 60;
/** Checkpoints and large vacuums come and go, and take far more than what is measured. */
const steadySettings = {
  checkpoint_timeout: "1h",
  max_wal_size: "16GB",
  autovacuum_vacuum_scale_factor: "0.9",
  autovacuum_vacuum_insert_scale_factor: "0.9",
  autovacuum_analyze_scale_factor: "0.9",
};
const logsDirectory = join(import.meta.dir, "../../.cache/cost");
const loadSecondsMax = 4 * 3_600;
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
  return ofLiving(() => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return ticks / 100;
  });
}

/** Of the threads that it has now: finer than ticks. */
function runSecondsOf(pid: number): number {
  return ofLiving(() => {
    const threads = readdirSync(`/proc/${pid}/task`);
    const of = (thread: string) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
    return threads.reduce((sum, thread) => sum + Number(of(thread).split(" ")[0]) / 1e9, 0);
  });
}

/** 0 when the process has ended since it was listed. */
function ofLiving(read: () => number): number {
  try {
    return read();
  } catch {
    return 0;
  }
}

function programOf(args: string): string {
  return /patroni|etcd|rqlited|pgherd (keeper|fencer|server)/.exec(args)?.[0] ?? args.slice(0, 40);
}

function pgbench(
  system: System,
  host: LabHost,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<Output> {
  const { user, password, database } = system.login;
  const { address, port } = system.endpoint(host);
  const target = ["-h", address, "-p", String(port), "-U", user, database];
  const env = { PGPASSWORD: password };
  return host.exec(["pgbench", ...args, ...target], { timeoutMs: 120_000, ...options, env });
}

/** Transactions until it is stopped. */
function load(system: System, host: LabHost, clients: number, builtin: string): Load {
  const args = [
    "-b",
    builtin,
    "-n",
    "-c",
    String(clients),
    "-j",
    "2",
    "-P",
    "1",
    "--progress-timestamp",
  ];
  const forS = ["-T", String(loadSecondsMax)];
  const timeoutMs = loadSecondsMax * 1_000;
  const ended = pgbench(system, host, [...args, ...forS], { check: false, timeoutMs });
  return {
    async stop() {
      const running = processesOf(host).filter(({ args: command }) =>
        /^(\S*\/)?pgbench /.test(command),
      );
      signal(running, "SIGTERM");
      const { stderr } = await ended;
      if (running.length === 0) throw new Error(`pgbench ended by itself: ${stderr.slice(-500)}`);
      return stderr;
    },
  };
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
  const system = await open(name, `${labDirectory()}/${name}`, { cpuWeight: null });
  try {
    await system.up({ mode: "async", timings: "usual", major: 17, settings: steadySettings });
    const primary = await plainPrimary(system);
    await pgbench(system, primary, ["-i", "-q", "-s", String(scale)]);
    await Bun.sleep(settleMs);
    console.log(`\n${name}, ${await system.version()}`);
    await cpuOf(system, primary, "idle", Bun.sleep(cpuS * 1_000));
    for (const builtin of options.builtins) {
      const going = load(system, primary, options.clients, builtin);
      await cpuOf(system, primary, `under ${builtin}`, Bun.sleep(cpuS * 1_000));
      await going.stop();
      await compare(system, primary, builtin, options);
    }
  } catch (thrown) {
    await keepLogs(system);
    throw thrown;
  } finally {
    await system.lab.down();
  }
}

/** What the hosts have to say when the benchmark breaks off. */
async function keepLogs(system: System): Promise<void> {
  mkdirSync(logsDirectory, { recursive: true });
  for (const host of system.hosts) {
    writeFileSync(join(logsDirectory, `${system.name}-${host.name}.log`), await system.logs(host));
  }
  console.log(`logs in ${logsDirectory}`);
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
  builtin: string,
  options: CostOptions,
): Promise<void> {
  const { pairs, seconds, clients } = options;
  const { transactions, processors } = await inTurns({
    host: primary,
    isAgent: (args) => !uncounted.test(args),
    pairs,
    seconds,
    load: () => load(system, primary, clients, builtin),
    meter: () => meterOf(system),
    leads: async () => (await system.storeLeader()) === primary,
  });
  const beside = ({ ratio, error }: InTurns) => `× ${ratio.toFixed(3)} ± ${error.toFixed(3)}`;
  console.log(
    `  pgbench ${builtin}, ${clients} clients: ${transactions.running.toFixed(0)} tps with agents, ` +
      `${transactions.stopped.toFixed(0)} without: ${beside(transactions)} (n=${transactions.turns} of ${pairs})\n` +
      `  processors that it and the databases had: ${processors.running.toFixed(3)} with agents, ` +
      `${processors.stopped.toFixed(3)} without: ${beside(processors)}`,
  );
}

/** CPU seconds of pgbench and the databases on all hosts, without the sessions of agents, which are the local ones. */
function meterOf(system: System): () => number {
  const counts = (args: string) =>
    /^postgres|\/postgres |pgbench/.test(args) && !/^postgres: .*\[local\]/.test(args);
  const counted = system.hosts.flatMap(processesOf).filter(({ args }) => counts(args));
  return () => counted.reduce((total, { pid }) => total + runSecondsOf(pid), 0);
}

const options = parseCostOptions(process.argv.slice(2));
for (const name of options.systems) await measure(name, options);
process.exit(0);
