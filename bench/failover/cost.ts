// Steady cost of what keeps a node available: memory and CPU time of its processes on every host, and what pgbench
// loses to those of its own host. In turns these run and are stopped, while pgbench goes on; the other hosts, which
// would have processors of their own, go on all the time.
//   bun bench/failover/cost.ts [--systems pgherd,patroni] [--pairs 40] [--seconds 10] [--clients 8] [--builtin tpcb-like,simple-update]
import { runInBox } from "../../test/ha-rig/open.ts";
import { parseCostOptions } from "./cost-options.ts";

const args = process.argv.slice(2);
const { systems } = parseCostOptions(args);
process.exit(await runInBox(`${import.meta.dir}/cost-inside.ts`, args, systems));
