// pgherd instance add and remove: another host in, or out of, the host_ids of a node. The rest of the spec stays.
import type { Command } from "commander";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { databasePath } from "./node.ts";
import { printObject } from "./output.ts";
import { confirm, finishTask, openSession, type Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

/** Adds the two verbs to `instance`. */
export function addHostVerbs(instance: Command, terminal: Terminal): void {
  instance
    .command("add")
    .argument("<database>")
    .argument("<node>")
    .requiredOption("--host <id>", "host of the new standby")
    .option("--dry-run", "show the plan and change nothing")
    .description("add a standby to a node")
    .action(async (database: string, node: string, options: HostOptions, command: Command) => {
      const session = await openSession(terminal, command);
      await change(session, database, options, (name, hosts) => {
        if (name !== node) return hosts;
        if (!hosts.includes(options.host)) return [...hosts, options.host];
        throw new CliError(exitCodes.conflict, `${node} has an instance on ${options.host}`);
      });
    });
  instance
    .command("remove")
    .alias("rm")
    .argument("<database>")
    .argument("<node>")
    .requiredOption("--host <id>", "host of the instance")
    .option("--dry-run", "show the plan and change nothing")
    .description("remove an instance and its data; a primary makes way first")
    .action(async (database: string, node: string, options: HostOptions, command: Command) => {
      const session = await openSession(terminal, command);
      if (!options.dryRun) {
        await confirm(session, `This removes the data of ${node} from ${options.host}`, node);
      }
      await change(session, database, options, (name, hosts) => {
        if (name !== node) return hosts;
        const left = hosts.filter((id) => id !== options.host);
        if (left.length < hosts.length && left.length > 0) return left;
        throw new CliError(
          left.length === 0 ? exitCodes.conflict : exitCodes.notFound,
          left.length === 0
            ? `${options.host} is the only host of ${node}`
            : `${node} has no instance on ${options.host}`,
        );
      });
    });
}

interface HostOptions {
  readonly host: string;
  readonly dryRun?: boolean;
}

async function change(
  session: Session,
  database: string,
  { dryRun }: HostOptions,
  hostsOf: (node: string, hosts: readonly string[]) => readonly string[],
): Promise<void> {
  const body = await session.client.get(databasePath(database));
  const spec = isObject(body) && isObject(body.spec) ? body.spec : {};
  const nodes = Array.isArray(spec.nodes) ? spec.nodes.filter(isObject) : [];
  let isKnown = false;
  const changed = nodes.map((node) => {
    const hosts = Array.isArray(node.host_ids) ? node.host_ids.map(String) : [];
    const next = hostsOf(String(node.name), hosts);
    if (next !== hosts) isKnown = true;
    return { ...node, host_ids: next };
  });
  if (!isKnown) throw new CliError(exitCodes.notFound, `database ${database} has no such node`);
  const tenant = isObject(body) && typeof body.tenant_id === "string" ? body.tenant_id : undefined;
  const answer = await session.client.request("POST", databasePath(database), {
    body: { ...(tenant ? { tenant_id: tenant } : {}), spec: { ...spec, nodes: changed } },
    query: { dry_run: dryRun ? "true" : undefined },
  });
  if (!dryRun) await finishTask(session, answer);
  else if (session.format === "table" && isObject(answer)) {
    session.terminal.out(String(answer.text));
  } else printObject(session.terminal, session.format, answer);
}
