// What a machine without a server is like, and what keeps it from being a host. Changes nothing there.
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import {
  diskFreePartMin,
  hostClockDifferenceMsMax,
  hostFreeBytesMin,
  hostPreflightTimeoutMs,
} from "../base/limits.ts";
import type { Diagnostic } from "../base/result.ts";
import type { Executor } from "../host/executor.ts";
import { readHostSize } from "../observe/host-facts.ts";
import { findInstallations } from "../observe/postgres-installations.ts";
import type { Installation } from "../spec/host.ts";
import { parseListening } from "./host-checks.ts";
import { checkReachFrom, type Place } from "./reach.ts";

/** What the machine shall be used for. */
export interface PreflightQuestions {
  /** Where instances and programs will live; they need not exist yet. */
  readonly directories: readonly string[];
  /** Ports that must be free. */
  readonly ports: readonly number[];
  /** User that PostgreSQL will run as. */
  readonly postgresUser: string;
  /** Directories with PostgreSQL's programs beside the usual ones. */
  readonly binDirs: readonly string[];
  /** What the machine itself must be able to reach. */
  readonly reach: readonly Place[];
  /** As uname -m has it: the only kind that the program runs on; absent = all that it is built for. */
  readonly machine?: string;
  /** Where pgherd would keep its own files. */
  readonly dataDir?: string;
}

export interface DiskFacts {
  /** The asked directory. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly freeBytes: number;
}

/** A data directory that PostgreSQL made. */
export interface ExistingCluster {
  readonly dataDir: string;
  /** As PG_VERSION has it. */
  readonly major: string;
}

/** What was found out. */
export interface PreflightFacts {
  readonly hostName: string;
  /** As uname -m has it. */
  readonly machine: string;
  /** Name of the distribution and its version; empty when it does not tell. */
  readonly distribution: string;
  readonly isRoot: boolean;
  /** How far its clock is ahead of ours, and how wrong that may be, in milliseconds. */
  readonly clockAheadMs: number;
  readonly clockErrorMs: number;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly disks: readonly DiskFacts[];
  readonly installations: readonly Installation[];
  readonly listening: readonly number[];
  readonly clusters: readonly ExistingCluster[];
}

export interface Preflight {
  /** Absent when the machine cannot be reached. */
  readonly facts: PreflightFacts | undefined;
  readonly problems: readonly Diagnostic[];
}

/** Machines that the binaries are built for. */
const MACHINES = ["x86_64", "aarch64"];

/** Where packages put the clusters that they make. */
const CLUSTER_PARENTS = ["/var/lib/postgresql", "/var/lib/pgsql"];

/** Asks everything at once; all problems are reported together. Never throws for what the host does. */
export async function preflightHost(
  executor: Executor,
  clock: Clock,
  questions: PreflightQuestions,
  parent?: AbortSignal,
): Promise<Preflight> {
  const signal = clock.deadline(hostPreflightTimeoutMs, parent);
  try {
    const facts = await collectFacts(executor, clock, questions, signal);
    const unreachable = await checkReach(executor, questions, signal);
    const [user, used] = await Promise.all([
      checkUser(executor, questions.postgresUser, signal),
      checkUse(executor, questions.dataDir, signal),
    ]);
    return { facts, problems: [...judge(facts, questions), ...user, ...used, ...unreachable] };
  } catch (error) {
    parent?.throwIfAborted();
    return { facts: undefined, problems: [wayProblem(executor, error, signal.aborted)] };
  }
}

/** What does not let us in, with the field that mends it where that can be told. */
function wayProblem(executor: Executor, error: unknown, late: boolean): Diagnostic {
  const why = late ? "did not answer in time" : messageOf(error);
  const message = why.includes(executor.hostId) ? why : `host ${executor.hostId}: ${why}`;
  if (/sudo: /.test(why)) {
    const hint = "let the user run everything by sudo without a password (NOPASSWD: ALL)";
    return { path: "ssh.user", code: "sudo_refused", message, hint };
  }
  const phase = error instanceof AppError && "phase" in error ? String(error.phase) : "";
  // What may pass says nothing about keys and users: the host fell silent while they were looked at.
  const passing = error instanceof AppError && error.kind === "retryable";
  const known = WAY_FAILURES[passing && phase !== "resolve" ? "connect" : phase];
  return known ? { ...known, message } : { path: "", code: "host_unreachable", message };
}

const WAY_FAILURES: Readonly<Record<string, Omit<Diagnostic, "message">>> = {
  resolve: { path: "ssh.address", code: "host_unreachable", hint: "look at the name" },
  connect: {
    path: "ssh.address",
    code: "host_unreachable",
    hint: "does sshd run there, on this port, and does a firewall let us through?",
  },
  "host key": {
    path: "ssh.host_key",
    code: "wrong_host_key",
    hint: "compare with ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the machine",
  },
  authenticate: {
    path: "ssh.private_key",
    code: "login_refused",
    hint: "is the public key in authorized_keys of this user, and the user allowed to log in?",
  },
};

async function collectFacts(
  executor: Executor,
  clock: Clock,
  questions: PreflightQuestions,
  signal: AbortSignal,
): Promise<PreflightFacts> {
  // Alone, so that nothing else delays its answer.
  const time = await compareClocks(executor, clock, signal);
  const [about, release, size, disks, installations, sockets, clusters] = await Promise.all([
    Promise.all(
      [
        ["uname", "-n"],
        ["uname", "-m"],
        ["id", "-u"],
      ].map(say(executor, signal)),
    ),
    executor.get("/etc/os-release", { signal }),
    readHostSize(executor, signal),
    Promise.all(questions.directories.map((path) => readDisk(executor, path, signal))),
    findInstallations(executor, questions.binDirs, signal),
    say(executor, signal)(["cat", "/proc/net/tcp", "/proc/net/tcp6"]),
    findClusters(executor, questions.directories, signal),
  ]);
  const [hostName = "", machine = "", uid = ""] = about;
  return {
    hostName,
    machine,
    distribution: distributionOf(new TextDecoder().decode(release)),
    isRoot: uid === "0",
    ...time,
    ...size,
    disks: disks.flatMap((disk) => disk ?? []),
    installations,
    listening: [...parseListening(sockets)].sort((a, b) => a - b),
    clusters,
  };
}

/** What a program says. */
function say(executor: Executor, signal: AbortSignal) {
  return async (argv: readonly string[]): Promise<string> => {
    const [program = "", ...rest] = argv;
    const { stdout } = await executor.run({ argv: [program, ...rest] }, { signal });
    signal.throwIfAborted();
    return stdout.trim();
  };
}

/** The best of three: the answer was made at some moment between the question and its arrival. */
async function compareClocks(executor: Executor, clock: Clock, signal: AbortSignal) {
  let best = { clockAheadMs: 0, clockErrorMs: Number.POSITIVE_INFINITY };
  for (let attempt = 0; attempt < 3; attempt++) {
    const askedMs = clock.nowMs();
    const answered = Number(await say(executor, signal)(["date", "+%s%3N"]));
    const arrivedMs = clock.nowMs();
    const clockErrorMs = Math.ceil((arrivedMs - askedMs) / 2);
    if (!Number.isFinite(answered) || clockErrorMs >= best.clockErrorMs) continue;
    best = { clockAheadMs: Math.round(answered - (askedMs + arrivedMs) / 2), clockErrorMs };
  }
  return best;
}

/** The file system that a directory is or will be on. */
async function readDisk(
  executor: Executor,
  path: string,
  signal: AbortSignal,
): Promise<DiskFacts | undefined> {
  let existing = path;
  while (existing !== "/" && !(await executor.stat(existing, signal))) existing = dirname(existing);
  const text = await say(executor, signal)(["df", "-P", "-k", "--", existing]);
  const [, size, , free] = text.split("\n").at(-1)?.split(/\s+/) ?? [];
  if (free === undefined || !(Number(size) > 0)) return undefined;
  return { path, sizeBytes: Number(size) * 1_024, freeBytes: Number(free) * 1_024 };
}

async function findClusters(
  executor: Executor,
  directories: readonly string[],
  signal: AbortSignal,
): Promise<readonly ExistingCluster[]> {
  const parents = [...CLUSTER_PARENTS, ...directories];
  // Missing parents are complained about, and are no failure.
  const found = await say(
    executor,
    signal,
  )(["find", ...parents, "-maxdepth", "3", "-type", "f", "-name", "PG_VERSION"]);
  const files = [...new Set(found.split("\n").filter((line) => line !== ""))].sort();
  const readable = files.map(async (file) => {
    const content = await executor.get(file, { signal });
    return { dataDir: dirname(file), major: new TextDecoder().decode(content).trim() };
  });
  return Promise.all(readable);
}

/** NAME and VERSION_ID of os-release(5). */
function distributionOf(text: string): string {
  const value = (key: string) => new RegExp(`^${key}="?([^"\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  return `${value("NAME")} ${value("VERSION_ID")}`.trim();
}

function judge(facts: PreflightFacts, questions: PreflightQuestions): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const add = (code: string, message: string, hint: string) =>
    problems.push({ path: "", code, message, hint });
  if (!facts.isRoot) {
    add(
      "not_root",
      "commands do not run as root",
      "log in as root, or as a user with sudo without a password and say so",
    );
  }
  const machines = questions.machine === undefined ? MACHINES : [questions.machine];
  if (!machines.includes(facts.machine)) {
    const hint = `the program of this cluster's servers runs on ${machines.join(", ")}`;
    add("unsupported", `it is a ${facts.machine}`, hint);
  }
  if (Math.abs(facts.clockAheadMs) - facts.clockErrorMs > hostClockDifferenceMsMax) {
    const seconds = (Math.abs(facts.clockAheadMs) / 1_000).toFixed(1);
    const where = facts.clockAheadMs > 0 ? "ahead" : "behind";
    add("clock_off", `its clock is ${seconds} s ${where}`, "let NTP set it, e.g. by chrony");
  }
  for (const { path, sizeBytes, freeBytes } of facts.disks) {
    if (freeBytes >= Math.max(sizeBytes * diskFreePartMin, hostFreeBytesMin)) continue;
    const percent = ((100 * freeBytes) / sizeBytes).toFixed(1);
    const left = `${Math.floor(freeBytes / 1024 ** 2)} MiB, ${percent} %`;
    add("disk_full", `the disk of ${path} has ${left} left`, "make room, or use another disk");
  }
  if (facts.installations.length === 0) {
    add("no_postgres", "it has no PostgreSQL", "install the server package of a version you want");
  }
  for (const port of questions.ports.filter((wanted) => facts.listening.includes(wanted))) {
    add("port_in_use", `something listens on port ${port} already`, "end it, or use another port");
  }
  for (const { dataDir, major } of facts.clusters) {
    if (!questions.directories.some((directory) => dataDir.startsWith(`${directory}/`))) continue;
    const message = `${dataDir} holds a cluster of PostgreSQL ${major} already`;
    add("directory_in_use", message, "move it away, or use another directory");
  }
  return problems;
}

async function checkUser(
  executor: Executor,
  user: string,
  signal: AbortSignal,
): Promise<readonly Diagnostic[]> {
  const uid = await say(executor, signal)(["id", "-u", "--", user]);
  if (uid !== "") return [];
  const hint = "packages of PostgreSQL make one; or name another user";
  return [{ path: "", code: "missing_user", message: `it has no user "${user}"`, hint }];
}

/** Whether pgherd works there already, for this cluster or another one. */
async function checkUse(
  executor: Executor,
  dataDir: string | undefined,
  signal: AbortSignal,
): Promise<readonly Diagnostic[]> {
  if (dataDir === undefined) return [];
  const [membership, keepers] = await Promise.all([
    executor.get(`${dataDir}/membership.json`, { signal }),
    executor.list(`${dataDir}/keepers`, signal),
  ]);
  const isMember = /"phase": "(member|joining)"/.test(new TextDecoder().decode(membership));
  const used = isMember ? "a server of pgherd" : keepers.length > 0 ? "keepers of pgherd" : "";
  if (used === "") return [];
  const message = `${dataDir} belongs to ${used} already`;
  const hint = "remove the host from its cluster first, or use another data_dir";
  return [{ path: "data_dir", code: "managed_already", message, hint }];
}

/** Tries to connect from there. */
async function checkReach(
  executor: Executor,
  { reach }: PreflightQuestions,
  signal: AbortSignal,
): Promise<readonly Diagnostic[]> {
  const tried = reach.map(async (place) => {
    if ((await checkReachFrom(executor, place, signal)) === undefined) return [];
    const message = `it does not reach ${place.host} port ${place.port}`;
    const hint = "look at firewalls and routes between the two";
    return [{ path: "", code: "unreachable_from_host", message, hint }];
  });
  return (await Promise.all(tried)).flat();
}
