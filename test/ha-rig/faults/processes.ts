// Processes of a lab host, found from outside through /proc, and signals to them.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { LabHost } from "../../lab/lab.ts";
import type { ProcessKind, System } from "../system.ts";

export interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  readonly args: string;
  /** One letter of proc(5). */
  readonly state: string;
}

/** What PostgreSQL calls its children; a backend is recognised by its client. */
const children: Partial<Record<ProcessKind, RegExp>> = {
  backend: /^postgres: .*\brig\b/,
  checkpointer: /^postgres: (.*: )?checkpointer/,
  walsender: /^postgres: (.*: )?walsender/,
  walreceiver: /^postgres: (.*: )?walreceiver/,
  startup: /^postgres: (.*: )?startup/,
};
const postmaster = /^\S*\/postgres -D|^postgres -D/;

/** Reads a file of a process that may end meanwhile. */
function ofProcess<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : "";
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw thrown;
  }
}

/** Every process of a host. */
export function processesOf(host: LabHost): HostProcess[] {
  const namespace = ofProcess(() => readlinkSync(`/proc/${host.pid()}/ns/pid`));
  if (namespace === undefined) return [];
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!(pid > 0)) return [];
    if (ofProcess(() => readlinkSync(`/proc/${pid}/ns/pid`)) !== namespace) return [];
    const stat = ofProcess(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
    const args = ofProcess(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    if (stat === undefined || args === undefined) return [];
    const [state = "", parent = "0"] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return [{ pid, parent: Number(parent), state, args: args.replaceAll("\0", " ").trim() }];
  });
}

/** The running processes of a kind on a host. */
export function find(system: System, host: LabHost, kind: ProcessKind): HostProcess[] {
  const living = processesOf(host).filter(({ state }) => state !== "Z");
  const masters = living.filter(({ args }) => postmaster.test(args));
  if (kind === "postmaster") return masters;
  if (kind === "agent" || kind === "fencer" || kind === "store") {
    const command = system.command(kind);
    return command ? living.filter(({ args }) => command.test(args)) : [];
  }
  const pattern = children[kind];
  return living.filter(
    ({ args, parent }) => pattern?.test(args) && masters.some(({ pid }) => pid === parent),
  );
}

/** postgres processes whose postmaster is gone. */
export function orphans(host: LabHost): string[] {
  const living = processesOf(host).filter(({ state }) => state !== "Z");
  const masters = new Set(living.filter(({ args }) => postmaster.test(args)).map(({ pid }) => pid));
  return living
    .filter(({ args, parent }) => args.startsWith("postgres: ") && !masters.has(parent))
    .map(({ pid, args }) => `${pid} ${args}`);
}

/** Sends a signal; a process that has ended meanwhile is none. Says how many got it. */
export function signal(processes: readonly HostProcess[], name: NodeJS.Signals): number {
  let reached = 0;
  for (const { pid } of processes) {
    try {
      process.kill(pid, name);
      reached += 1;
    } catch (thrown) {
      if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ESRCH")) throw thrown;
    }
  }
  return reached;
}
