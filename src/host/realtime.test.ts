// Real-time priority on the real kernel, as /proc tells it (proc_pid_stat(5)).
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { agentEnvironment } from "./detached.ts";
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

/** Names of the threads of a program that has much to compile and much garbage, each name once. */
function threadsAtWork(environment: Readonly<Record<string, string>>): readonly string[] {
  const script = `
    const { readdirSync, readFileSync } = require("node:fs");
    const names = new Set();
    let kept;
    for (let turn = 0; turn < 20; turn++) {
      const sum = new Function("n", "let s = " + turn + "; for (let i = 0; i < n; i++) s += i % 7; return s");
      for (let i = 0; i < 3_000; i++) sum(2_000 + i);
      kept = Array.from({ length: 20_000 }, (_, i) => ({ i, kept: turn }));
      for (const id of readdirSync("/proc/self/task")) {
        try {
          names.add(readFileSync("/proc/self/task/" + id + "/comm", "utf8").trim());
        } catch (ended) {
          if (ended.code !== "ENOENT" && ended.code !== "ESRCH") throw ended;
        }
      }
    }
    console.log([...names].join("\\n"));`;
  const env = { PATH: process.env.PATH ?? "", ...environment };
  const stdin = new TextEncoder().encode(script);
  const { stdout } = Bun.spawnSync([process.execPath, "run", "-"], { env, stdin });
  return stdout.toString().trim().split("\n");
}

test("keepers and fencers have no threads that come and go, which would not have it at first", () => {
  const helpers = /^(JITWorker|HeapHelper|.*ollector)/;
  const helpersWith = (environment: Readonly<Record<string, string>>) =>
    threadsAtWork(environment).filter((name) => helpers.test(name));
  expect(helpersWith({})).toEqual(expect.arrayContaining(["JITWorker", "HeapHelper"]));
  expect(helpersWith(agentEnvironment)).toEqual([]);
});
