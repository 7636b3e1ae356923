// Which PostgreSQL versions a host has: looked for where distributions put them and where the
// configuration says, and asked for their version. Nothing is assumed from a package manager.
import type { StepContext } from "../orchestrator/driver.ts";
import type { Installation } from "../spec/host.ts";

type Executor = StepContext["executor"];

/** Where packages put the programs: `<before><major><after>`. */
const PACKAGE_PLACES = [
  { parent: "/usr/lib/postgresql", name: /^\d+$/, bin: (name: string) => `${name}/bin` },
  { parent: "/usr", name: /^pgsql-\d+$/, bin: (name: string) => `${name}/bin` },
] as const;

const askTimeoutMs = 10_000;

/** All installations, newest first; of two with the same version the configured one counts. */
export async function findInstallations(
  executor: Executor,
  configuredDirs: readonly string[],
  signal: AbortSignal,
): Promise<readonly Installation[]> {
  const places = [...configuredDirs, ...(await packageDirs(executor, signal))];
  const found = new Map<string, Installation>();
  for (const directory of new Set(places)) {
    const installation = await readInstallation(executor, directory, signal);
    if (installation && !found.has(installation.version)) {
      found.set(installation.version, installation);
    }
  }
  return [...found.values()].sort((a, b) => compareVersions(b.version, a.version));
}

/** Changes when a version is installed, replaced or removed. Asks no program. */
export async function installationsMark(
  executor: Executor,
  configuredDirs: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const places = new Set([...configuredDirs, ...(await packageDirs(executor, signal))]);
  const marks = [...places].map(async (directory) => {
    const found = await executor.stat(`${directory}/postgres`, signal);
    return found ? `${directory} ${found.sizeBytes} ${found.modifiedMs}` : "";
  });
  return (await Promise.all(marks)).filter((mark) => mark !== "").join("\n");
}

async function packageDirs(executor: Executor, signal: AbortSignal): Promise<readonly string[]> {
  const all: string[] = [];
  for (const { parent, name, bin } of PACKAGE_PLACES) {
    for (const entry of await executor.list(parent, signal)) {
      if (name.test(entry)) all.push(`${parent}/${bin(entry)}`);
    }
  }
  return all;
}

/** The installation in a directory, or undefined when there is no server that runs. */
async function readInstallation(
  executor: Executor,
  directory: string,
  signal: AbortSignal,
): Promise<Installation | undefined> {
  const said = await ask(executor, `${directory}/postgres`, "--version", signal);
  const version = /^postgres \(PostgreSQL\) (\d+(?:\.\d+)*)/.exec(said ?? "")?.[1];
  if (version === undefined) return undefined;
  const spock = await spockVersion(executor, directory, signal);
  return {
    major: Number.parseInt(version, 10),
    version,
    bin_dir: directory,
    spock_version: spock ?? null,
  };
}

/** `default_version` of the extension's control file (manual, "Extension Files"). */
async function spockVersion(
  executor: Executor,
  directory: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const shared = (await ask(executor, `${directory}/pg_config`, "--sharedir", signal))?.trim();
  if (!shared?.startsWith("/")) return undefined;
  const control = await executor.get(`${shared}/extension/spock.control`, { signal });
  if (!control) return undefined;
  return /^\s*default_version\s*=\s*'([^']+)'/m.exec(new TextDecoder().decode(control))?.[1];
}

/** What the program says, or undefined when there is none or it fails. */
async function ask(
  executor: Executor,
  program: string,
  option: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!(await executor.stat(program, signal))) return undefined;
  const result = await executor.run(
    { argv: [program, option], timeoutMs: askTimeoutMs },
    { signal },
  );
  return result.exitCode === 0 ? result.stdout : undefined;
}

function compareVersions(a: string, b: string): number {
  const [first, second] = [a, b].map((text) => text.split(".").map(Number));
  for (let at = 0; at < Math.max(first?.length ?? 0, second?.length ?? 0); at++) {
    const difference = (first?.[at] ?? 0) - (second?.[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
