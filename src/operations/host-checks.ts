// What only the hosts can tell before a spec is accepted: ports in use, programs in place, directories free.

import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { hostValidationTimeoutMs } from "../base/limits.ts";
import type { Diagnostic } from "../base/result.ts";
import type { Executor, ExecutorOf } from "../host/executor.ts";

/** What one host is asked. */
export interface HostQuestions {
  readonly hostId: string;
  /** User that PostgreSQL runs as; null = the server's own. */
  readonly postgresUser: string | null;
  readonly ports: readonly PortQuestion[];
  /** Programs that must be there. */
  readonly programs: readonly PathQuestion[];
  /** Directories that must be absent or empty. */
  readonly directories: readonly PathQuestion[];
}

export interface PortQuestion {
  /** Field of the spec. */
  readonly path: string;
  readonly nodeName: string;
  readonly port: number;
}

export interface PathQuestion {
  readonly path: string;
  readonly nodeName: string;
  readonly file: string;
}

export interface HostAnswers {
  readonly problems: readonly Diagnostic[];
  /** Ports that something listens on, by host id. */
  readonly listening: ReadonlyMap<string, ReadonlySet<number>>;
}

/** Asks all hosts at once; a host that does not answer in time is a problem of its own. */
export async function askHosts(
  clock: Clock,
  executorOf: ExecutorOf,
  questions: readonly HostQuestions[],
): Promise<HostAnswers> {
  const signal = clock.deadline(hostValidationTimeoutMs);
  const answers = await Promise.all(
    questions.map((question) => askHost(executorOf, question, signal)),
  );
  return {
    problems: answers.flatMap(({ problems }) => problems),
    listening: new Map(answers.map(({ hostId, listening }) => [hostId, listening])),
  };
}

interface Answer {
  readonly hostId: string;
  readonly problems: readonly Diagnostic[];
  readonly listening: ReadonlySet<number>;
}

async function askHost(
  executorOf: ExecutorOf,
  questions: HostQuestions,
  signal: AbortSignal,
): Promise<Answer> {
  const { hostId } = questions;
  const silent = (why: string): Answer => ({
    hostId,
    problems: [unreachable(questions, why)],
    listening: new Set(),
  });
  try {
    const executor = await executorOf(hostId);
    if (!executor) return silent("cannot be reached from this server");
    const [listening, programs, directories] = await Promise.all([
      listeningPorts(executor, signal),
      Promise.all(questions.programs.map((asked) => checkProgram(executor, asked, signal))),
      Promise.all(
        questions.directories.map((asked) => checkDirectory(executor, asked, questions, signal)),
      ),
    ]);
    const ports = questions.ports.map((asked) => checkPort(hostId, asked, listening));
    return {
      hostId,
      problems: [...ports, ...programs, ...directories].flatMap((found) => found ?? []),
      listening,
    };
  } catch (error) {
    return silent(signal.aborted ? "did not answer in time" : messageOf(error));
  }
}

/** One problem for the host, with every node that is to be on it. */
function unreachable({ hostId, ports, programs, directories }: HostQuestions, why: string) {
  const asked = [...ports, ...programs, ...directories].map(({ nodeName }) => nodeName);
  const nodes = [...new Set(asked)].join(", ");
  const place = why.startsWith(`host ${hostId}`) ? "" : `host ${hostId}: `;
  const message = `${nodes}${nodes === "" ? "" : ": "}${place}${why}`;
  const hint = "start the server of this host, or mend the connection to it";
  return { path: "", code: "host_unreachable", message, hint };
}

function checkPort(
  hostId: string,
  { path, nodeName, port }: PortQuestion,
  listening: ReadonlySet<number>,
): Diagnostic | undefined {
  if (!listening.has(port)) return undefined;
  return {
    path,
    code: "port_in_use",
    message: `${nodeName}: something listens on port ${port} of host ${hostId} already`,
  };
}

async function checkProgram(
  executor: Executor,
  { path, nodeName, file }: PathQuestion,
  signal: AbortSignal,
): Promise<Diagnostic | undefined> {
  const stat = await executor.stat(file, signal);
  if (stat) return undefined;
  const message = `${nodeName}: host ${executor.hostId} has no ${file} any more`;
  return { path, code: "missing_program", message };
}

async function checkDirectory(
  executor: Executor,
  asked: PathQuestion,
  { postgresUser }: HostQuestions,
  signal: AbortSignal,
): Promise<Diagnostic | undefined> {
  const { path, nodeName, file } = asked;
  const names = await executor.list(file, signal);
  if (names.length === 0) return checkPassage(executor, asked, postgresUser, signal);
  const message = `${nodeName}: ${file} of host ${executor.hostId} is not empty`;
  const hint = "move away or remove what an earlier database left there";
  return { path, code: "directory_in_use", message, hint };
}

/**
 * Directories that are not there yet are made so that PostgreSQL's user passes. Those that are there have to let
 * it pass, or initdb would fail where nobody expects it.
 */
async function checkPassage(
  executor: Executor,
  { path, nodeName, file }: PathQuestion,
  user: string | null,
  signal: AbortSignal,
): Promise<Diagnostic | undefined> {
  let present = dirname(file);
  while (present !== "/" && !(await executor.stat(present, signal))) present = dirname(present);
  const asUser = user === null ? {} : { user };
  const { exitCode } = await executor.run({ argv: ["test", "-x", present], ...asUser }, { signal });
  signal.throwIfAborted();
  // Any other status is none of test(1): then nothing is known.
  if (exitCode !== 1) return undefined;
  const who = user === null ? "the server's user" : `user ${user}`;
  const message = `${nodeName}: on host ${executor.hostId} ${who} cannot enter ${present}, where ${file} is to be`;
  const hint =
    "let it pass through every directory above the data (chmod o+x), or set postgres.instance_dir";
  return { path, code: "directory_closed", message, hint };
}

/** State of a listening socket in /proc/net/tcp (proc_pid_net(5)). */
const LISTEN = "0A";

/** TCP ports that something listens on, whatever the address. */
async function listeningPorts(
  executor: Executor,
  signal: AbortSignal,
): Promise<ReadonlySet<number>> {
  const result = await executor.run(
    { argv: ["cat", "/proc/net/tcp", "/proc/net/tcp6"] },
    { signal },
  );
  signal.throwIfAborted();
  if (result.stdout === "") throw new Error(`cannot tell its open ports: ${result.stderr.trim()}`);
  return parseListening(result.stdout);
}

/** Ports of the listening sockets in the text of /proc/net/tcp and tcp6. */
export function parseListening(text: string): ReadonlySet<number> {
  const ports = new Set<number>();
  for (const line of text.split("\n")) {
    const [, local, , state] = line.trim().split(/\s+/);
    const port = local?.split(":")[1];
    if (state === LISTEN && port !== undefined) ports.add(Number.parseInt(port, 16));
  }
  return ports;
}
