// A primary that keeps every processor busy, in control groups, where kernels let ordinary programs wait for seconds:
// its lease is renewed, and nobody takes the agents of its standbys for dead.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { System } from "../ha-rig/system.ts";
import { Pgherd } from "../ha-rig/systems/pgherd.ts";
import { realtimeInGroups } from "./cgroups.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 240_000;
const busyS = 40;
/** Of an agent that was taken for dead, or that was late. */
const alarm = /the fencer closed the connection|the deadline passed/;

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory && !realtimeInGroups()) {
  test.skip("goes on: this kernel gives real-time priority to no control group", () => undefined);
} else if (image && directory) {
  let system: System;

  beforeAll(async () => {
    system = await Pgherd.create(`${directory}/busy`, image, ["h1", "h2", "h3"], {
      cpuWeight: 1,
      realtimeMs: 200,
    });
    await system.up({ mode: "async", timings: "usual", major: 17 });
  }, secondsMax);
  afterAll(() => system.lab.down(), secondsMax);

  test(
    "goes on, and nothing around it is started anew",
    async () => {
      await pgbench("-i", "-q", "-s", "20");
      const clients = ["-c", "8", "-j", "2", "-T", String(busyS)];
      const { stdout } = await pgbench("-b", "select-only", "-n", ...clients);
      const logs = await Promise.all(system.hosts.map((host) => system.logs(host)));
      console.log(
        stdout
          .split("\n")
          .filter((line) => /^(tps|number of trans)/.test(line))
          .join("; "),
      );
      expect(stdout).toMatch(/number of failed transactions: 0 /);
      expect(await system.epochs()).toHaveLength(1);
      expect(await realtimePrograms()).toEqual(["fencer", "keeper", "rqlited"]);
      for (const log of logs) {
        expect(log.split("\n").filter((line) => alarm.test(line))).toEqual([]);
        expect(log.includes("runs at real-time priority")).toBe(true);
      }
    },
    secondsMax,
  );

  /** Of pgherd and PostgreSQL, by their first threads. */
  async function realtimePrograms(): Promise<readonly string[]> {
    const { stdout } = (await system.hosts[0]?.exec(["ps", "-eo", "cls,args"])) ?? { stdout: "" };
    const realtime = stdout.split("\n").filter((line) => /^\s*RR /.test(line));
    expect(stdout).toMatch(/^\s*TS .*postgres/m);
    return realtime.map((line) => /keeper|fencer|rqlited/.exec(line)?.[0] ?? line).sort();
  }

  /** Beside the primary, which is where it was created. */
  async function pgbench(...args: string[]) {
    const [host] = system.hosts;
    if (!host) throw new Error("no host");
    const { user, password, database } = system.login;
    const { address, port } = system.endpoint(host);
    const target = ["-h", address, "-p", String(port), "-U", user, database];
    const env = { PGPASSWORD: password };
    return host.exec(["pgbench", ...args, ...target], { timeoutMs: 2 * busyS * 1_000, env });
  }
}
