// The places a configuration comes from, each read into the same settings: key, value, origin.
import { resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { parseDocument } from "yaml";
import type { Diagnostic } from "../base/result.ts";
import { findKey, isSection, type UnknownKey } from "./keys.ts";

/** One key set in one place. */
export interface Setting {
  readonly name: string;
  readonly value: unknown;
  /** As shown to users, e.g. `flag --http.port`. */
  readonly origin: string;
}

export interface Source {
  readonly settings: readonly Setting[];
  readonly problems: readonly Diagnostic[];
}

export interface Flags extends Source {
  /** Path of the configuration file, when one is named. */
  readonly file: string | undefined;
}

/** Short and old spellings of flags. */
const ALIASES: Readonly<Record<string, string>> = {
  "-c": "config",
  "-l": "logging.level",
  "-p": "logging.pretty",
  "--config-path": "config",
};

/** `--key value`, `--key=value`, dashes for underscores; a switch needs no value; a repeated list adds up. */
export function flagSource(argv: readonly string[], directory: string): Flags {
  const settings: Setting[] = [];
  const problems: Diagnostic[] = [];
  let file: string | undefined;
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    const [flag = "", ...rest] = word.split("=");
    const name = ALIASES[flag] ?? flag.replace(/^--/, "").replaceAll("-", "_");
    if (!word.startsWith("-")) {
      problems.push({ path: "", code: "unexpected", message: `unexpected argument ${word}` });
      continue;
    }
    let value = rest.length > 0 ? rest.join("=") : undefined;
    if (value === undefined && takesValue(name, argv[index + 1])) value = argv[++index];
    if (name === "config") file = value;
    if (name === "config" && value !== undefined) continue;
    add({ settings, problems }, name, `flag ${flag}`, value ?? missingValue(name), directory);
  }
  return { settings: merged(settings), problems, file };
}

/** A switch takes the next word only when that says yes or no. */
function takesValue(name: string, next: string | undefined): boolean {
  if (next === undefined) return false;
  const key = findKey(name);
  const isSwitch = key.ok && key.value.schema.type === "boolean";
  return isSwitch ? /^(true|false)$/.test(next) : !next.startsWith("--");
}

function missingValue(name: string): string | undefined {
  const key = findKey(name);
  return key.ok && key.value.schema.type === "boolean" ? "true" : undefined;
}

/** Lists given in several flags become one. */
function merged(settings: readonly Setting[]): readonly Setting[] {
  const byName = new Map<string, Setting>();
  for (const setting of settings) {
    const earlier = byName.get(setting.name);
    const both = earlier && Array.isArray(earlier.value) && Array.isArray(setting.value);
    const value = both ? [...earlier.value, ...setting.value] : setting.value;
    byName.set(setting.name, { ...setting, value });
  }
  return [...byName.values()];
}

export const ENVIRONMENT_PREFIX = "PGHERD_";

/** Variables of the same prefix that belong to the command line and to the scripts of the project. */
const FOREIGN_VARIABLES =
  /^PGHERD_(SERVER|CONTEXT|CONFIG|OUTPUT|TOKEN|CACHE|BINARY|POSTGRES_DIR|(QUICKSTART|RQLITED|TEST|LAB|BOX|SUITE|BENCH)_.*)$/;

/** `PGHERD_HTTP__PORT=3001` is `http.port`. Empty variables count as absent. */
export function environmentSource(
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
): Source {
  const settings: Setting[] = [];
  const problems: Diagnostic[] = [];
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || !text) continue;
    if (FOREIGN_VARIABLES.test(variable)) continue;
    const name = variable.slice(ENVIRONMENT_PREFIX.length).toLowerCase().replaceAll("__", ".");
    add({ settings, problems }, name, `environment ${variable}`, text, directory);
  }
  return { settings, problems };
}

function add(
  source: { settings: Setting[]; problems: Diagnostic[] },
  name: string,
  origin: string,
  text: string | undefined,
  directory: string,
): void {
  const key = findKey(name);
  if (!key.ok) source.problems.push(unknown(name, origin, key.error));
  else if (text === undefined) {
    source.problems.push({
      path: name,
      code: "missing_value",
      message: `needs a value (${origin})`,
    });
  } else {
    source.settings.push({ name, origin, value: typed(key.value.schema, text, directory) });
  }
}

/** A text as the type of its key, or unchanged where it is none: the schema then refuses it. */
function typed(schema: TSchema, text: string, directory: string): unknown {
  switch (schema.type) {
    case "integer":
      return /^-?\d{1,9}$/.test(text) ? Number(text) : text;
    case "boolean":
      return /^(true|1)$/.test(text) || (/^(false|0)$/.test(text) ? false : text);
    case "array":
      return text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "")
        .map((item) => (schema.items.path ? absolute(item, directory) : item));
    default:
      return schema.path ? absolute(text, directory) : text;
  }
}

/** A path on the command line is relative to where the command was given. */
function absolute(path: string, directory: string): string {
  return resolve(directory, path);
}

/** A file of YAML, of which JSON is a part. `path` is only for messages. */
export function fileSource(text: string, path: string): Source {
  const document = parseDocument(text, { uniqueKeys: true });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ message }) => ({
      path: "",
      code: "unreadable",
      message: `${path}: ${message.split("\n")[0]?.replace(/:$/, "")}`,
    }));
    return { settings: [], problems };
  }
  const content: unknown = document.toJS({ maxAliasCount: 0 });
  if (content === null || content === undefined) return { settings: [], problems: [] };
  if (typeof content !== "object" || Array.isArray(content)) {
    const message = `${path}: must hold keys and values`;
    return { settings: [], problems: [{ path: "", code: "unreadable", message }] };
  }
  const source: { settings: Setting[]; problems: Diagnostic[] } = { settings: [], problems: [] };
  addSection(source, content, "", `file ${path}`);
  return source;
}

function addSection(
  source: { settings: Setting[]; problems: Diagnostic[] },
  section: object,
  prefix: string,
  origin: string,
): void {
  for (const [part, value] of Object.entries(section)) {
    if (value === null) continue;
    const name = `${prefix}${part}`;
    const key = findKey(name);
    const holdsKeys = isSection(name);
    if (holdsKeys && typeof value === "object" && !Array.isArray(value)) {
      addSection(source, value, `${name}.`, origin);
    } else if (key.ok) {
      source.settings.push({ name, value, origin });
    } else if (holdsKeys) {
      const message = `must hold keys and values (${origin})`;
      source.problems.push({ path: name, code: "invalid_field_type", message });
    } else {
      source.problems.push(unknown(name, origin, key.error));
    }
  }
}

function unknown(name: string, origin: string, { message, hint }: UnknownKey): Diagnostic {
  const problem = { path: name, code: "unknown_key", message: `${message} (${origin})` };
  return hint === undefined ? problem : { ...problem, hint };
}
