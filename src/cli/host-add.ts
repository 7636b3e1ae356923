// pgherd host add, install, doctor: machines that become hosts over SSH, and what is wrong with one.
import { type Command, Option } from "commander";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { type Column, printObject, printRows } from "./output.ts";
import { finishTask, openSession, type Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

interface AddOptions {
  readonly id?: string;
  readonly identity?: string;
  readonly passphraseFile?: string;
  readonly agent?: string;
  readonly hostKey?: string;
  readonly learnHostKey?: boolean;
  readonly jump?: string;
  readonly jumpHostKey?: string;
  readonly dataDir?: string;
  readonly postgresUser?: string;
  readonly binDir?: readonly string[];
  readonly clientAddress?: readonly string[];
  readonly label?: readonly string[];
  readonly serviceUnits?: boolean;
  readonly nonVoter?: boolean;
  readonly join?: boolean;
}

/** Adds the verbs to `host`. */
export function addHostAddCommands(host: Command, terminal: Terminal): void {
  wayOptions(host.command("add"))
    .option("--no-service-units", "run keepers as processes of their own in any case")
    .description("make a machine that only has sshd a host, managed by the members over SSH")
    .action(async (place: string, options: AddOptions, command: Command) => {
      const session = await openSession(terminal, command);
      await sendAddition(session, await bodyOf(session, place, options));
    });
  wayOptions(host.command("install"))
    .requiredOption("--join", "the new server joins this cluster")
    .option("--non-voter", "it follows the store without a vote")
    .description("install a server on a bare machine over SSH")
    .action(async (place: string, options: AddOptions, command: Command) => {
      const session = await openSession(terminal, command);
      const body = await bodyOf(session, place, options);
      await sendAddition(session, { ...body, join: { voter: options.nonVoter !== true } });
    });
  host
    .command("doctor")
    .argument("[id]", "all hosts when absent")
    .description("say what is wrong with a host and how to mend it")
    .action(async (id: string | undefined, _options, command: Command) => {
      await runDoctor(await openSession(terminal, command), id);
    });
}

function wayOptions(command: Command): Command {
  return command
    .argument("<user@address>", "with `:port` where it is not 22")
    .option("--id <id>", "name of the host; the first part of its address when that is a name")
    .option("-i, --identity <file>", "private key; read here, stored sealed by the cluster")
    .option("--passphrase-file <file>", "passphrase of the key; - is the standard input")
    .option("--agent <socket>", "SSH agent on every member, instead of a key")
    .option("--host-key <file>", "public key of the machine, or its fingerprint SHA256:…")
    .option("--learn-host-key", "take the key that the machine shows now, and print it")
    .option("--jump <user@address>", "host to go through; takes the same key")
    .option("--jump-host-key <file>", "public key of that host, or its fingerprint")
    .option("--data-dir <path>", "what pgherd keeps there")
    .option("--postgres-user <name>", "user that PostgreSQL runs as")
    .option("--bin-dir <path...>", "directory with PostgreSQL's programs")
    .option("--client-address <address...>", "where clients reach its databases")
    .addOption(new Option("--label <key=value...>", "file it under a label"));
}

async function bodyOf(
  session: Session,
  place: string,
  options: AddOptions,
): Promise<Record<string, unknown>> {
  const { terminal } = session;
  const target = parsePlace(place);
  const ssh = {
    ...target,
    host_key: await hostKeyOf(terminal, options.hostKey, options.learnHostKey, "--host-key"),
    ...(await credentialsOf(terminal, options)),
    ...(options.jump === undefined
      ? {}
      : {
          jump: {
            ...parsePlace(options.jump),
            host_key: await hostKeyOf(
              terminal,
              options.jumpHostKey,
              options.learnHostKey,
              "--jump-host-key",
            ),
          },
        }),
  };
  return {
    id: options.id ?? idFrom(target.address),
    ssh,
    ...(options.dataDir === undefined ? {} : { data_dir: options.dataDir }),
    ...(options.postgresUser === undefined ? {} : { postgres_user: options.postgresUser }),
    ...(options.binDir === undefined ? {} : { bin_dirs: options.binDir }),
    ...(options.clientAddress === undefined ? {} : { client_addresses: options.clientAddress }),
    ...(options.label === undefined ? {} : { labels: labelsOf(options.label) }),
    ...(options.serviceUnits === false ? { service_units: false } : {}),
  };
}

/** `user@address:port`, `address`, `user@[v6]:port`. */
function parsePlace(text: string): { address: string; port?: number; user?: string } {
  const match = /^(?:([^@\s]+)@)?(?:\[([0-9a-fA-F:]+)\]|([^@:\s]+))(?::(\d{1,5}))?$/.exec(text);
  const address = match?.[2] ?? match?.[3];
  if (!match || address === undefined) {
    throw new CliError(exitCodes.usage, `${text}: write user@address or user@address:port`);
  }
  const [, user, , , port] = match;
  return {
    address,
    ...(port === undefined ? {} : { port: Number(port) }),
    ...(user === undefined ? {} : { user }),
  };
}

function idFrom(address: string): string {
  const [name = ""] = address.split(".");
  if (/[a-z]/i.test(name) && !address.includes(":")) return name.toLowerCase();
  throw new CliError(exitCodes.usage, `${address} is no name: choose one with --id`);
}

async function hostKeyOf(
  terminal: Terminal,
  given: string | undefined,
  learn: boolean | undefined,
  option: string,
): Promise<string> {
  if (given?.startsWith("SHA256:")) return given;
  if (given !== undefined) return (await terminal.readText(given)).trim();
  if (learn) return "learn";
  const hint = `give ${option}, or --learn-host-key to take the one that it shows now`;
  throw new CliError(exitCodes.usage, `which key must the machine show? ${hint}`);
}

async function credentialsOf(
  terminal: Terminal,
  { identity, passphraseFile, agent }: AddOptions,
): Promise<Record<string, string>> {
  if (agent !== undefined) return { agent };
  if (identity === undefined) {
    throw new CliError(exitCodes.usage, "how to log in? Give --identity or --agent");
  }
  return {
    private_key: await terminal.readText(identity),
    ...(passphraseFile === undefined
      ? {}
      : { passphrase: (await terminal.readText(passphraseFile)).replace(/\r?\n$/, "") }),
  };
}

function labelsOf(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      if (at > 0) return [word.slice(0, at), word.slice(at + 1)];
      throw new CliError(exitCodes.usage, `${word}: write key=value`);
    }),
  );
}

async function sendAddition(session: Session, body: Record<string, unknown>): Promise<void> {
  const answer = await session.client.request("POST", "/v1/hosts", { body });
  const learned: unknown = isObject(answer) ? answer.learned_host_keys : undefined;
  for (const key of Array.isArray(learned) ? learned.filter(isObject) : []) {
    session.terminal.err(`learned the key of ${String(key.address)}: ${String(key.fingerprint)}\n`);
  }
  await finishTask(session, answer);
}

const findingColumns: readonly Column[] = [
  { title: "HOST", cell: (row) => row.host_id },
  { title: "SEVERITY", cell: (row) => row.severity },
  { title: "WHAT", cell: (row) => row.message },
  { title: "REMEDY", cell: (row) => row.remedy },
];

/** Prints what is wrong; fails when something is. */
async function runDoctor(session: Session, id: string | undefined): Promise<void> {
  const ids = id === undefined ? await allIds(session) : [id];
  const answers = await Promise.all(
    ids.map((each) => session.client.get(`/v1/hosts/${encodeURIComponent(each)}/doctor`)),
  );
  const found = answers.filter(isObject);
  const [only] = found;
  if (id !== undefined && only && session.format !== "table") {
    printObject(session.terminal, session.format, only);
  } else {
    const rows = found.flatMap(({ host_id, findings }) =>
      (Array.isArray(findings) ? findings.filter(isObject) : []).map((row) => ({
        host_id,
        ...row,
      })),
    );
    printRows(session.terminal, session.format, { hosts: found }, rows, findingColumns);
    if (rows.length === 0) session.terminal.err("nothing is wrong\n");
  }
  const unwell = found.filter(({ healthy }) => healthy !== true).map(({ host_id }) => host_id);
  if (unwell.length > 0) {
    throw new CliError(exitCodes.failure, `something is wrong with ${unwell.join(", ")}`);
  }
}

async function allIds(session: Session): Promise<readonly string[]> {
  const body = await session.client.get("/v1/hosts");
  const hosts = isObject(body) && Array.isArray(body.hosts) ? body.hosts.filter(isObject) : [];
  return hosts.map((host) => String(host.id));
}
