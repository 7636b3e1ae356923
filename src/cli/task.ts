// pgherd task …: what was asked for and how it went.
import type { Command } from "commander";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { openSession, type Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";
import { followLog, formatEntry, referenceOf, type TaskReference, waitForTask } from "./wait.ts";

/** Of a list of tasks. */
export const taskColumns: readonly Column[] = [
  { title: "ID", cell: (row) => row.task_id },
  { title: "TYPE", cell: (row) => row.type },
  { title: "ENTITY", cell: (row) => `${String(row.scope)}/${String(row.entity_id)}` },
  { title: "STATUS", cell: (row) => row.status },
  { title: "CREATED", cell: (row) => row.created_at },
  { title: "ERROR", cell: (row) => row.error },
];

/** Adds `task` and its verbs. */
export function addTaskCommands(program: Command, terminal: Terminal): void {
  const task = program.command("task").alias("tasks").description("tasks and their logs");
  task
    .command("list")
    .alias("ls")
    .description("tasks, newest first")
    .option("-d, --database <name>", "only of this database")
    .option("--host <id>", "only of this host")
    .option("--limit <count>", "at most so many", "50")
    .action(async (options: ListOptions, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get("/v1/tasks", scopeQuery(options));
      const rows = isObject(body) && Array.isArray(body.tasks) ? body.tasks : [];
      printRows(terminal, session.format, body, rows, taskColumns);
    });
  task
    .command("get")
    .alias("show")
    .argument("<id>")
    .description("one task")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      printObject(
        terminal,
        session.format,
        await session.client.get((await find(session, id)).path),
      );
    });
  task
    .command("logs")
    .alias("log")
    .argument("<id>")
    .description("the log of a task")
    .option("-f, --follow", "until the task has ended")
    .option("--limit <count>", "only the newest entries")
    .action(async (id: string, options: { follow?: boolean; limit?: string }, command: Command) => {
      await logs(await openSession(terminal, command), id, options);
    });
  task
    .command("cancel")
    .argument("<id>")
    .description("ask a task to stop")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const { path } = await find(session, id);
      printObject(terminal, session.format, await session.client.request("POST", `${path}/cancel`));
    });
  task
    .command("wait")
    .argument("<id>")
    .description("wait until a task has ended")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      await waitForTask(session.client, await find(session, id), terminal, {
        timeoutMs: session.waitTimeoutMs,
        quiet: session.quiet,
      });
    });
}

interface ListOptions {
  readonly database?: string;
  readonly host?: string;
  readonly limit: string;
}

function scopeQuery(options: ListOptions): Record<string, string | undefined> {
  if (options.database && options.host) {
    throw new CliError(exitCodes.usage, "--database and --host exclude each other");
  }
  const entity = options.database ?? options.host;
  return {
    limit: options.limit,
    scope: entity ? (options.database ? "database" : "host") : undefined,
    entity_id: entity,
  };
}

async function logs(
  session: Session,
  id: string,
  options: { follow?: boolean; limit?: string },
): Promise<void> {
  const { terminal, client } = session;
  const task = await find(session, id);
  if (options.follow) {
    await followLog(client, task, (line) => terminal.out(`${line}\n`), terminal, terminal.signal);
    return;
  }
  const body = await client.get(task.logPath, { limit: options.limit });
  if (session.format !== "table") {
    printObject(terminal, session.format, body);
    return;
  }
  const entries =
    isObject(body) && Array.isArray(body.entries) ? body.entries.filter(isObject) : [];
  for (const entry of entries) terminal.out(`${formatEntry(entry)}\n`);
}

/** Finds a task by id alone: the API wants its database or host as well. */
async function find(session: Session, id: string): Promise<TaskReference> {
  const body = await session.client.get("/v1/tasks");
  const tasks = isObject(body) && Array.isArray(body.tasks) ? body.tasks.filter(isObject) : [];
  const task = tasks.find((candidate) => candidate.task_id === id);
  if (!task) throw new CliError(exitCodes.notFound, `there is no task ${id}`);
  return referenceOf(task);
}
