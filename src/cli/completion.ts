// Shell completion, derived from the command tree; names of databases, hosts and tasks come from the server.
import type { Command } from "commander";
import { ApiClient, isObject } from "./client.ts";
import { resolveServers } from "./context.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";

const completionTimeoutMs = 1_000;

const scripts: Readonly<Record<string, string>> = {
  bash: `_pgherd() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(pgherd __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _pgherd pgherd
`,
  zsh: `#compdef pgherd
_pgherd() { compadd -- \${(f)"$(pgherd __complete "\${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)"} }
compdef _pgherd pgherd
`,
  fish: `complete -c pgherd -f -a '(pgherd __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
};

/** Adds `completion`, and the hidden command that the scripts call. */
export function addCompletionCommands(program: Command, terminal: Terminal): void {
  program
    .command("completion")
    .argument("<shell>", Object.keys(scripts).join(", "))
    .description("print the completion script of a shell")
    .action((shell: string) => {
      const script = scripts[shell];
      if (!script) {
        throw new CliError(
          exitCodes.usage,
          `no completion for ${shell}; known: ${Object.keys(scripts).join(", ")}`,
        );
      }
      terminal.out(script);
    });
  program
    .command("__complete", { hidden: true })
    .argument("[words...]")
    .allowUnknownOption()
    .helpOption(false)
    .action(async (words: string[]) => {
      const found = [...candidates(program, words), ...(await names(program, words, terminal))];
      terminal.out(found.map((word) => `${word}\n`).join(""));
    });
}

/** The command that the words before the last one name. */
function commandOf(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const word of words.slice(0, -1)) {
    const child = command.commands.find(
      (candidate) => candidate.name() === word || candidate.aliases().includes(word),
    );
    command = child ?? command;
  }
  return command;
}

/** Verbs and options that may stand where the last of `words` is being typed. */
export function candidates(program: Command, words: readonly string[]): string[] {
  const typed = words.at(-1) ?? "";
  const command = commandOf(program, words);
  const options = [...command.options, ...program.options].flatMap((option) =>
    option.long ? [option.long] : [],
  );
  const verbs = command.commands
    .map((child) => child.name())
    .filter((name) => !name.startsWith("__"));
  return (typed.startsWith("-") ? options : verbs).filter((word) => word.startsWith(typed)).sort();
}

const listings: Readonly<Record<string, { path: string; key: string; id: string }>> = {
  db: { path: "/v1/databases", key: "databases", id: "id" },
  host: { path: "/v1/hosts", key: "hosts", id: "id" },
  task: { path: "/v1/tasks?limit=100", key: "tasks", id: "task_id" },
};

/** Names of existing objects, for verbs that take one; nothing when no server answers in time. */
async function names(
  program: Command,
  words: readonly string[],
  terminal: Terminal,
): Promise<string[]> {
  const command = commandOf(program, words);
  const typed = words.at(-1) ?? "";
  const noun = command.parent?.name() ?? "";
  if (typed.startsWith("-") || command.registeredArguments.length === 0) return [];
  if (noun === "instance") return instanceNames(terminal, typed);
  const listing = listings[noun];
  if (!listing) return [];
  const rows = await listed(terminal, listing.path, listing.key);
  return rows.map((row) => String(row[listing.id])).filter((name) => name.startsWith(typed));
}

async function instanceNames(terminal: Terminal, typed: string): Promise<string[]> {
  const databases = await listed(terminal, "/v1/databases", "databases");
  const rows = databases.flatMap((row) => (Array.isArray(row.instances) ? row.instances : []));
  return rows
    .filter(isObject)
    .map((row) => String(row.id))
    .filter((name) => name.startsWith(typed));
}

async function listed(
  terminal: Terminal,
  path: string,
  key: string,
): Promise<Record<string, unknown>[]> {
  try {
    const servers = await resolveServers(terminal, {});
    const { clock, signal } = terminal;
    const client = new ApiClient({ servers, timeoutMs: completionTimeoutMs, clock, signal });
    const body = await client.get(path);
    const rows = isObject(body) ? body[key] : undefined;
    return Array.isArray(rows) ? rows.filter(isObject) : [];
  } catch (thrown) {
    // Completing must never disturb what is being typed: without an answer there are no names.
    if (thrown instanceof CliError) return [];
    throw thrown;
  }
}
