// The measuring part of the benchmark: runs in the lab's box, where hosts can be reached.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/base/assert.ts";
import { seededRng } from "../../src/base/rng.ts";
import { ask, differingSettings, settingsOf } from "../../test/ha-rig/facts.ts";
import { labDirectory, open, type SystemName } from "../../test/ha-rig/open.ts";
import { Run } from "../../test/ha-rig/runner.ts";
import { type System, TIMINGS, type Timings } from "../../test/ha-rig/system.ts";
import { isPrimary } from "../../test/ha-rig/workload/route.ts";
import { benchFaults, parseOptions } from "./options.ts";
import { type Measurement, renderTable } from "./table.ts";

/** PostgreSQL keeps as many for new log by default: min_wal_size, 80 MB. */
const segmentsOfAge = 6;

const options = parseOptions(process.argv.slice(2));
const rng = seededRng(options.seed);
const measurements: Measurement[] = [];
const settings = new Map<SystemName, ReadonlyMap<string, string>>();
const versions = new Map<SystemName, string>();
const findings: string[] = [];
const reports = join(import.meta.dir, "../../.cache/reports");

async function runOnce(name: SystemName, timings: Timings, round: number): Promise<void> {
  const system = await open(name, `${labDirectory()}/${name}-${timings}-${round}`);
  const run = new Run(system, { mode: options.mode, timings, major: options.major });
  try {
    await run.begin();
    const [host] = system.hosts;
    if (host) settings.set(name, await settingsOf(system, host));
    for (let repeat = 0; repeat < options.repeat; repeat++) {
      const faults = benchFaults(system.detectionMs);
      for (const key of options.faults) {
        const fault = faults[key];
        if (!fault) continue;
        await age(system);
        // Anywhere in the loop of the agent, so that the worst phase is met as often as the best.
        const phaseMs = rng.int(0, TIMINGS[timings].loop_wait * 1_000);
        const result = await run.fault(fault, phaseMs);
        measurements.push({ ...result, system: name, timings, key });
        console.log(JSON.stringify({ system: name, timings, key, ...result }));
      }
    }
    const { version, findings: found } = await run.finish();
    versions.set(name, version);
    for (const { check, message } of found)
      findings.push(`${name} ${timings}: ${check}: ${message}`);
  } catch (thrown) {
    const reason = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    findings.push(`${name} ${timings}: run ${round} broke off: ${reason}`);
    for (const host of system.hosts) {
      mkdirSync(reports, { recursive: true });
      const file = join(reports, `failover-${name}-${timings}-${round}-${host.name}.log`);
      writeFileSync(file, host.alive() ? await system.logs(host) : "the host is off\n");
    }
  } finally {
    await run.end();
    await system.lab.down();
  }
}

/**
 * Writes and forgets some segments of log, so that files of old ones serve for new ones, as on every server that is
 * not minutes old: PostgreSQL makes new files in the middle of a shutdown otherwise.
 */
async function age(system: System): Promise<void> {
  const primary = must(await primaryOf(system), "a primary");
  for (let count = 0; count < segmentsOfAge; count++) {
    await ask(system, primary, async (session) => {
      await session.rows(
        "SELECT pg_logical_emit_message(false, 'bench', 'a record'), pg_switch_wal()",
      );
    });
  }
  for (const host of [primary, ...system.hosts.filter((each) => each !== primary)]) {
    await ask(system, host, (session) => session.rows("CHECKPOINT"));
  }
}

async function primaryOf(system: System) {
  for (const host of system.hosts) if (await isPrimary(system.primaryUrl(host))) return host;
  return undefined;
}

for (let round = 0; round < options.rounds; round++) {
  for (const timings of options.timings) {
    // Who goes first changes, so that neither has the quieter machine.
    const order = round % 2 === 0 ? options.systems : options.systems.toReversed();
    for (const name of order) await runOnce(name, timings, round);
  }
}
mkdirSync(reports, { recursive: true });
writeFileSync(join(reports, "failover.json"), JSON.stringify({ options, measurements }, null, 1));
console.log(`\nseed ${options.seed}, mode ${options.mode}`);
for (const [name, version] of versions) console.log(`${name}: ${version}`);
for (const timings of options.timings) console.log(`\n${renderTable(measurements, timings)}`);
const differing = differingSettings(settings.get("pgherd"), settings.get("patroni"));
if (differing.length > 0) console.log(`\nsettings that differ: ${differing.join("; ")}`);
if (findings.length > 0) console.log(`\nfindings:\n${findings.join("\n")}`);
process.exit(0);
