// Reads the configuration of the server: flags over environment over file over defaults. The only file that
// reads the environment; what it means is decided in config/.
import { existsSync, readFileSync, statSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { messageOf } from "./base/errors.ts";
import { configFileBytesMax } from "./base/limits.ts";
import { type Diagnostic, fail, type Result } from "./base/result.ts";
import { type LoadedConfig, type Machine, parseConfig } from "./config/parse.ts";
import { environmentSource, fileSource, flagSource, type Source } from "./config/sources.ts";

const DEFAULT_FILE = "/etc/pgherd/pgherd.yaml";

/** The configuration for these arguments, or everything that is wrong with it. */
export function readConfig(argv: readonly string[]): Result<LoadedConfig, readonly Diagnostic[]> {
  const directory = process.cwd();
  const flags = flagSource(argv, directory);
  const path = flags.file ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined);
  const file = path === undefined ? undefined : readFile(path);
  if (file && !file.ok) return file;
  const environment = environmentSource(process.env, directory);
  const sources = [...(file ? [file.value] : []), environment, flags];
  return parseConfig(sources, thisMachine());
}

/** The variables of this process. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

function readFile(path: string): Result<Source, readonly Diagnostic[]> {
  try {
    const bytes = statSync(path).size;
    if (bytes > configFileBytesMax) return unreadable(`${path}: has ${bytes} bytes`);
    return { ok: true, value: fileSource(readFileSync(path, "utf8"), path) };
  } catch (thrown) {
    // The system's message names the path and what is wrong with it.
    return unreadable(messageOf(thrown));
  }
}

function unreadable(message: string): Result<never, readonly Diagnostic[]> {
  return fail([{ path: "config", code: "unreadable", message }]);
}

function thisMachine(): Machine {
  const all = Object.values(networkInterfaces()).flatMap((interfaces) => interfaces ?? []);
  const reachable = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return {
    hostname: hostname(),
    uid: process.geteuid?.() ?? -1,
    addresses: reachable.map(({ address }) => address),
  };
}
