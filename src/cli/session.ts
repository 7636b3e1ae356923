// What every command starts from: the client, the output format, and whether to wait for tasks.
import type { Command } from "commander";
import { ApiClient, isObject } from "./client.ts";
import { resolveServers } from "./context.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { type OutputFormat, parseFormat, printObject } from "./output.ts";
import type { Terminal } from "./terminal.ts";
import { referenceOf, waitForTask } from "./wait.ts";

export interface Session {
  readonly terminal: Terminal;
  readonly client: ApiClient;
  readonly servers: readonly string[];
  readonly format: OutputFormat;
  readonly wait: boolean;
  readonly waitTimeoutMs: number;
  readonly quiet: boolean;
  readonly yes: boolean;
}

/** Not the words that follow: the flag stands before the command, and would take that for servers. */
const servers = (value: string, before: readonly string[] = []) => [...before, ...value.split(",")];

/** Options that every command takes. */
export function addGlobalOptions(program: Command): Command {
  return program
    .option(
      "-s, --server <url>",
      "server to talk to; several, with commas between, are tried in order (PGHERD_SERVER)",
      servers,
    )
    .option("--context <name>", "context of the configuration file (PGHERD_CONTEXT)")
    .option("-o, --output <format>", "table, json, yaml or name (PGHERD_OUTPUT)")
    .option("--timeout <duration>", "limit of one request", "60s")
    .option("--wait", "wait for the task (the default on a terminal)")
    .option("--no-wait", "return as soon as the task is accepted")
    .option("--wait-timeout <duration>", "stop waiting after this long; the task goes on", "15m")
    .option("-q, --quiet", "no progress")
    .option("-y, --yes", "do not ask before destructive commands");
}

/** The session of a command that was parsed. */
export async function openSession(terminal: Terminal, command: Command): Promise<Session> {
  const options: Record<string, unknown> = command.optsWithGlobals();
  const servers = await resolveServers(terminal, {
    ...(Array.isArray(options.server) ? { server: options.server.map(String) } : {}),
    ...(typeof options.context === "string" ? { context: options.context } : {}),
  });
  return {
    terminal,
    servers,
    client: new ApiClient({
      servers,
      timeoutMs: parseDuration(String(options.timeout)),
      clock: terminal.clock,
      signal: terminal.signal,
    }),
    format: parseFormat(String(options.output ?? terminal.env.PGHERD_OUTPUT ?? "table")),
    wait: typeof options.wait === "boolean" ? options.wait : terminal.outIsTty,
    waitTimeoutMs: parseDuration(String(options.waitTimeout)),
    quiet: options.quiet === true,
    yes: options.yes === true,
  };
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `500ms`, `30s`, `15m`, `2h` or plain seconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const factor = unitMs[match?.[2] ?? "s"];
  if (!match || factor === undefined) {
    throw new CliError(exitCodes.usage, `not a duration: ${text} (examples: 500ms, 30s, 15m)`);
  }
  return Number(match[1]) * factor;
}

/** Prints an accepted change; waits for its task when the session says so. */
export async function finishTask(session: Session, answer: unknown): Promise<void> {
  const task = isObject(answer) && isObject(answer.task) ? answer.task : answer;
  const reference = referenceOf(task);
  if (!session.wait) {
    if (session.format === "table") {
      session.terminal.out(`${reference.taskId}\n`);
      session.terminal.err(`accepted; follow it with: pgherd task logs -f ${reference.taskId}\n`);
    } else {
      printObject(session.terminal, session.format, answer);
    }
    return;
  }
  await waitForTask(session.client, reference, session.terminal, {
    timeoutMs: session.waitTimeoutMs,
    quiet: session.quiet,
  });
  if (session.format === "table") session.terminal.err(`task ${reference.taskId} completed\n`);
  else printObject(session.terminal, session.format, await session.client.get(reference.path));
}

/** Makes the user type the name, unless `--yes` was given; refuses without a terminal. */
export async function confirm(session: Session, what: string, name: string): Promise<void> {
  if (session.yes) return;
  if (!session.terminal.inIsTty) {
    throw new CliError(exitCodes.usage, `${what} needs --yes when there is no terminal to ask on`);
  }
  const typed = await session.terminal.prompt(`${what}. Type "${name}" to go on: `);
  if (typed.trim() !== name)
    throw new CliError(exitCodes.failure, "not confirmed; nothing was changed");
}
