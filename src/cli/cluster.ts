// pgherd cluster … and pgherd host …: the cluster and its machines.
import type { Command } from "commander";
import { isObject } from "./client.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { openSession } from "./session.ts";
import type { Terminal } from "./terminal.ts";

const hostColumns: readonly Column[] = [
  { title: "ID", cell: (row) => row.id },
  { title: "STATE", cell: (row) => (isObject(row.status) ? row.status.state : undefined) },
  { title: "ORCHESTRATOR", cell: (row) => row.orchestrator },
  {
    title: "ADDRESS",
    cell: (row) => (Array.isArray(row.client_addresses) ? row.client_addresses[0] : undefined),
  },
  { title: "CPUS", cell: (row) => row.cpus },
  { title: "MEMORY", cell: (row) => row.memory },
  { title: "POSTGRESQL", cell: versions },
];

/** Adds `cluster` and its verbs. */
export function addClusterCommands(program: Command, terminal: Terminal): void {
  const cluster = program.command("cluster").description("the cluster");
  cluster
    .command("init")
    .description("make this server the first member of a new cluster")
    .option("--cluster-id <id>", "name of the cluster; random when absent")
    .action(async (options: { clusterId?: string }, command: Command) => {
      const session = await openSession(terminal, command);
      const query = options.clusterId ? { cluster_id: options.clusterId } : {};
      printObject(
        terminal,
        session.format,
        await session.client.request("POST", "/v1/cluster/init", { query }),
      );
    });
  cluster
    .command("get")
    .alias("show")
    .description("the cluster and its hosts")
    .action(async (_options, command: Command) => {
      const session = await openSession(terminal, command);
      printObject(terminal, session.format, await session.client.get("/v1/cluster"));
    });
}

/** Adds `host` and its verbs. */
export function addHostCommands(program: Command, terminal: Terminal): void {
  const host = program.command("host").alias("hosts").description("hosts");
  host
    .command("list")
    .alias("ls")
    .description("all hosts")
    .action(async (_options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get("/v1/hosts");
      const rows = isObject(body) && Array.isArray(body.hosts) ? body.hosts : [];
      printRows(terminal, session.format, body, rows, hostColumns);
    });
  host
    .command("get")
    .alias("show")
    .argument("<id>")
    .description("one host")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      printObject(
        terminal,
        session.format,
        await session.client.get(`/v1/hosts/${encodeURIComponent(id)}`),
      );
    });
}

function versions(row: Record<string, unknown>): string {
  const supported = Array.isArray(row.supported_pgedge_versions)
    ? row.supported_pgedge_versions.filter(isObject)
    : [];
  return supported.map((version) => String(version.postgres_version)).join(",");
}
