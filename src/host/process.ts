// Facts about processes from /proc (proc_pid_stat(5)). A pid alone names nobody for long: a process
// is recognised by pid, start time and boot together.
import { readdirSync, readFileSync } from "node:fs";

/** Names one process for ever. Stored, compared before any signal is sent. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot. */
  readonly startTicks: string;
  readonly bootId: string;
}

export interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  readonly name: string;
  /** One letter; Z and X are dead. */
  readonly state: string;
  /** 0 = no controlling terminal. */
  readonly terminal: number;
  readonly startTicks: string;
}

/** What /proc says about a pid now, or undefined when there is none. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const text = readProcFile(`/proc/${pid}/stat`);
  if (!text) return undefined;
  // The name is in parentheses and may itself contain any character.
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  const fields = text.slice(close + 2).split(" ");
  return {
    pid,
    name: text.slice(open + 1, close),
    state: fields[0] ?? "X",
    parentPid: Number(fields[1]),
    terminal: Number(fields[4]),
    startTicks: fields[19] ?? "",
  };
}

/** Every process that can be seen. */
export function listProcesses(): readonly ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const entry = readProcess(Number(name));
    if (entry) found.push(entry);
  }
  return found;
}

/** Its arguments; empty for a zombie or a kernel thread. A title set by the program is one argument. */
export function readArguments(pid: number): readonly string[] {
  return (readProcFile(`/proc/${pid}/cmdline`) ?? "").split("\0").filter((part) => part !== "");
}

/** Effective user id, or undefined when the process is gone. */
export function readUserId(pid: number): number | undefined {
  const line = readProcFile(`/proc/${pid}/status`)?.match(/^Uid:\s+\d+\s+(\d+)/m);
  return line?.[1] === undefined ? undefined : Number(line[1]);
}

/** Whether it runs or can run again: zombies cannot. */
export function isLive(entry: ProcessEntry): boolean {
  return entry.state !== "Z" && entry.state !== "X";
}

/** Name of a living process, to recognise it later. */
export function identify(pid: number): ProcessIdentity | undefined {
  const entry = readProcess(pid);
  if (!entry || !isLive(entry)) return undefined;
  return { pid, startTicks: entry.startTicks, bootId: currentBootId() };
}

/** Whether exactly this process still lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  const entry = readProcess(identity.pid);
  return (
    entry !== undefined &&
    isLive(entry) &&
    entry.startTicks === identity.startTicks &&
    identity.bootId === currentBootId()
  );
}

/** Sends a signal to exactly this process; false when it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  return isAlive(identity) && sendSignal(identity.pid, signal);
}

/** Sends a signal to a pid (negative: to a process group); false when there is nobody. */
export function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (hasCode(error, "ESRCH")) return false;
    throw error;
  }
}

/** The kernel's name of this boot. */
export function currentBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** Whether something thrown carries one of these system error codes. */
export function hasCode(thrown: unknown, ...codes: readonly string[]): boolean {
  return (
    thrown instanceof Error &&
    "code" in thrown &&
    typeof thrown.code === "string" &&
    codes.includes(thrown.code)
  );
}

function readProcFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
