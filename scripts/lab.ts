// `bun scripts/lab.ts up [hosts]`: a cluster of lab hosts to play with. Each runs pgherd from dist/ as its service; a
// shell opens in which they can be reached, and when it ends everything is gone.
import { join } from "node:path";
import { Lab } from "../test/lab/lab.ts";
import { cluster, LabMember } from "../test/lab/members.ts";

const here = import.meta.dir;
const HOSTS_MAX = 9;

/** Builds the image and the box, and comes back into it. */
async function outside(count: number): Promise<number> {
  const run = join(here, "../test/lab/run.sh");
  const child = Bun.spawn([run, "--script", import.meta.path, "inside", String(count)], {
    stdio: ["inherit", "inherit", "inherit"],
  });
  return child.exited;
}

async function inside(count: number, image: string, directory: string): Promise<number> {
  const lab = await Lab.up(join(directory, "play"), image);
  try {
    const names = Array.from({ length: count }, (_, at) => `host-${at + 1}`);
    const members = await LabMember.bootAll(lab, names);
    await cluster(members);
    const [first] = members;
    console.log(`\n${count} hosts, one cluster:`);
    for (const { host, url } of members) {
      console.log(`  ${host.name}  ${url}  (a shell there: nsenter -a -t ${host.pid()})`);
    }
    console.log(`for example: dist/pgherd --server ${first?.url} host list; exit ends it all\n`);
    const shell = Bun.spawn(["bash"], {
      stdio: ["inherit", "inherit", "inherit"],
      env: { ...process.env, PGHERD_SERVER: first?.url ?? "" },
    });
    return await shell.exited;
  } finally {
    await lab.down();
  }
}

const [verb, given = "3"] = process.argv.slice(2);
const count = Number(given);
const { PGHERD_LAB_IMAGE: image, PGHERD_LAB_DIRECTORY: directory } = process.env;
if ((verb !== "up" && verb !== "inside") || !(count >= 1 && count <= HOSTS_MAX)) {
  console.error(`usage: bun scripts/lab.ts up [1 to ${HOSTS_MAX} hosts]`);
  process.exit(2);
}
if (verb === "inside" && image && directory) process.exit(await inside(count, image, directory));
process.exit(await outside(count));
