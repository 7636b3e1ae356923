// The measuring part of the benchmark of steady cost: runs in the lab's box.
import { readFileSync } from "node:fs";
import { processesOf } from "../../test/ha-rig/faults/processes.ts";
import { labDirectory, open, type SystemName } from "../../test/ha-rig/open.ts";
import type { System } from "../../test/ha-rig/system.ts";
import { isPrimary } from "../../test/ha-rig/workload/route.ts";
import type { LabHost } from "../../test/lab/lab.ts";
import { median } from "../figures.ts";
import { ByHand } from "./by-hand.ts";
import { type CostOptions, parseCostOptions } from "./cost-options.ts";

const clients = 4;
const scale = 10;
/** What is measured is the steady state: agents that were just started have more to look at, as has PostgreSQL. */
const settleMs = 15_000;
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
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const ticks = Number(fields[11]) + Number(fields[12]);
      return { name: programOf(args), megabytes: kilobytes / 1_024, cpuS: ticks / 100 };
    });
}

function programOf(args: string): string {
  return /patroni|etcd|rqlited|pgherd (keeper|fencer|server)/.exec(args)?.[0] ?? args.slice(0, 40);
}

async function pgbench(system: System, host: LabHost, args: readonly string[]): Promise<string> {
  const { user, password, database } = system.login;
  const { address, port } = system.endpoint(host);
  const target = ["-h", address, "-p", String(port), "-U", user, database];
  const { stdout } = await host.exec(["pgbench", ...args, ...target], {
    env: { PGPASSWORD: password },
    timeoutMs: 120_000,
  });
  return stdout;
}

async function transactionsPerSecond(system: System, host: LabHost, seconds: number) {
  const args = ["-n", "-c", String(clients), "-j", "2", "-T", String(seconds)];
  return Number(/tps = ([\d.]+)/.exec(await pgbench(system, host, args))?.[1]);
}

async function primaryOf(system: System): Promise<LabHost> {
  for (;;) {
    for (const host of system.hosts) if (await isPrimary(system.primaryUrl(host))) return host;
    await Bun.sleep(100);
  }
}

/** CPU time that programs used between two looks, per second, by name. */
function perSecond(before: readonly Usage[], after: readonly Usage[], seconds: number) {
  const total = (usages: readonly Usage[], name: string) =>
    usages.filter((each) => each.name === name).reduce((sum, { cpuS }) => sum + cpuS, 0);
  return [...new Set(after.map(({ name }) => name))].sort().map((name) => {
    const megabytes = after
      .filter((each) => each.name === name)
      .reduce((sum, each) => sum + each.megabytes, 0);
    const cpu = (100 * (total(after, name) - total(before, name))) / seconds;
    return `${name}: ${megabytes.toFixed(0)} MB, ${cpu.toFixed(2)} % of a CPU`;
  });
}

async function measure(name: SystemName, options: CostOptions): Promise<void> {
  const system = await open(name, `${labDirectory()}/${name}`);
  try {
    await system.up({ mode: "async", timings: "usual", major: 17 });
    const primary = await primaryOf(system);
    await pgbench(system, primary, ["-i", "-q", "-s", String(scale)]);
    await Bun.sleep(settleMs);
    const idle = system.hosts.map(usageOf);
    await Bun.sleep(options.seconds * 1_000);
    console.log(`\n${name}, ${await system.version()}`);
    for (const [at, host] of system.hosts.entries()) {
      const role = host === primary ? "primary" : "standby";
      const lines = perSecond(idle[at] ?? [], usageOf(host), options.seconds);
      console.log(`  ${role} ${host.name}, idle: ${lines.join("; ")}`);
    }
    await compare(system, options);
  } finally {
    await system.lab.down();
  }
}

/** pgbench in turns: agents running, and the same servers with the same arguments started by hand. */
async function compare(system: System, options: CostOptions): Promise<void> {
  const withAgents: number[] = [];
  const without: number[] = [];
  for (let round = 0; round < options.rounds; round++) {
    await Bun.sleep(settleMs);
    withAgents.push(await transactionsPerSecond(system, await primaryOf(system), options.seconds));
    const byHand = await ByHand.takeOver(system, await primaryOf(system));
    await Bun.sleep(settleMs);
    without.push(await transactionsPerSecond(system, byHand.primary, options.seconds));
    await byHand.giveBack();
  }
  const ratio = median(withAgents) / median(without);
  console.log(
    `  pgbench, ${clients} clients: ${median(withAgents).toFixed(0)} tps with agents, ` +
      `${median(without).toFixed(0)} without: × ${ratio.toFixed(3)} (n=${options.rounds})`,
  );
  const each = withAgents.map((tps, at) => (tps / (without[at] ?? Number.NaN)).toFixed(2));
  console.log(`  the same round by round: ${each.join(", ")}`);
}

const options = parseCostOptions(process.argv.slice(2));
for (const name of options.systems) await measure(name, options);
process.exit(0);
