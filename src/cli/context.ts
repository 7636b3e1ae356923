// Where the servers are: flags, then environment, then the named context of the user's configuration file.
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { parse, stringify } from "yaml";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";

const Context = Type.Object(
  {
    servers: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
    database: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
const ContextFile = Type.Object(
  {
    current: Type.Optional(Type.String()),
    contexts: Type.Record(Type.String(), Context),
  },
  { additionalProperties: false },
);
export type ContextFile = Static<typeof ContextFile>;

const fallbackServer = "http://127.0.0.1:3000";

/** Path of the user's configuration file. */
export function contextPath(terminal: Terminal): string {
  const configured = terminal.env.PGHERD_CONFIG;
  if (configured) return configured;
  const base = terminal.env.XDG_CONFIG_HOME ?? `${terminal.env.HOME ?? "/root"}/.config`;
  return `${base}/pgherd/config.yaml`;
}

/** The file's content; no contexts when there is no file. Unknown keys are errors. */
export async function loadContexts(terminal: Terminal): Promise<ContextFile> {
  const path = contextPath(terminal);
  if (!(await terminal.fileExists(path))) return { contexts: {} };
  const content: unknown = parse(await terminal.readText(path)) ?? { contexts: {} };
  if (!Value.Check(ContextFile, content)) {
    const problems = [...Value.Errors(ContextFile, content)].map(
      (error) => `${error.path || "/"}: ${error.message}`,
    );
    throw new CliError(exitCodes.usage, `${path}:\n${problems.join("\n")}`);
  }
  return content;
}

export async function saveContexts(terminal: Terminal, file: ContextFile): Promise<void> {
  await terminal.writeText(contextPath(terminal), stringify(file));
}

/** Servers to try, in order. */
export async function resolveServers(
  terminal: Terminal,
  flags: { readonly server?: readonly string[]; readonly context?: string },
): Promise<readonly string[]> {
  const given = flags.server ?? terminal.env.PGHERD_SERVER?.split(",");
  if (given && given.length > 0) return given.map(normalise);
  const file = await loadContexts(terminal);
  const name = flags.context ?? terminal.env.PGHERD_CONTEXT ?? file.current;
  if (name === undefined) return [fallbackServer];
  const context = file.contexts[name];
  if (!context) {
    const known = Object.keys(file.contexts).join(", ") || "none";
    throw new CliError(exitCodes.usage, `there is no context ${name}; known contexts: ${known}`);
  }
  return context.servers.map(normalise);
}

function normalise(server: string): string {
  const url = server.includes("://") ? server : `http://${server}`;
  return url.replace(/\/+$/, "");
}
