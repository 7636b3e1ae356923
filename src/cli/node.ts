// pgherd node …: nodes of databases and who is primary of them.
import type { Command } from "commander";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { confirm, finishTask, openSession, parseDuration } from "./session.ts";
import type { Terminal } from "./terminal.ts";

const nodeColumns: readonly Column[] = [
  { title: "DATABASE", cell: (row) => row.database },
  { title: "NODE", cell: (row) => row.name },
  { title: "STATE", cell: (row) => row.state },
  { title: "PRIMARY", cell: (row) => row.primary_instance_id },
  { title: "EPOCH", cell: (row) => row.epoch },
  { title: "TIMELINE", cell: (row) => row.timeline },
  { title: "INSTANCES", cell: (row) => (Array.isArray(row.instances) ? row.instances.length : 0) },
  { title: "PAUSED UNTIL", cell: (row) => row.paused_until },
];

const historyColumns: readonly Column[] = [
  { title: "EPOCH", cell: (row) => row.epoch },
  { title: "PRIMARY", cell: (row) => row.instance_id },
  { title: "HOST", cell: (row) => row.host_id },
  { title: "TIMELINE", cell: (row) => row.timeline },
  { title: "SINCE", cell: (row) => row.since },
  { title: "UNTIL", cell: (row) => row.until },
  { title: "REASON", cell: (row) => row.reason },
  { title: "LOST", cell: (row) => row.lost },
];

/** Adds `node` and its verbs. */
export function addNodeCommands(program: Command, terminal: Terminal): void {
  const node = program.command("node").alias("nodes").description("nodes of databases");
  addLooks(node, terminal);
  addExplain(node, terminal);
  addHandovers(node, terminal);
  addPauses(node, terminal);
}

function addLooks(node: Command, terminal: Terminal): void {
  node
    .command("list")
    .alias("ls")
    .argument("<database>")
    .description("the nodes of a database")
    .action(async (database: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const topology = await session.client.get(`${databasePath(database)}/topology`);
      const rows = isObject(topology) && Array.isArray(topology.nodes) ? topology.nodes : [];
      const named = rows.filter(isObject).map((row) => ({ ...row, database }));
      printRows(terminal, session.format, topology, named, nodeColumns);
    });
  node
    .command("history")
    .argument("<database>")
    .argument("<node>")
    .description("who was primary when, why, and what was lost")
    .action(async (database: string, name: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get(`${nodePath(database, name)}/history`);
      const rows = isObject(body) && Array.isArray(body.entries) ? body.entries : [];
      printRows(terminal, session.format, body, rows, historyColumns);
    });
}

interface Losses {
  readonly instance?: readonly string[];
  readonly host?: readonly string[];
}

const lossColumns: readonly Column[] = [
  { title: "LOST", cell: (row) => (Array.isArray(row.lost) ? row.lost.join(", ") : "") },
  { title: "PRIMARY THEN", cell: (row) => row.primary_instance_id },
  { title: "WRITES STOP", cell: (row) => `${Number(row.writes_stop_ms) / 1_000} s` },
  { title: "LOSES", cell: (row) => row.loses },
  { title: "WHY", cell: (row) => row.sentence },
];

function addExplain(node: Command, terminal: Terminal): void {
  node
    .command("explain")
    .argument("<database>")
    .argument("<node>")
    .description(
      "what would happen now if an instance or a host died; each by itself when none is named",
    )
    .option("--instance <id...>", "instances that die")
    .option("--host <id...>", "hosts that die")
    .action(async (database: string, name: string, options: Losses, command: Command) => {
      const session = await openSession(terminal, command);
      const parameters = new URLSearchParams();
      for (const id of options.instance ?? []) parameters.append("instance_id", id);
      for (const id of options.host ?? []) parameters.append("host_id", id);
      const query = parameters.size > 0 ? `?${parameters}` : "";
      const body = await session.client.get(`${nodePath(database, name)}/explain${query}`);
      const rows = isObject(body) && Array.isArray(body.cases) ? body.cases : [];
      printRows(terminal, session.format, body, rows, lossColumns);
    });
}

function addHandovers(node: Command, terminal: Terminal): void {
  node
    .command("switchover")
    .argument("<database>")
    .argument("<node>")
    .description("make another instance the primary; nothing is lost")
    .option("--candidate <instance>", "the new primary; the best standby when absent")
    .option("--at <time>", "RFC 3339 time to do it at")
    .action(async (database: string, name: string, options: Handover, command: Command) => {
      const session = await openSession(terminal, command);
      const body = {
        ...(options.candidate ? { candidate_instance_id: options.candidate } : {}),
        ...(options.at ? { scheduled_at: options.at } : {}),
      };
      const path = `${nodePath(database, name)}/switchover`;
      await finishTask(session, await session.client.request("POST", path, { body }));
    });
  node
    .command("failover")
    .argument("<database>")
    .argument("<node>")
    .description("replace a primary that is lost")
    .option("--candidate <instance>", "the new primary; the best standby when absent")
    .option("--skip-validation", "also while the primary is healthy, whatever is lost")
    .action(async (database: string, name: string, options: Handover, command: Command) => {
      const session = await openSession(terminal, command);
      if (options.skipValidation) {
        await confirm(session, "What the new primary lacks is lost", name);
      }
      const body = {
        ...(options.candidate ? { candidate_instance_id: options.candidate } : {}),
        ...(options.skipValidation ? { skip_validation: true } : {}),
      };
      const path = `${nodePath(database, name)}/failover`;
      await finishTask(session, await session.client.request("POST", path, { body }));
    });
}

interface Handover {
  readonly candidate?: string;
  readonly at?: string;
  readonly skipValidation?: boolean;
}

function addPauses(node: Command, terminal: Terminal): void {
  node
    .command("pause")
    .argument("<database>")
    .argument("<node>")
    .description("let nothing happen by itself for a time")
    .option("--for <duration>", "how long", "1h")
    .option("--reason <text>", "shown beside it")
    .action(
      async (
        database: string,
        name: string,
        options: { for: string; reason?: string },
        command: Command,
      ) => {
        const session = await openSession(terminal, command);
        const body = {
          ttl_s: Math.round(parseDuration(options.for) / 1_000),
          ...(options.reason ? { reason: options.reason } : {}),
        };
        const path = `${nodePath(database, name)}/pause`;
        const answer = await session.client.request("POST", path, { body });
        printObject(terminal, session.format, answer);
      },
    );
  node
    .command("resume")
    .argument("<database>")
    .argument("<node>")
    .description("end a pause")
    .action(async (database: string, name: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const path = `${nodePath(database, name)}/resume`;
      printObject(terminal, session.format, await session.client.request("POST", path));
    });
}

export function databasePath(database: string): string {
  return `/v1/databases/${encodeURIComponent(database)}`;
}

export function nodePath(database: string, node: string): string {
  if (!/^n\d+$/.test(node)) throw new CliError(exitCodes.usage, `${node} is no name of a node`);
  return `${databasePath(database)}/nodes/${node}`;
}
