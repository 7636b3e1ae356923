// pgherd topology … and pgherd replication …: who follows whom, how closely, and how commits wait for it.
import type { Command } from "commander";
import { parse } from "yaml";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { databasePath, nodePath } from "./node.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { confirm, finishTask, openSession, type Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

export const memberColumns: readonly Column[] = [
  { title: "NODE", cell: (row) => row.node },
  { title: "INSTANCE", cell: (row) => row.instance_id },
  { title: "HOST", cell: (row) => row.host_id },
  { title: "ROLE", cell: (row) => row.role },
  { title: "STATE", cell: (row) => row.replication_state ?? row.state },
  { title: "SYNC", cell: (row) => row.sync_state },
  { title: "TIMELINE", cell: (row) => row.timeline },
  { title: "LSN", cell: (row) => row.lsn },
  { title: "LAG", cell: (row) => row.lag_bytes },
  { title: "FOLLOWS", cell: (row) => (isObject(row.upstream) ? row.upstream.instance_id : "") },
  { title: "NOTE", cell: (row) => row.unfit },
];

/** Adds `topology` and `replication` and their verbs. */
export function addTopologyCommands(program: Command, terminal: Terminal): void {
  const topology = program.command("topology").description("primaries and standbys of a database");
  topology
    .command("get")
    .alias("show")
    .argument("<database>")
    .description("who is primary, and how closely the others follow")
    .action(async (database: string, _options, command: Command) => {
      await showMembers(await openSession(terminal, command), database);
    });
  topology
    .command("set")
    .argument("<database>")
    .description("change who follows whom and how commits wait, by a file of {nodes}")
    .requiredOption("-f, --file <path>", "YAML or JSON; - reads standard input")
    .option("--revision <number>", "only if it is still at this revision")
    .option("--dry-run", "show the plan and change nothing")
    .action(async (database: string, options: SetOptions, command: Command) => {
      const session = await openSession(terminal, command);
      const body: unknown = parse(await terminal.readText(options.file ?? "-"));
      if (!isObject(body)) {
        throw new CliError(exitCodes.usage, `${options.file}: expected an object with nodes`);
      }
      await change(session, "PUT", `${databasePath(database)}/topology`, body, options);
    });
  addReplicationCommands(program, terminal);
}

function addReplicationCommands(program: Command, terminal: Terminal): void {
  const replication = program
    .command("replication")
    .description("how standbys follow, and how commits wait for them");
  addSlotCommands(replication, terminal);
  replication
    .command("status")
    .argument("<database>")
    .description("standbys with their lag")
    .action(async (database: string, _options, command: Command) => {
      await showMembers(await openSession(terminal, command), database);
    });
  replication
    .command("set")
    .argument("<database>")
    .argument("<node>")
    .description("change how commits of a node wait for its standbys")
    .option("--mode <mode>", "off, on, quorum or auto")
    .option("--count <number>", "standbys that must have a commit")
    .option("--selection <selection>", "first or any of the standbys")
    .option("--strict", "let writes wait rather than go on without a standby")
    .option("--no-strict", "go on without a standby")
    .option("--degrade-after <seconds>", "how long a standby may be away before that")
    .option("--max-lag <bytes>", "how far behind a standby may be to be promoted by itself")
    .option("--revision <number>", "only if it is still at this revision")
    .option("--dry-run", "show the plan and change nothing")
    .action(async (database: string, node: string, options: ModeOptions, command: Command) => {
      const session = await openSession(terminal, command);
      nodePath(database, node);
      const body = { nodes: [{ name: node, ...wishes(options) }] };
      await change(session, "PUT", `${databasePath(database)}/topology`, body, options);
    });
}

const slotColumns: readonly Column[] = [
  { title: "INSTANCE", cell: (row) => row.instance_id },
  { title: "ROLE", cell: (row) => row.role },
  { title: "SLOT", cell: (row) => row.name },
  { title: "TYPE", cell: (row) => row.type },
  { title: "OF", cell: (row) => row.member ?? row.owner },
  { title: "DATABASE", cell: (row) => row.database },
  { title: "PLUGIN", cell: (row) => row.plugin },
  { title: "RETAINED", cell: (row) => row.retained_bytes },
  { title: "LOG", cell: (row) => row.wal_status },
  { title: "COPY", cell: (row) => (row.synced === true ? "yes" : "") },
  { title: "USED BY", cell: (row) => row.used_by },
];

interface SlotOptions extends SetOptions {
  readonly logical?: boolean;
  readonly plugin?: string;
  readonly in?: string;
}

function addSlotCommands(replication: Command, terminal: Terminal): void {
  const slots = replication.command("slots").description("replication slots of a node");
  slots
    .command("list")
    .alias("ls")
    .argument("<database>")
    .argument("<node>")
    .description("slots of all instances, whose they are, and what they keep")
    .action(async (database: string, node: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get(`${nodePath(database, node)}/slots`);
      const instances = isObject(body) && Array.isArray(body.instances) ? body.instances : [];
      const rows = instances.filter(isObject).flatMap(({ slots: ofInstance, ...instance }) => {
        const own = Array.isArray(ofInstance) ? ofInstance.filter(isObject) : [];
        return own.map((slot) => ({ ...instance, ...slot }));
      });
      printRows(terminal, session.format, body, rows, slotColumns);
    });
  slots
    .command("create")
    .argument("<database>")
    .argument("<node>")
    .argument("<slot>")
    .description("keep a slot on a node, whoever is primary; a physical one by default")
    .option("--logical", "a logical slot")
    .option("--plugin <name>", "output plugin of a logical slot; pgoutput when absent")
    .option("--in <name>", "database of a logical slot; the application's when absent")
    .option("--revision <number>", "only if it is still at this revision")
    .option("--dry-run", "show the plan and change nothing")
    .action(
      async (
        database: string,
        node: string,
        name: string,
        options: SlotOptions,
        command: Command,
      ) => {
        const session = await openSession(terminal, command);
        const body = {
          name,
          type: options.logical ? "logical" : "physical",
          ...(options.plugin === undefined ? {} : { plugin: options.plugin }),
          ...(options.in === undefined ? {} : { database: options.in }),
        };
        await change(session, "POST", `${nodePath(database, node)}/slots`, body, options);
      },
    );
  slots
    .command("drop")
    .argument("<database>")
    .argument("<node>")
    .argument("<slot>")
    .description("drop a slot that the node keeps; its consumer would have to begin anew")
    .option("--revision <number>", "only if it is still at this revision")
    .option("--dry-run", "show the plan and change nothing")
    .action(
      async (
        database: string,
        node: string,
        name: string,
        options: SetOptions,
        command: Command,
      ) => {
        const session = await openSession(terminal, command);
        if (!options.dryRun) await confirm(session, `This drops slot ${name}`, name);
        const path = `${nodePath(database, node)}/slots/${encodeURIComponent(name)}`;
        await change(session, "DELETE", path, undefined, options);
      },
    );
}

interface SetOptions {
  readonly file?: string;
  readonly revision?: string;
  readonly dryRun?: boolean;
}

interface ModeOptions extends SetOptions {
  readonly mode?: string;
  readonly count?: string;
  readonly selection?: string;
  readonly strict?: boolean;
  readonly degradeAfter?: string;
  readonly maxLag?: string;
}

function wishes(options: ModeOptions): Record<string, unknown> {
  const synchronous = {
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.count === undefined ? {} : { count: whole(options.count) }),
    ...(options.selection === undefined ? {} : { selection: options.selection }),
    ...(options.strict === undefined ? {} : { strict: options.strict }),
    ...(options.degradeAfter === undefined ? {} : { degrade_after: whole(options.degradeAfter) }),
  };
  const wished = {
    ...(Object.keys(synchronous).length === 0 ? {} : { synchronous }),
    ...(options.maxLag === undefined ? {} : { maximum_lag_on_failover: whole(options.maxLag) }),
  };
  if (Object.keys(wished).length > 0) return wished;
  throw new CliError(exitCodes.usage, "nothing to change: name at least one option");
}

function whole(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new CliError(exitCodes.usage, `not a whole number: ${text}`);
}

async function change(
  session: Session,
  method: string,
  path: string,
  body: unknown,
  options: SetOptions,
): Promise<void> {
  const answer = await session.client.request(method, path, {
    ...(body === undefined ? {} : { body }),
    query: { dry_run: options.dryRun ? "true" : undefined },
    headers: options.revision ? { "if-match": `"${options.revision}"` } : {},
  });
  if (!options.dryRun) await finishTask(session, answer);
  else if (session.format === "table" && isObject(answer)) {
    session.terminal.out(String(answer.text));
  } else printObject(session.terminal, session.format, answer);
}

async function showMembers(session: Session, database: string): Promise<void> {
  const topology = await session.client.get(`${databasePath(database)}/topology`);
  printRows(session.terminal, session.format, topology, membersOf(topology), memberColumns);
}

/** The instances of all nodes of a topology, each with its node's name. */
export function membersOf(topology: unknown): readonly Record<string, unknown>[] {
  const nodes = isObject(topology) && Array.isArray(topology.nodes) ? topology.nodes : [];
  return nodes.filter(isObject).flatMap((node) => {
    const instances = Array.isArray(node.instances) ? node.instances.filter(isObject) : [];
    return instances.map((instance) => ({ node: node.name, ...instance }));
  });
}
