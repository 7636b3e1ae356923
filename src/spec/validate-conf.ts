// Rules of postgresql_conf, pg_hba_conf and pg_ident_conf: what would break out of a line, take over
// what the control plane decides, or keep PostgreSQL from starting.
import type { Diagnostic } from "../base/result.ts";
import { isSettingName } from "../postgres/conf.ts";
import { hbaLineProblem, identLineProblem } from "../postgres/hba-line.ts";
import { isSettingValue } from "./normalise.ts";
import { isOneLine, problem } from "./problem.ts";

/** Settings that follow from other fields or from the host, with what to do instead. */
const OWNED: ReadonlyMap<string, string> = new Map([
  ["port", "use the field `port`"],
  ["listen_addresses", "it follows from the host's addresses and from `port`"],
  ["hba_file", "use `pg_hba_conf`"],
  ["ident_file", "use `pg_ident_conf`"],
  ["config_file", "use `postgresql_conf`"],
  ["data_directory", "it follows from the host's configuration"],
  ["external_pid_file", "it follows from the host's configuration"],
  ["unix_socket_directories", "it follows from the host's configuration"],
  ["primary_conninfo", "standbys are pointed at their primary by the control plane"],
  ["primary_slot_name", "standbys are pointed at their primary by the control plane"],
]);
/** What a database and a node have in common here. */
interface ConfLevel {
  readonly postgresql_conf?: Readonly<Record<string, unknown>>;
  readonly pg_hba_conf?: readonly string[];
  readonly pg_ident_conf?: readonly string[];
}

/** Problems of the configuration of a database or, with a prefix such as `nodes[0].`, of a node. */
export function checkConf(
  level: ConfLevel,
  prefix: string,
  context: { readonly spock: boolean },
): readonly Diagnostic[] {
  return [
    ...checkSettings(level.postgresql_conf ?? {}, `${prefix}postgresql_conf`, context.spock),
    ...checkLines(level.pg_hba_conf ?? [], `${prefix}pg_hba_conf`, hbaLineProblem),
    ...checkLines(level.pg_ident_conf ?? [], `${prefix}pg_ident_conf`, identLineProblem),
  ];
}

function checkSettings(
  conf: Readonly<Record<string, unknown>>,
  path: string,
  spock: boolean,
): readonly Diagnostic[] {
  const names = Object.keys(conf);
  const lower = names.map((name) => name.toLowerCase());
  return names.flatMap((name, index) => {
    const at = `${path}.${name}`;
    const first = names[lower.indexOf(name.toLowerCase())] ?? name;
    if (first !== name) {
      return [problem(at, "duplicate", `is the same setting as ${first}: case does not matter`)];
    }
    return checkSetting(lower[index] ?? name, conf[name], at, spock);
  });
}

function checkSetting(
  name: string,
  value: unknown,
  path: string,
  spock: boolean,
): readonly Diagnostic[] {
  if (!isSettingName(name)) {
    return [problem(path, "malformed", "is not a possible name of a setting")];
  }
  const instead = OWNED.get(name);
  if (instead !== undefined) {
    return [problem(path, "owned", "is set by the control plane", instead)];
  }
  if (!isSettingValue(value)) {
    return [problem(path, "malformed", "must be a text, a number or true or false")];
  }
  if (typeof value === "string" && !isOneLine(value)) {
    return [problem(path, "malformed", "must not contain line breaks or NUL")];
  }
  if (spock && name === "shared_preload_libraries" && !libraries(value).includes("spock")) {
    const hint = "add spock to the list";
    return [problem(path, "required", "nodes replicate with Spock, which must be loaded", hint)];
  }
  return [];
}

function libraries(value: unknown): readonly string[] {
  return String(value)
    .split(",")
    .map((library) => library.trim().replaceAll('"', ""));
}

function checkLines(
  lines: readonly string[],
  path: string,
  problemOf: (line: string) => string | undefined,
): readonly Diagnostic[] {
  return lines.flatMap((line, index) => {
    const wrong = problemOf(line);
    return wrong === undefined ? [] : [problem(`${path}[${index}]`, "malformed", wrong)];
  });
}
