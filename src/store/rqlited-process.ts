// One run of rqlited: starting it so that it outlives us, taking over one that did, ending it.
import { open, rename, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { rqlitedLogBytesMax, rqlitedStopTimeoutMs } from "../base/limits.ts";
import { isMissing } from "./rqlited-binary.ts";
import { type Endpoint, type RqlitedPaths, SERVER_USER } from "./rqlited-files.ts";

/** Names one process for ever. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
  readonly bootId: string;
}

/** What is asked of the operating system; src/host/process.ts fits. */
export interface ProcessTable {
  identify(pid: number): ProcessIdentity | undefined;
  isAlive(identity: ProcessIdentity): boolean;
  signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean;
  listProcesses(): readonly { readonly pid: number }[];
  readArguments(pid: number): readonly string[];
}

export interface RunningProcess {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended, with how. */
  readonly ended: Promise<string>;
}

/** How a process that is not our child is watched. */
const POLL_MS = 200;

export interface RaftTiming {
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly leaderLeaseMs: number;
}

/** A lone node elects itself after one to two heartbeats: nobody else can be disturbed by haste. */
export const SINGLE_NODE_TIMING: RaftTiming = {
  heartbeatMs: 60,
  electionMs: 60,
  leaderLeaseMs: 50,
};
/** Of a cluster of several, whose members bear the leader's silence for this long. */
export function clusterTiming(leaderTimeoutMs: number): RaftTiming {
  const leaderLeaseMs = Math.round(leaderTimeoutMs * 0.8);
  return { heartbeatMs: leaderTimeoutMs, electionMs: leaderTimeoutMs, leaderLeaseMs };
}

/** The whole command line. The data directory comes last; by it a process is known as ours. */
export function rqlitedArguments(options: {
  readonly binary: string;
  readonly paths: RqlitedPaths;
  readonly nodeId: string;
  readonly http: Endpoint;
  readonly raft: Endpoint;
  readonly timing: RaftTiming;
  readonly version: string;
  readonly tls?: CertificateFiles;
  /** Votes; true when absent. */
  readonly voter?: boolean;
  /** Raft addresses of the cluster to join. */
  readonly join?: readonly string[];
}): readonly string[] {
  const { binary, paths, nodeId, http, raft, timing, version, tls, voter, join } = options;
  const heartbeat = majorOf(version) >= 10 ? "-raft-heartbeat-timeout" : "-raft-timeout";
  return [
    binary,
    "-node-id",
    nodeId,
    "-auth",
    paths.auth,
    "-http-addr",
    address(http),
    "-raft-addr",
    address(raft),
    heartbeat,
    `${timing.heartbeatMs}ms`,
    "-raft-election-timeout",
    `${timing.electionMs}ms`,
    "-raft-leader-lease-timeout",
    `${timing.leaderLeaseMs}ms`,
    ...(tls ? tlsArguments(tls) : []),
    ...(voter === false ? ["-raft-non-voter"] : []),
    ...(join ? joinArguments(join) : []),
    paths.data,
  ];
}

/** PEM files of this node; rqlited looks for new ones by itself. */
export interface CertificateFiles {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

function tlsArguments({ ca, certificate, key }: CertificateFiles): readonly string[] {
  return ["http", "node"].flatMap((side) => [
    ...[`-${side}-ca-cert`, ca],
    ...[`-${side}-cert`, certificate],
    ...[`-${side}-key`, key],
    `-${side}-verify-client`,
  ]);
}

const JOIN_FLAGS = ["-join", "-join-as", "-join-attempts", "-join-interval"];

function joinArguments(addresses: readonly string[]): readonly string[] {
  const values = [addresses.join(","), SERVER_USER, "10", "500ms"];
  return JOIN_FLAGS.flatMap((flag, index) => [flag, values[index] ?? ""]);
}

/** Whether two command lines start the same node: joining is done once and then of no interest. */
export function sameArguments(found: readonly string[], wanted: readonly string[]): boolean {
  return JSON.stringify(withoutJoin(found)) === JSON.stringify(withoutJoin(wanted));
}

/** The command line of a node that has joined: when it is started again, the others may be away. */
export function withoutJoin(argv: readonly string[]): readonly string[] {
  return argv.filter(
    (word, index) => !JOIN_FLAGS.includes(word) && !JOIN_FLAGS.includes(argv[index - 1] ?? ""),
  );
}

/** Starts it in its own session with its output appended to the log, so that our end is not its end. */
export async function startProcess(
  argv: readonly string[],
  logPath: string,
  processes: ProcessTable,
): Promise<RunningProcess> {
  const log = await open(logPath, "a", 0o600);
  try {
    const child = Bun.spawn([...argv], {
      detached: true,
      stdin: "ignore",
      stdout: log.fd,
      stderr: log.fd,
      env: { PATH: "/usr/bin:/bin", HOME: "/", GOMAXPROCS: String(processorsMax()) },
      cwd: "/",
    });
    child.unref();
    const identity = processes.identify(child.pid);
    const ended = child.exited.then((code) =>
      child.signalCode ? `signal ${child.signalCode}` : `exit code ${code}`,
    );
    if (!identity) {
      throw new AppError(
        "retryable",
        `rqlited ended at once (${await ended}): ${await tail(logPath)}`,
      );
    }
    return { identity, ended };
  } finally {
    await log.close();
  }
}

/** It may come before whatever else the host does: at least half of the processors are left to that. */
function processorsMax(): number {
  return Math.max(1, Math.floor(availableParallelism() / 2));
}

/** Watches a process that an earlier run of the server started. */
export function watchProcess(
  identity: ProcessIdentity,
  processes: ProcessTable,
  clock: Clock,
  signal: AbortSignal,
): RunningProcess {
  const watch = async () => {
    while (processes.isAlive(identity)) {
      if (signal.aborted) return "no longer watched";
      await clock.sleep(POLL_MS);
    }
    return "ended";
  };
  return { identity, ended: watch() };
}

/** The processes that use this data directory, whoever started them. */
export function findByDataDirectory(processes: ProcessTable, directory: string): ProcessIdentity[] {
  return processes
    .listProcesses()
    .filter(({ pid }) => {
      const argv = processes.readArguments(pid);
      return argv.at(-1) === directory && (argv[0] ?? "").includes("rqlited");
    })
    .map(({ pid }) => processes.identify(pid))
    .filter((identity) => identity !== undefined);
}

/** The signals in turn until it has ended. Throws when even the last did not end it in time. */
export async function endProcess(
  identity: ProcessIdentity,
  processes: ProcessTable,
  clock: Clock,
  signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGKILL"],
): Promise<void> {
  for (const signal of signals) {
    if (!processes.signalProcess(identity, signal)) return;
    const endMs = clock.monotonicMs() + rqlitedStopTimeoutMs;
    while (clock.monotonicMs() < endMs) {
      if (!processes.isAlive(identity)) return;
      await clock.sleep(10);
    }
  }
  throw new AppError("terminal", `rqlited (pid ${identity.pid}) does not end`);
}

/**
 * Keeps the log within bounds: its content moves to `<log>.1`, and the file, which rqlited holds open
 * for appending, starts again at nothing.
 */
export async function boundLog(path: string): Promise<void> {
  try {
    if ((await stat(path)).size <= rqlitedLogBytesMax) return;
  } catch (thrown) {
    if (isMissing(thrown)) return;
    throw thrown;
  }
  const temporary = `${path}.1.part`;
  await Bun.write(temporary, Bun.file(path), { mode: 0o600 });
  await rename(temporary, `${path}.1`);
  const log = await open(path, "r+");
  try {
    await log.truncate(0);
  } finally {
    await log.close();
  }
}

/** The end of the log on one line, for error messages. */
export async function tail(path: string): Promise<string> {
  const file = Bun.file(path);
  if (!(await file.exists())) return "";
  const text = await file.slice(Math.max(0, file.size - 600)).text();
  return text.trim().split("\n").slice(-4).join(" | ");
}

function address(endpoint: Endpoint): string {
  const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
  return `${host}:${endpoint.port}`;
}

function majorOf(version: string): number {
  return Number(/^v?(\d+)\./.exec(version)?.[1] ?? 0);
}
