// pgherd top: databases, their primaries and standbys, again and again.
import type { Command } from "commander";
import { isAbort } from "../base/errors.ts";
import { isObject } from "./client.ts";
import { databasePath } from "./node.ts";
import { type Column, table } from "./output.ts";
import { openSession, parseDuration, type Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";
import { memberColumns, membersOf } from "./topology.ts";

const CLEAR = "\u001b[H\u001b[2J";

/** Adds `top`. */
export function addTopCommand(program: Command, terminal: Terminal): void {
  program
    .command("top")
    .argument("[database]", "only this one")
    .description("primaries and standbys of all databases, refreshed until interrupted")
    .option("--interval <duration>", "time between two looks", "2s")
    .option("--once", "one look")
    .action(async (database: string | undefined, options: TopOptions, command: Command) => {
      const session = await openSession(terminal, command);
      const pauseMs = parseDuration(options.interval);
      for (;;) {
        const picture = await look(session, database);
        terminal.out(terminal.outIsTty && !options.once ? `${CLEAR}${picture}` : picture);
        if (options.once) return;
        try {
          await terminal.clock.sleep(pauseMs, terminal.signal);
        } catch (thrown) {
          if (isAbort(thrown) && terminal.signal.aborted) return;
          throw thrown;
        }
      }
    });
}

interface TopOptions {
  readonly interval: string;
  readonly once?: boolean;
}

async function look({ client }: Session, database: string | undefined): Promise<string> {
  const names = database === undefined ? await allDatabases(client) : [database];
  const rows = await Promise.all(
    names.map(async (name) => {
      const topology = await client.get(`${databasePath(name)}/topology`);
      return membersOf(topology).map((member) => ({ database: name, ...member }));
    }),
  );
  const columns: readonly Column[] = [
    { title: "DATABASE", cell: (row) => row.database },
    ...memberColumns,
  ];
  return table(
    columns.map(({ title }) => title),
    rows.flat().map((row) => columns.map(({ cell }) => shown(cell(row)))),
  );
}

function shown(value: unknown): string {
  return value === undefined || value === null || value === "" ? "-" : String(value);
}

async function allDatabases(client: Session["client"]): Promise<readonly string[]> {
  const body = await client.get("/v1/databases");
  const databases = isObject(body) && Array.isArray(body.databases) ? body.databases : [];
  return databases.filter(isObject).map(({ id }) => String(id));
}
