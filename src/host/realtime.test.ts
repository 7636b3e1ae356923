// Real-time priority on the real kernel, as /proc tells it (proc_pid_stat(5)).
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { makeRealtime } from "./realtime.ts";

/** Where the kernel refuses it, that is what has to be answered. */
const allowed = Bun.spawnSync(["chrt", "--rr", "1", "true"]).exitCode === 0;
const ordinary = { policy: 0, priority: 0 };
const realtime = { policy: 2, priority: 1 };

const started: ReturnType<typeof Bun.spawn>[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function sleeper(): number {
  const child = Bun.spawn(["sleep", "60"]);
  started.push(child);
  return child.pid;
}

function scheduling(pid: number): { policy: number; priority: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { priority: Number(fields[37]), policy: Number(fields[38]) };
}

test("a process gets it, and what is answered is what the kernel says", () => {
  if (!allowed) console.log("the kernel refuses real-time priority here");
  const pid = sleeper();
  expect(scheduling(pid)).toEqual(ordinary);
  expect(makeRealtime(pid, "alike")).toBe(allowed);
  expect(scheduling(pid)).toEqual(allowed ? realtime : ordinary);
});

test("a process that is gone is no failure", async () => {
  const child = Bun.spawn(["true"]);
  await child.exited;
  expect(makeRealtime(child.pid, "alike")).toBe(true);
});

test.each(["ordinary", "alike"] as const)("what the process starts is %s", (descendants) => {
  const module = join(import.meta.dir, "realtime.ts");
  const script = `
    const { makeRealtime } = await import(${JSON.stringify(module)});
    makeRealtime(process.pid, ${JSON.stringify(descendants)});
    const { stdout } = Bun.spawnSync(["cat", "/proc/self/stat"]);
    const own = require("node:fs").readFileSync("/proc/self/stat", "utf8");
    const policy = (stat) => stat.slice(stat.lastIndexOf(")") + 2).split(" ")[38];
    console.log(policy(own), policy(stdout.toString()));`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script]);
  const child = allowed && descendants === "alike" ? 2 : 0;
  expect(stdout.toString().trim()).toBe(`${allowed ? 2 : 0} ${child}`);
});
