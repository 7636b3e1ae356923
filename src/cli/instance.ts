// pgherd instance …: single PostgreSQL instances.
import type { Command } from "commander";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { addHostVerbs } from "./instance-hosts.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { confirm, finishTask, openSession, type Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

const columns: readonly Column[] = [
  { title: "ID", cell: (row) => row.id },
  { title: "DATABASE", cell: (row) => row.database },
  { title: "NODE", cell: (row) => row.node_name },
  { title: "HOST", cell: (row) => row.host_id },
  { title: "STATE", cell: (row) => row.state },
  { title: "ROLE", cell: (row) => (isObject(row.postgres) ? row.postgres.role : undefined) },
  { title: "VERSION", cell: (row) => (isObject(row.postgres) ? row.postgres.version : undefined) },
  { title: "ADDRESS", cell: address },
];

const verbs = [
  { name: "start", path: "start-instance", description: "start a stopped instance", force: true },
  {
    name: "stop",
    path: "stop-instance",
    description: "stop an instance; it stays stopped",
    force: true,
  },
  {
    name: "restart",
    path: "restart",
    description: "restart PostgreSQL of an instance",
    force: false,
  },
] as const;

/** Adds `instance` and its verbs. */
export function addInstanceCommands(program: Command, terminal: Terminal): void {
  const instance = program.command("instance").alias("instances").description("instances");
  instance
    .command("list")
    .alias("ls")
    .argument("[database]", "only of this database")
    .description("all instances")
    .action(async (database: string | undefined, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const rows = (await allInstances(session)).filter(
        (row) => !database || row.database === database,
      );
      printRows(terminal, session.format, rows, rows, columns);
    });
  instance
    .command("get")
    .alias("show")
    .argument("<id>")
    .description("one instance")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      printObject(terminal, session.format, await find(session, id));
    });
  addHostVerbs(instance, terminal);
  addAskedVerbs(instance, terminal);
  for (const verb of verbs) {
    const added = instance.command(verb.name).argument("<id>").description(verb.description);
    if (verb.force) added.option("--force", "also when the database is not in a modifiable state");
    else added.option("--at <time>", "RFC 3339 time to restart at");
    added.action(
      async (id: string, options: { force?: boolean; at?: string }, command: Command) => {
        const session = await openSession(terminal, command);
        const path = `${await pathOf(session, id)}/${verb.path}`;
        const answer = await session.client.request("POST", path, {
          query: { force: options.force ? "true" : undefined },
          ...(verb.force ? {} : { body: options.at ? { scheduled_at: options.at } : {} }),
        });
        await finishTask(session, answer);
      },
    );
  }
}

/** What PostgreSQL of an instance is asked to do. */
const asked = [
  { name: "promote", description: "make a standby the primary, by a switchover" },
  { name: "reload", description: "let PostgreSQL read its configuration again" },
  { name: "checkpoint", description: "make a checkpoint" },
] as const;

function addAskedVerbs(instance: Command, terminal: Terminal): void {
  for (const { name, description } of asked) {
    instance
      .command(name)
      .argument("<id>")
      .description(description)
      .action(async (id: string, _options, command: Command) => {
        const session = await openSession(terminal, command);
        const path = await pathOf(session, id);
        await finishTask(session, await session.client.request("POST", `${path}/${name}`));
      });
  }
  instance
    .command("rewind")
    .argument("<id>")
    .description("turn the data of a standby back to the history of its primary")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const path = await pathOf(session, id);
      await confirm(session, `This restarts ${id} and sets aside what only it has`, id);
      await finishTask(session, await session.client.request("POST", `${path}/rewind`));
    });
  instance
    .command("reinit")
    .argument("<id>")
    .description("copy the data of a standby anew")
    .option("--from <instance>", "instance to copy; the keepers choose when absent")
    .action(async (id: string, options: { from?: string }, command: Command) => {
      const session = await openSession(terminal, command);
      const path = await pathOf(session, id);
      await confirm(session, `This replaces the data of ${id}`, id);
      const body = options.from ? { from: options.from } : {};
      const answer = await session.client.request("POST", `${path}/reinitialize`, { body });
      await finishTask(session, answer);
    });
}

async function pathOf(session: Session, id: string): Promise<string> {
  const { database } = await find(session, id);
  return `/v1/databases/${encodeURIComponent(String(database))}/instances/${encodeURIComponent(id)}`;
}

async function allInstances(session: Session): Promise<Record<string, unknown>[]> {
  const body = await session.client.get("/v1/databases");
  const databases =
    isObject(body) && Array.isArray(body.databases) ? body.databases.filter(isObject) : [];
  return databases.flatMap((database) =>
    (Array.isArray(database.instances) ? database.instances.filter(isObject) : []).map(
      (instance) => ({
        ...instance,
        database: database.id,
      }),
    ),
  );
}

async function find(session: Session, id: string): Promise<Record<string, unknown>> {
  const instance = (await allInstances(session)).find((row) => row.id === id);
  if (!instance) throw new CliError(exitCodes.notFound, `there is no instance ${id}`);
  return instance;
}

function address(row: Record<string, unknown>): string | undefined {
  const info = row.connection_info;
  if (!isObject(info) || !Array.isArray(info.addresses)) return undefined;
  return `${String(info.addresses[0])}:${String(info.port)}`;
}
