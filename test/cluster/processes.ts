// What runs of one test host, and which ports are free at its address.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";

/** Ids of the processes whose command line or working directory is below the directory. */
export function processesOf(directory: string): readonly number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
      const state = readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /, "")[0];
      const cwd = readlinkSync(`/proc/${name}/cwd`);
      const ours = command.includes(`${directory}/`) || `${cwd}/`.startsWith(`${directory}/`);
      if (ours && state !== "Z") found.push(Number(name));
    } catch (thrown) {
      // It ended while it was looked at.
      if (!(thrown instanceof Error && "code" in thrown)) throw thrown;
    }
  }
  return found;
}

/** A port that nothing listens on at this address. */
export function listeningNowhere(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, address, () => {
      const bound = server.address();
      const port = typeof bound === "object" && bound ? bound.port : 0;
      server.close(() => resolve(port));
    });
  });
}
