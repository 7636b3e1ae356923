// Steady cost of what keeps a node available: memory and CPU time of its processes on every host, and what pgbench
// loses to them. The same node is measured with the agents running and, in turns, run by hand without them.
//   bun bench/failover/cost.ts [--systems pgherd,patroni] [--rounds 5] [--seconds 10]
import { runInBox } from "../../test/ha-rig/open.ts";
import { parseCostOptions } from "./cost-options.ts";

const args = process.argv.slice(2);
const { systems } = parseCostOptions(args);
process.exit(await runInBox(`${import.meta.dir}/cost-inside.ts`, args, systems));
