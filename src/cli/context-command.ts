// pgherd context …: named servers in the user's configuration file.
import type { Command } from "commander";
import { contextPath, loadContexts, saveContexts } from "./context.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { table } from "./output.ts";
import type { Terminal } from "./terminal.ts";

/** Adds `context` and its verbs. */
export function addContextCommands(program: Command, terminal: Terminal): void {
  const context = program.command("context").description("named servers");
  context
    .command("list")
    .alias("ls")
    .description("all contexts")
    .action(async () => {
      const file = await loadContexts(terminal);
      const rows = Object.entries(file.contexts).map(([name, value]) => [
        name === file.current ? "*" : "",
        name,
        value.servers.join(","),
      ]);
      terminal.out(table(["", "NAME", "SERVERS"], rows));
    });
  context
    .command("set")
    .argument("<name>")
    .argument("<servers...>", "server addresses, tried in order")
    .description("make or change a context")
    .action(async (name: string, servers: string[]) => {
      const file = await loadContexts(terminal);
      await saveContexts(terminal, {
        current: file.current ?? name,
        contexts: { ...file.contexts, [name]: { servers } },
      });
    });
  context
    .command("use")
    .argument("<name>")
    .description("use a context from now on")
    .action(async (name: string) => {
      const file = await loadContexts(terminal);
      if (!file.contexts[name]) throw unknown(terminal, name);
      await saveContexts(terminal, { ...file, current: name });
    });
  context
    .command("delete")
    .alias("rm")
    .argument("<name>")
    .description("forget a context")
    .action(async (name: string) => {
      const { current, contexts } = await loadContexts(terminal);
      if (!contexts[name]) throw unknown(terminal, name);
      const rest = Object.fromEntries(Object.entries(contexts).filter(([key]) => key !== name));
      await saveContexts(terminal, {
        ...(current !== undefined && current !== name ? { current } : {}),
        contexts: rest,
      });
    });
}

function unknown(terminal: Terminal, name: string): CliError {
  return new CliError(
    exitCodes.notFound,
    `there is no context ${name} in ${contextPath(terminal)}`,
  );
}
