import { describe, expect, test } from "bun:test";
import { type Machine, parseConfig } from "./parse.ts";
import { renderKeys, renderOrigins, renderProblems } from "./print.ts";
import { environmentSource, fileSource, flagSource } from "./sources.ts";

const MACHINE: Machine = {
  hostname: "Db1.example.org",
  uid: 0,
  addresses: ["fd00::5", "10.0.0.5", "10.1.0.5"],
};

interface Given {
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly file?: string;
  readonly machine?: Machine;
}

function parse({ flags = [], environment = {}, file = "", machine = MACHINE }: Given) {
  const sources = [
    fileSource(file, "/etc/pgherd/pgherd.yaml"),
    environmentSource(environment, "/home/me"),
    flagSource(flags, "/home/me"),
  ];
  return parseConfig(sources, machine);
}

function config(given: Given) {
  const parsed = parse(given);
  if (!parsed.ok) throw new Error(renderProblems(parsed.error));
  return parsed.value;
}

function problems(given: Given): string[] {
  const parsed = parse(given);
  return parsed.ok ? [] : renderProblems(parsed.error).trimEnd().split("\n");
}

describe("defaults", () => {
  test("as root", () => {
    expect(config({ flags: ["--data-dir", "/data"] }).config).toEqual({
      data_dir: "/data",
      run_dir: "/run/pgherd",
      host_id: "db1",
      orchestrator: "baremetal",
      etcd_mode: "server",
      witness: false,
      peer_addresses: ["127.0.0.1"],
      client_addresses: ["127.0.0.1"],
      stop_grace_period_seconds: 30,
      http: { bind_addr: "127.0.0.1", port: 3000 },
      logging: { level: "info", pretty: false, component_levels: {} },
      store: { http_port: 0, raft_port: 0, leader_timeout_ms: 500 },
      peer: { port: 0 },
      postgres: { bin_dirs: [], user: "postgres", instance_dir: "/data/instances" },
      random_ports: { min: 5432, max: 15432 },
    });
  });

  test("as somebody else", () => {
    const machine = { ...MACHINE, uid: 1000 };
    const { config: result } = config({ flags: ["--data-dir=/data"], machine });
    expect(result.run_dir).toBe("/data/run");
    expect(result.postgres).toEqual({ bin_dirs: [], instance_dir: "/data/instances" });
  });

  test.each([
    ["0.0.0.0", MACHINE.addresses, "10.0.0.5"],
    ["10.1.0.5", MACHINE.addresses, "10.0.0.5"],
    ["::", ["fd00::5"], "fd00::5"],
    ["127.0.0.2", MACHINE.addresses, "127.0.0.1"],
    ["::1", MACHINE.addresses, "::1"],
    ["localhost", MACHINE.addresses, "127.0.0.1"],
  ])("listening on %s with %j is reached at %s", (bind, addresses, expected) => {
    const flags = ["--data-dir", "/data", "--http.bind_addr", bind];
    const { config: result } = config({ flags, machine: { ...MACHINE, addresses } });
    expect(result.peer_addresses).toEqual([expected]);
    expect(result.client_addresses).toEqual([expected]);
  });

  test("a host without addresses must be told them", () => {
    const flags = ["--data-dir", "/data", "--http.bind_addr", "0.0.0.0"];
    const lines = problems({ flags, machine: { ...MACHINE, addresses: [] } });
    expect(lines).toEqual([
      "peer_addresses: must have at least 1 item(s) (default)",
      "client_addresses: must have at least 1 item(s) (default)",
    ]);
  });
});

describe("sources", () => {
  const file = "data_dir: /file\nhost_id: file\nhttp:\n  port: 1\nlogging: {level: warn}\n";

  test("flags win over the environment over the file over defaults", () => {
    const environment = { PGHERD_HOST_ID: "env", PGHERD_HTTP__PORT: "2", PATH: "/bin" };
    const loaded = config({ file, environment, flags: ["--http.port", "3"] });
    expect(loaded.config).toMatchObject({ data_dir: "/file", host_id: "env", http: { port: 3 } });
    expect(renderOrigins(loaded).split("\n").slice(0, 4)).toEqual([
      "data_dir                   /file            file /etc/pgherd/pgherd.yaml",
      "run_dir                    /run/pgherd      default",
      "host_id                    env              environment PGHERD_HOST_ID",
      "orchestrator               baremetal        default",
    ]);
    expect(loaded.settings.find(({ name }) => name === "http.port")?.origin).toBe(
      "flag --http.port",
    );
  });

  test("a file may be JSON", () => {
    const json = '{"data_dir":"/d","postgres":{"bin_dirs":["/a","/b"]},"http":{"port":0}}';
    expect(config({ file: json }).config.postgres.bin_dirs).toEqual(["/a", "/b"]);
  });

  test("lists are separated by commas, and flags add up", () => {
    const environment = { PGHERD_CLIENT_ADDRESSES: "10.0.0.1, db.example.org" };
    const flags = ["--data-dir", "d", "--postgres.bin-dirs", "/a,b", "--postgres.bin-dirs=/c"];
    const { config: result } = config({ environment, flags });
    expect(result.client_addresses).toEqual(["10.0.0.1", "db.example.org"]);
    expect(result.postgres.bin_dirs).toEqual(["/a", "/home/me/b", "/c"]);
    expect(result.data_dir).toBe("/home/me/d");
  });

  test("levels of components come from everywhere", () => {
    const { config: result, settings } = config({
      file: "data_dir: /d\nlogging:\n  component_levels:\n    http: warn\n    store: info\n",
      environment: { PGHERD_LOGGING__COMPONENT_LEVELS__HTTP: "debug" },
      flags: ["--logging.component_levels.worker=trace", "-l", "error", "-p"],
    });
    expect(result.logging).toEqual({
      level: "error",
      pretty: true,
      component_levels: { http: "debug", store: "info", worker: "trace" },
    });
    expect(settings.filter(({ name }) => name.startsWith("logging."))).toHaveLength(5);
  });

  test.each([
    [["--logging.pretty"], true],
    [["--logging.pretty", "false"], false],
    [["--logging.pretty=0"], false],
    [["--logging.pretty", "--http.port", "1"], true],
  ])("the switch %j is %p", (flags, expected) => {
    const { config: result } = config({ flags: ["--data-dir", "/d", ...flags] });
    expect(result.logging.pretty).toBe(expected);
  });

  test("the path of the file may be a flag", () => {
    for (const flags of [["-c", "f"], ["--config", "f"], ["--config-path=f"]]) {
      expect(flagSource(flags, "/home/me").file).toBe("f");
    }
  });

  test("variables of the command line and empty ones are not ours", () => {
    const environment = {
      PGHERD_SERVER: "http://x",
      PGHERD_CONTEXT: "prod",
      PGHERD_QUICKSTART_PORT: "1",
      PGHERD_HOST_ID: "",
    };
    expect(config({ environment, flags: ["--data-dir", "/d"] }).config.host_id).toBe("db1");
  });
});

describe("problems", () => {
  test("are found all at once, each with its place", () => {
    const lines = problems({
      file: "htpp:\n  port: 3000\nhttp:\n  port: many\n  prot: 1\nrandom_ports: 5\n",
      environment: { PGHERD_HOSTID: "x", PGHERD_LOGGING__LEVEL: "loud" },
      flags: ["stray", "--orchestrator", "docker", "--tenant-id"],
    });
    expect(lines).toEqual([
      "htpp: is no key of the configuration (file /etc/pgherd/pgherd.yaml)",
      "http.prot: is no key of the configuration (file /etc/pgherd/pgherd.yaml): did you mean http.port?",
      "random_ports: must hold keys and values (file /etc/pgherd/pgherd.yaml)",
      "hostid: is no key of the configuration (environment PGHERD_HOSTID): did you mean host_id?",
      "unexpected argument stray",
      "tenant_id: needs a value (flag --tenant-id)",
      "data_dir: is required: set it with --data_dir, PGHERD_DATA_DIR or in the file",
      "orchestrator: must be one of baremetal, systemd, detached (flag --orchestrator)",
      "http.port: must be an integer (file /etc/pgherd/pgherd.yaml)",
      "logging.level: must be one of trace, debug, info, warn, error, fatal (environment PGHERD_LOGGING__LEVEL)",
    ]);
  });

  test("keys of other servers say what to use", () => {
    const file = "data_dir: /d\nmqtt: {enabled: true}\nsystemd: {instance_data_dir: /p}\n";
    expect(problems({ file, environment: { PGHERD_PROFILING_ENABLED: "true" } })).toEqual([
      "mqtt: is not supported by this version (file /etc/pgherd/pgherd.yaml): use HTTP",
      "systemd.instance_data_dir: is not supported by this version (file /etc/pgherd/pgherd.yaml): it is called postgres.instance_dir",
      "profiling_enabled: is not supported by this version (environment PGHERD_PROFILING_ENABLED): there is no profiler",
    ]);
  });

  test("swarm is for later", () => {
    const flags = ["--data-dir", "/d", "--orchestrator", "swarm"];
    expect(problems({ flags })).toEqual([
      "orchestrator: swarm is not available in this version: leave it out",
    ]);
  });

  test.each([
    [["--host-id", "Db1"], "host_id: must be 1 to 36 lower-case letters"],
    [["--random_ports.min", "9000", "--random_ports.max", "8000"], "random_ports.min: must not be"],
    [["--random_ports.min", "80"], "random_ports.min: must be at least 1024"],
    [["--http.port", "65536"], "http.port: must be at most 65535"],
    [["--http.bind_addr", "http://x"], "http.bind_addr: must be an IP address or a host name"],
    [["--peer_addresses", "10.0.0.1,10.0.0.300"], "peer_addresses[1]: must be an IP address"],
    [["--postgres.user", "root"], "postgres.user: PostgreSQL refuses to run as root"],
    [["--stop_grace_period_seconds", "-1"], "stop_grace_period_seconds: must be at least 0"],
  ])("%j is refused", (flags, expected) => {
    const [line, ...rest] = problems({ flags: ["--data-dir", "/d", ...flags] });
    expect(line).toStartWith(expected);
    expect(rest).toEqual([]);
  });

  test("only root may choose a user", () => {
    const flags = ["--data-dir", "/d", "--postgres.user", "postgres"];
    expect(problems({ flags, machine: { ...MACHINE, uid: 1000 } })).toEqual([
      "postgres.user: only root can run PostgreSQL as another user (flag --postgres.user)",
    ]);
  });

  test("a path in a file must be absolute", () => {
    expect(problems({ file: "data_dir: d" })).toEqual([
      "data_dir: must match ^/ (file /etc/pgherd/pgherd.yaml)",
    ]);
  });

  test.each([
    ["a: [", "/etc/pgherd/pgherd.yaml: "],
    ["- a", "/etc/pgherd/pgherd.yaml: must hold keys and values"],
    ["host_id: a\nhost_id: b", "/etc/pgherd/pgherd.yaml: Map keys must be unique"],
  ])("the file %j cannot be read", (file, expected) => {
    expect(problems({ file, flags: ["--data-dir", "/d"] })[0]).toStartWith(expected);
  });
});

test("every key says what it is", () => {
  for (const line of renderKeys().trimEnd().split("\n")) {
    expect(line).toMatch(/^ {2}--[a-z_.]+ +\S/);
  }
});
