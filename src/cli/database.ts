// pgherd db …: databases.
import type { Command } from "commander";
import { parse } from "yaml";
import { isObject } from "./client.ts";
import { connectionUrl } from "./connection-url.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { confirm, finishTask, openSession, type Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

const columns: readonly Column[] = [
  { title: "NAME", cell: (row) => row.id },
  { title: "STATE", cell: (row) => row.state },
  { title: "INSTANCES", cell: (row) => instanceSummary(row) },
  { title: "CREATED", cell: (row) => row.created_at },
];

/** Adds `db` and its verbs. */
export function addDatabaseCommands(program: Command, terminal: Terminal): void {
  const db = program.command("db").alias("database").alias("databases").description("databases");
  db.command("create")
    .description("create a database from a file of {id, spec}")
    .requiredOption("-f, --file <path>", "YAML or JSON; - reads standard input")
    .option("--dry-run", "show the plan and change nothing")
    .option("--idempotency-key <key>", "a repeated request with the same key creates nothing twice")
    .action(async (options: FileOptions, command: Command) => {
      const session = await openSession(terminal, command);
      await create(session, await readRequest(terminal, options.file), options);
    });
  db.command("apply")
    .description("create the database or change it to what the file says")
    .requiredOption("-f, --file <path>", "YAML or JSON; - reads standard input")
    .option("--dry-run", "show the plan and change nothing")
    .option("--force-update", "touch everything, changed or not")
    .action(async (options: FileOptions, command: Command) => {
      await apply(
        await openSession(terminal, command),
        await readRequest(terminal, options.file),
        options,
      );
    });
  db.command("list")
    .alias("ls")
    .description("all databases")
    .action(async (_options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get("/v1/databases");
      const rows = isObject(body) && Array.isArray(body.databases) ? body.databases : [];
      printRows(terminal, session.format, body, rows, columns);
    });
  db.command("get")
    .alias("show")
    .argument("<name>")
    .description("one database")
    .action(async (name: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      printObject(terminal, session.format, await session.client.get(databasePath(name)));
    });
  db.command("delete")
    .alias("rm")
    .argument("<name>")
    .description("delete a database and its data")
    .option("--force", "also when it is not in a modifiable state")
    .option("--dry-run", "show the plan and change nothing")
    .action(
      async (name: string, options: { force?: boolean; dryRun?: boolean }, command: Command) => {
        const session = await openSession(terminal, command);
        const query = {
          force: options.force ? "true" : undefined,
          dry_run: options.dryRun ? "true" : undefined,
        };
        if (!options.dryRun)
          await confirm(session, `This deletes database ${name} with all its data`, name);
        await finish(
          session,
          await session.client.request("DELETE", databasePath(name), { query }),
          options,
        );
      },
    );
  addConnectCommands(db, terminal);
}

function addConnectCommands(db: Command, terminal: Terminal): void {
  db.command("url")
    .argument("<name>")
    .description("connection string")
    .option("-u, --user <name>", "role to connect as; the owner when absent")
    .option("-n, --node <name>", "only this node")
    .action(async (name: string, options: ConnectOptions, command: Command) => {
      const session = await openSession(terminal, command);
      terminal.out(`${connectionUrl(await session.client.get(databasePath(name)), options)}\n`);
    });
  db.command("psql")
    .argument("<name>")
    .argument("[arguments...]", "arguments of psql, after --")
    .description("open psql; the password comes from PGPASSWORD, the password file or a prompt")
    .option("-u, --user <name>", "role to connect as; the owner when absent")
    .option("-n, --node <name>", "only this node")
    .action(async (name: string, rest: string[], options: ConnectOptions, command: Command) => {
      const session = await openSession(terminal, command);
      const url = connectionUrl(await session.client.get(databasePath(name)), options);
      const status = await terminal.exec(["psql", url, ...rest], {});
      if (status !== 0)
        throw new CliError(exitCodes.failure, `psql ended with exit status ${status}`);
    });
}

interface FileOptions {
  readonly file: string;
  readonly dryRun?: boolean;
  readonly forceUpdate?: boolean;
  readonly idempotencyKey?: string;
}

interface ConnectOptions {
  readonly user?: string;
  readonly node?: string;
}

async function create(
  session: Session,
  request: Record<string, unknown>,
  options: FileOptions,
): Promise<void> {
  const answer = await session.client.request("POST", "/v1/databases", {
    body: request,
    query: { dry_run: options.dryRun ? "true" : undefined },
    headers: options.idempotencyKey ? { "idempotency-key": options.idempotencyKey } : {},
  });
  await finish(session, answer, options);
}

async function apply(
  session: Session,
  request: Record<string, unknown>,
  options: FileOptions,
): Promise<void> {
  const { id, ...update } = request;
  if (typeof id !== "string")
    throw new CliError(
      exitCodes.usage,
      "the file needs an id: apply must know which database it means",
    );
  if (!(await exists(session, id))) {
    await create(session, request, options);
    return;
  }
  const answer = await session.client.request("POST", databasePath(id), {
    body: update,
    query: {
      dry_run: options.dryRun ? "true" : undefined,
      force_update: options.forceUpdate ? "true" : undefined,
    },
  });
  await finish(session, answer, options);
}

async function exists(session: Session, id: string): Promise<boolean> {
  try {
    await session.client.get(databasePath(id));
    return true;
  } catch (thrown) {
    if (thrown instanceof CliError && thrown.exitCode === exitCodes.notFound) return false;
    throw thrown;
  }
}

async function finish(
  session: Session,
  answer: unknown,
  options: { readonly dryRun?: boolean },
): Promise<void> {
  if (!options.dryRun) {
    await finishTask(session, answer);
  } else if (session.format === "table" && isObject(answer) && typeof answer.text === "string") {
    session.terminal.out(answer.text.endsWith("\n") ? answer.text : `${answer.text}\n`);
  } else {
    printObject(session.terminal, session.format, answer);
  }
}

async function readRequest(terminal: Terminal, path: string): Promise<Record<string, unknown>> {
  // JSON is YAML; the core schema keeps words such as `on` as texts.
  const value: unknown = parse(await terminal.readText(path));
  if (!isObject(value))
    throw new CliError(exitCodes.usage, `${path}: expected an object with id and spec`);
  return value;
}

function databasePath(name: string): string {
  return `/v1/databases/${encodeURIComponent(name)}`;
}

function instanceSummary(row: Record<string, unknown>): string {
  const instances = Array.isArray(row.instances) ? row.instances.filter(isObject) : [];
  return instances
    .map(
      (instance) =>
        `${String(instance.node_name)}@${String(instance.host_id)}:${String(instance.state)}`,
    )
    .join(" ");
}
