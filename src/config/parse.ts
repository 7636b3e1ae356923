// Settings of all sources, laid over the defaults of the machine, as one checked configuration. Pure.
import { isIP } from "node:net";
import type { TSchema } from "@sinclair/typebox";
import { storeLeaderTimeoutMs } from "../base/limits.ts";
import { type Diagnostic, fail, ok, type Result } from "../base/result.ts";
import { identifierProblem } from "../spec/ids.ts";
import { shapeProblems } from "../spec/shape.ts";
import { KEYS, type Key } from "./keys.ts";
import { Config } from "./schema.ts";
import type { Setting, Source } from "./sources.ts";

/** What the defaults depend on. */
export interface Machine {
  readonly hostname: string;
  /** Effective user; 0 = root. */
  readonly uid: number;
  /** Addresses of the network interfaces, loopback ones left out, in the system's order. */
  readonly addresses: readonly string[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** Every key with its value and where it comes from, in the order of the schema. */
  readonly settings: readonly Setting[];
}

/** The configuration, or everything that is wrong with it. Later sources win over earlier ones. */
export function parseConfig(
  sources: readonly Source[],
  machine: Machine,
): Result<LoadedConfig, readonly Diagnostic[]> {
  const given = new Map(
    sources.flatMap(({ settings }) => settings).map((setting) => [setting.name, setting]),
  );
  const settings = withDefaults(given, machine);
  const candidate = nested(settings);
  const origins = new Map(settings.map(({ name, origin }) => [name, origin]));
  const problems = [
    ...sources.flatMap((source) => source.problems),
    ...orchestratorProblems(given),
  ];
  const shape = shapeProblems(Config, candidate)
    .filter(({ path }) => path !== "orchestrator" || !isSwarm(given))
    .map((problem) => explained(problem, origins));
  if (shape.length > 0) return fail([...problems, ...shape]);
  // shapeProblems has just found that it fits.
  const config = candidate as Config;
  problems.push(...meaningProblems(config, machine).map((problem) => explained(problem, origins)));
  return problems.length > 0 ? fail(problems) : ok({ config, settings });
}

function withDefaults(given: ReadonlyMap<string, Setting>, machine: Machine): readonly Setting[] {
  const textOf = (name: string) => String(given.get(name)?.value ?? "");
  // Without a valid data_dir the rest is of no use, but it should not be complained about as well.
  const dataDir = textOf("data_dir").startsWith("/") ? textOf("data_dir") : "/";
  const bind = textOf("http.bind_addr") || "127.0.0.1";
  const addresses = ownAddresses(bind, machine);
  const defaults: Readonly<Record<string, unknown>> = {
    run_dir: machine.uid === 0 ? "/run/pgherd" : `${dataDir}/run`,
    host_id: machine.hostname.split(".")[0]?.toLowerCase(),
    orchestrator: "baremetal",
    etcd_mode: "server",
    witness: false,
    peer_addresses: addresses,
    client_addresses: addresses,
    stop_grace_period_seconds: 30,
    "http.bind_addr": "127.0.0.1",
    "http.port": 3000,
    "logging.level": "info",
    "logging.pretty": false,
    "peer.port": 0,
    "store.http_port": 0,
    "store.raft_port": 0,
    "store.leader_timeout_ms": storeLeaderTimeoutMs,
    "postgres.bin_dirs": [],
    "postgres.user": machine.uid === 0 ? "postgres" : undefined,
    "postgres.instance_dir": `${dataDir}/instances`,
    "random_ports.min": 5432,
    "random_ports.max": 15432,
  };
  return KEYS.flatMap(({ name, schema }: Key): Setting[] => {
    const setting = given.get(name);
    if (setting) return [setting];
    if (isMap(schema))
      return [...given.values()].filter((each) => each.name.startsWith(`${name}.`));
    const value = defaults[name];
    return value === undefined ? [] : [{ name, value, origin: "default" }];
  });
}

function isMap(schema: TSchema): boolean {
  return schema.type === "object";
}

/** Where this host is reached when nobody says so: only by itself while it listens only to itself. */
function ownAddresses(bind: string, { addresses }: Machine): readonly string[] {
  if (bind === "::1") return ["::1"];
  if (bind.startsWith("127.") || bind === "localhost") return ["127.0.0.1"];
  const best = addresses.find((address) => isIP(address) === 4) ?? addresses[0];
  return best === undefined ? [] : [best];
}

interface Section {
  [name: string]: unknown;
}

/** `{"http.port": 1}` as `{http: {port: 1}}`, in the order of the schema; maps are there even when empty. */
function nested(settings: readonly Setting[]): Section {
  const root: Section = {};
  for (const { name, schema } of KEYS) {
    const parts = name.split(".");
    if (isMap(schema)) {
      const map = sectionAt(root, parts);
      for (const entry of settings.filter((each) => each.name.startsWith(`${name}.`))) {
        map[entry.name.slice(name.length + 1)] = entry.value;
      }
    } else {
      const setting = settings.find((each) => each.name === name);
      if (setting) sectionAt(root, parts.slice(0, -1))[parts.at(-1) ?? ""] = setting.value;
    }
  }
  return root;
}

function sectionAt(root: Section, parts: readonly string[]): Section {
  let section = root;
  for (const part of parts) {
    const known = section[part];
    const inner = isFilled(known) ? known : {};
    section[part] = inner;
    section = inner;
  }
  return section;
}

function isFilled(value: unknown): value is Section {
  return typeof value === "object" && value !== null;
}

function isSwarm(given: ReadonlyMap<string, Setting>): boolean {
  return given.get("orchestrator")?.value === "swarm";
}

function orchestratorProblems(given: ReadonlyMap<string, Setting>): readonly Diagnostic[] {
  if (!isSwarm(given)) return [];
  const message = "swarm is not available in this version";
  return [{ path: "orchestrator", code: "not_supported", message, hint: "leave it out" }];
}

/** A problem with where the value came from, or how to give one. */
function explained(problem: Diagnostic, origins: ReadonlyMap<string, string>): Diagnostic {
  const name = problem.path.replace(/\[\d+\]$/, "");
  const origin = origins.get(name);
  if (origin !== undefined) return { ...problem, message: `${problem.message} (${origin})` };
  const variable = `PGHERD_${name.replaceAll(".", "__").toUpperCase()}`;
  return { ...problem, hint: `set it with --${name}, ${variable} or in the file` };
}

/** Rules that the schema cannot say. */
function meaningProblems(config: Config, machine: Machine): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const add = (path: string, code: string, message: string) =>
    problems.push({ path, code, message });
  const hostProblem = identifierProblem(config.host_id);
  if (hostProblem) add("host_id", "invalid_identifier", hostProblem);
  const tenantProblem = config.tenant_id && identifierProblem(config.tenant_id);
  if (tenantProblem) add("tenant_id", "invalid_identifier", tenantProblem);
  for (const key of ["peer_addresses", "client_addresses"] as const) {
    config[key].forEach((address, index) => {
      if (!isAddress(address)) add(`${key}[${index}]`, "invalid_address", ADDRESS_RULE);
    });
  }
  if (!isAddress(config.http.bind_addr)) add("http.bind_addr", "invalid_address", ADDRESS_RULE);
  if (config.witness && config.etcd_mode === "client") {
    add("witness", "no_vote", "a witness is there to vote: it needs `etcd_mode: server`");
  }
  if (config.random_ports.min > config.random_ports.max) {
    add("random_ports.min", "out_of_range", "must not be more than random_ports.max");
  }
  if (config.postgres.user === "root") {
    add("postgres.user", "invalid_user", "PostgreSQL refuses to run as root");
  }
  if (config.postgres.user !== undefined && machine.uid !== 0) {
    add("postgres.user", "invalid_user", "only root can run PostgreSQL as another user");
  }
  return problems;
}

const ADDRESS_RULE = "must be an IP address or a host name";
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** An IP address, or a name by RFC 1123 section 2.1. */
function isAddress(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const labels = text.split(".");
  return labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? "");
}
