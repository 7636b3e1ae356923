// A second lab for the test of the first: one host with the name and address of one there. Prints its machine id and
// stays until it is killed. Runs in a box of its own: bun beside.ts DIRECTORY IMAGE
import { Lab } from "./lab.ts";

const [directory = "", image = ""] = process.argv.slice(2);
const lab = await Lab.up(directory, image);
const host = await lab.host("one");
await host.start();
const { stdout } = await host.exec(["cat", "/etc/machine-id"]);
console.log(stdout.trim());
await Bun.sleep(600_000);
