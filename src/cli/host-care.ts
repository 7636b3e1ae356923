// pgherd host maintenance, label, addresses, replace, tasks: what an operator does to hosts that are in the cluster.
import type { Command } from "commander";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { printObject, printRows } from "./output.ts";
import { confirm, finishTask, openSession } from "./session.ts";
import { taskColumns } from "./task.ts";
import type { Terminal } from "./terminal.ts";

/** Adds the verbs to `host`. */
export function addHostCareCommands(host: Command, terminal: Terminal): void {
  addMaintenance(host, terminal);
  addSettings(host, terminal);
  host
    .command("replace")
    .argument("<id>", "the host that is gone")
    .argument("<replacement>", "a host of the cluster that takes its place")
    .option("--force", "also while the host answers; what runs there is given up")
    .description("put another host in the place of one that is gone")
    .action(
      async (id: string, replacement: string, options: { force?: boolean }, command: Command) => {
        const session = await openSession(terminal, command);
        await confirm(
          session,
          `Gives up what is on host ${id} and puts ${replacement} in its place`,
          id,
        );
        const body = { replacement, ...(options.force ? { force: true } : {}) };
        const answer = await session.client.request("POST", `${pathOf(id)}/replace`, { body });
        const lost =
          isObject(answer) && Array.isArray(answer.lost) ? answer.lost.filter(isObject) : [];
        for (const { database_id, message } of lost) terminal.err(`${database_id}: ${message}\n`);
        await finishTask(session, answer);
      },
    );
  host
    .command("tasks")
    .argument("<id>")
    .description("tasks of a host, newest first")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await session.client.get(`${pathOf(id)}/tasks`);
      const rows = isObject(body) && Array.isArray(body.tasks) ? body.tasks : [];
      printRows(terminal, session.format, body, rows, taskColumns);
    });
}

function addMaintenance(host: Command, terminal: Terminal): void {
  const maintenance = host.command("maintenance").description("whether a host gets new instances");
  maintenance
    .command("on")
    .argument("<id>")
    .option("--reason <text>", "shown to who asks for a database there")
    .option("--drain", "also have everything leave the host")
    .description("give a host no new instances")
    .action(async (id: string, options: { reason?: string; drain?: boolean }, command: Command) => {
      const session = await openSession(terminal, command);
      const path = `${pathOf(id)}/maintenance`;
      const answer = await session.client.request("PUT", path, { body: options });
      printObject(terminal, session.format, answer);
    });
  maintenance
    .command("off")
    .argument("<id>")
    .description("take a host back into service")
    .action(async (id: string, _options, command: Command) => {
      const session = await openSession(terminal, command);
      const answer = await session.client.request("DELETE", `${pathOf(id)}/maintenance`);
      printObject(terminal, session.format, answer);
    });
}

function addSettings(host: Command, terminal: Terminal): void {
  host
    .command("label")
    .argument("<id>")
    .argument("<label...>", "`key=value` sets one, `key-` takes it away")
    .description("change the labels of a host")
    .action(async (id: string, words: string[], _options, command: Command) => {
      const session = await openSession(terminal, command);
      const labels = Object.fromEntries(words.map(parseLabel));
      const answer = await session.client.request("PATCH", pathOf(id), { body: { labels } });
      printObject(terminal, session.format, answer);
    });
  host
    .command("addresses")
    .argument("<id>")
    .argument("[address...]", "none: those of the host's own configuration")
    .description("say where clients reach a host")
    .action(async (id: string, addresses: string[], _options, command: Command) => {
      const session = await openSession(terminal, command);
      const body = { client_addresses: addresses.length > 0 ? addresses : null };
      printObject(
        terminal,
        session.format,
        await session.client.request("PATCH", pathOf(id), { body }),
      );
    });
}

function parseLabel(word: string): [string, string | null] {
  const at = word.indexOf("=");
  if (at > 0) return [word.slice(0, at), word.slice(at + 1)];
  if (at < 0 && word.endsWith("-") && word.length > 1) return [word.slice(0, -1), null];
  throw new CliError(exitCodes.usage, `${word}: write key=value, or key- to take a label away`);
}

function pathOf(id: string): string {
  return `/v1/hosts/${encodeURIComponent(id)}`;
}
