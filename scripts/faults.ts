// The fault matrix of high availability on simulated hosts, with a report: see USAGE.
import { parseMatrixOptions, USAGE } from "../test/ha-rig/matrix-options.ts";
import { runInBox } from "../test/ha-rig/open.ts";

const args = process.argv.slice(2);

async function main(): Promise<number> {
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  try {
    const { system } = parseMatrixOptions(args);
    return await runInBox(`${import.meta.dir}/../test/ha-rig/matrix.ts`, args, [system]);
  } catch (thrown) {
    if (!(thrown instanceof Error)) throw thrown;
    console.error(`${thrown.message}\n${USAGE}`);
    return 2;
  }
}

process.exit(await main());
