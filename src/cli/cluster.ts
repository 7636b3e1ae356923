// pgherd cluster … and pgherd host …: the cluster and its machines.
import type { Command } from "commander";
import { isObject } from "./client.ts";
import { addHostAddCommands } from "./host-add.ts";
import { addHostCareCommands } from "./host-care.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { confirm, finishTask, openSession, parseDuration } from "./session.ts";
import type { Terminal } from "./terminal.ts";

const hostColumns: readonly Column[] = [
  { title: "ID", cell: (row) => row.id },
  { title: "STATE", cell: hostState },
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
  addMembershipCommands(cluster, terminal);
  addMaintenanceCommands(cluster, terminal);
}

function addMembershipCommands(cluster: Command, terminal: Terminal): void {
  cluster
    .command("join")
    .argument("<token>", "as `cluster join-token` on a member prints it")
    .argument("<url...>", "base URLs of members")
    .description("make this server a member of a cluster")
    .action(async (token: string, urls: string[], _options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = { token, server_urls: urls };
      await session.client.request("POST", "/v1/cluster/join", { body });
      terminal.err("joined\n");
    });
  const token = cluster
    .command("join-token")
    .description("the token that lets any host in; further ones with a role and an end")
    .action(async (_options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get("/v1/cluster/join-token");
      printObject(terminal, session.format, body);
    });
  token
    .command("list")
    .alias("ls")
    .description("all tokens, without their texts")
    .action(async (_options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get("/v1/cluster/join-tokens");
      const rows = isObject(body) && Array.isArray(body.tokens) ? body.tokens : [];
      printRows(terminal, session.format, body, rows, tokenColumns);
    });
  token
    .command("create")
    .description("make another token")
    .option("--non-voter", "lets in hosts without a vote only")
    .option("--expires-in <duration>", "for example 30m or 24h")
    .action(async (options: { nonVoter?: boolean; expiresIn?: string }, command: Command) => {
      const session = await openSession(terminal, command);
      const { nonVoter, expiresIn } = options;
      const body = {
        role: nonVoter ? "non_voter" : "voter",
        ...(expiresIn ? { expires_in_seconds: Math.ceil(parseDuration(expiresIn) / 1_000) } : {}),
      };
      const made = await session.client.request("POST", "/v1/cluster/join-tokens", { body });
      printObject(terminal, session.format, made);
    });
  token
    .command("revoke")
    .argument("<id>")
    .description("let nobody in with it any more")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const path = `/v1/cluster/join-tokens/${encodeURIComponent(id)}`;
      printObject(terminal, session.format, await session.client.request("DELETE", path));
    });
}

function addMaintenanceCommands(cluster: Command, terminal: Terminal): void {
  cluster
    .command("recover-quorum")
    .description("go on with this host alone when the other members are lost")
    .action(async (_options, command: Command) => {
      const session = await openSession(terminal, command);
      await confirm(
        session,
        "Members that are not this host lose their part of the store",
        "recover",
      );
      const path = "/v1/cluster/recover-quorum";
      printObject(terminal, session.format, await session.client.request("POST", path));
    });
  cluster
    .command("rotate-certs")
    .description("have every host replace its certificate")
    .action(async (_options, command: Command) => {
      const session = await openSession(terminal, command);
      const answer = await session.client.request("POST", "/v1/cluster/rotate-certs");
      printObject(terminal, session.format, answer);
    });
  cluster
    .command("backup")
    .argument("<file>")
    .description("write the store to a file; secrets in it are sealed with the cluster key")
    .action(async (file: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      await terminal.writeBytes(file, await session.client.bytes("/v1/cluster/backup"));
      terminal.err(`wrote ${file}\n`);
    });
  cluster
    .command("restore")
    .argument("<file>")
    .description("replace the store's content by a backup; members stay as they are")
    .action(async (file: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      await confirm(session, "What was changed since the backup is lost", "restore");
      const raw = await terminal.readBytes(file);
      await session.client.request("POST", "/v1/cluster/restore", { raw });
      terminal.err("restored\n");
    });
}

const tokenColumns: readonly Column[] = [
  { title: "ID", cell: (row) => row.id },
  { title: "ROLE", cell: (row) => row.role },
  { title: "STATE", cell: (row) => row.state },
  { title: "CREATED", cell: (row) => row.created_at },
  { title: "EXPIRES", cell: (row) => row.expires_at },
];

/** Adds `host` and its verbs. */
export function addHostCommands(program: Command, terminal: Terminal): void {
  const host = program.command("host").alias("hosts").description("hosts");
  host
    .command("list")
    .alias("ls")
    .description("all hosts")
    .option("-l, --label <selector>", "only with these labels: key, !key, key=value or key!=value")
    .action(async ({ label }: { label?: string }, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get("/v1/hosts", { label });
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
  host
    .command("remove")
    .alias("rm")
    .argument("<id>")
    .option("--force", "also with instances on it, which are given up")
    .description("remove a host from the cluster")
    .action(async (id: string, options: { force?: boolean }, command: Command) => {
      const session = await openSession(terminal, command);
      await confirm(session, `Removes host ${id} from the cluster`, id);
      const query = options.force ? { force: "true" } : {};
      const path = `/v1/hosts/${encodeURIComponent(id)}`;
      await finishTask(session, await session.client.request("DELETE", path, { query }));
    });
  addHostAddCommands(host, terminal);
  addHostCareCommands(host, terminal);
}

function hostState({ status, maintenance }: Record<string, unknown>): unknown {
  const state = isObject(status) ? status.state : undefined;
  return isObject(maintenance) ? `${String(state)},maintenance` : state;
}

function versions(row: Record<string, unknown>): string {
  const supported = Array.isArray(row.supported_pgedge_versions)
    ? row.supported_pgedge_versions.filter(isObject)
    : [];
  return supported.map((version) => String(version.postgres_version)).join(",");
}
