// The command line: a thin client of the HTTP API.
import { Command, CommanderError } from "commander";
import { isAbort, messageOf } from "../base/errors.ts";
import { addClusterCommands, addHostCommands } from "./cluster.ts";
import { addCompletionCommands } from "./completion.ts";
import { addContextCommands } from "./context-command.ts";
import { addDatabaseCommands } from "./database.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { addInstanceCommands } from "./instance.ts";
import { addNodeCommands } from "./node.ts";
import { addGlobalOptions } from "./session.ts";
import { addTaskCommands } from "./task.ts";
import type { Terminal } from "./terminal.ts";
import { addTopCommand } from "./top.ts";
import { addTopologyCommands } from "./topology.ts";

/** Runs one command and gives its exit status. Data goes to `out`, everything else to `err`. */
export async function runCli(argv: readonly string[], terminal: Terminal): Promise<number> {
  const program = buildProgram(terminal);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCodes.ok;
  } catch (thrown) {
    if (thrown instanceof CommanderError)
      return thrown.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (terminal.signal.aborted) return exitCodes.interrupted;
    terminal.err(`pgherd: ${thrown instanceof CliError ? thrown.message : messageOf(thrown)}\n`);
    if (thrown instanceof CliError) return thrown.exitCode;
    return isAbort(thrown) ? exitCodes.waitTimeout : exitCodes.failure;
  }
}

/** The whole command tree. */
export function buildProgram(terminal: Terminal): Command {
  const program = new Command("pgherd")
    .description("A control plane for PostgreSQL on your own machines")
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })
    .showHelpAfterError("(pgherd help shows what there is)");
  addGlobalOptions(program);
  addClusterCommands(program, terminal);
  addHostCommands(program, terminal);
  addDatabaseCommands(program, terminal);
  addNodeCommands(program, terminal);
  addInstanceCommands(program, terminal);
  addTopologyCommands(program, terminal);
  addTaskCommands(program, terminal);
  addTopCommand(program, terminal);
  addContextCommands(program, terminal);
  addCompletionCommands(program, terminal);
  // The composition root runs these two before it comes here; they stand here for help and completion.
  const server = program.command("server").description("the server of this host");
  server.command("run").description("run the server");
  server.command("print-config").description("show the configuration and where it comes from");
  server.command("check-config").description("check the configuration");
  program.command("version").description("version of this binary");
  return program;
}
