// Failover beside Patroni: the same hosts, PostgreSQL, settings and faults for both, in alternating runs.
//   bun bench/failover/main.ts [--rounds 3] [--repeat 2] [--timings usual,fastest] [--systems pgherd,patroni]
//                              [--faults switchover,stop,crash,host,agent] [--mode async] [--major 17] [--seed N]
// Prints a table per timings and writes every single measurement to .cache/reports/failover.json.
// `usual` gives both systems Patroni's default timings; `fastest` gives each its own shortest.
import { runInBox } from "../../test/ha-rig/open.ts";
import { parseOptions } from "./options.ts";

const args = process.argv.slice(2);
const { systems } = parseOptions(args);
process.exit(await runInBox(`${import.meta.dir}/inside.ts`, args, systems));
