// Real servers of the compiled binary, each a host of its own at a loopback address, driven through HTTP.
// A host can be killed with all that keeps running without its server, as when its machine loses power.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, type Body, binary, eventually, installations } from "../e2e/harness.ts";
import { listeningNowhere, processesOf } from "./processes.ts";

const FINAL = ["completed", "failed", "canceled"];
/** Of each log, in an error. */
const EVIDENCE_LINES = 60;

/** One host: its server's configuration and process. */
export class TestHost {
  readonly id: string;
  readonly address: string;
  readonly directory: string;
  port = 0;
  #config: Record<string, unknown>;
  #child: ReturnType<typeof Bun.spawn> | undefined;

  constructor(parent: string, index: number, config: Readonly<Record<string, unknown>>) {
    this.id = `h${index}`;
    this.address = `127.0.0.${index}`;
    this.directory = join(parent, this.id);
    mkdirSync(this.directory, { recursive: true });
    chmodSync(this.directory, 0o755);
    this.#config = config;
  }

  get dataDir(): string {
    return join(this.directory, "data");
  }

  get url(): string {
    return `http://${this.address}:${this.port}`;
  }

  /** Takes effect at the next start. */
  configure(change: Readonly<Record<string, unknown>>): void {
    this.#config = { ...this.#config, ...change };
  }

  /** Starts the server and waits until it answers, not until it serves. */
  async start(flags: readonly string[] = []): Promise<void> {
    if (this.port === 0) this.port = await listeningNowhere(this.address);
    const config = {
      host_id: this.id,
      data_dir: this.dataDir,
      run_dir: join(this.directory, "run"),
      http: { bind_addr: this.address, port: this.port },
      peer_addresses: [this.address],
      client_addresses: [this.address],
      orchestrator: "detached",
      postgres: {
        instance_dir: join(this.directory, "pg"),
        bin_dirs: installations().map(({ binDir }) => binDir),
      },
      random_ports: { min: 21_000, max: 29_000 },
      logging: { level: "debug" },
      ...this.#config,
    };
    const file = join(this.directory, "pgherd.json");
    writeFileSync(file, JSON.stringify(config));
    const log = Bun.file(join(this.directory, `server-${Date.now()}.log`));
    this.#child = Bun.spawn([binary, "server", "run", "--config", file, ...flags], {
      cwd: this.directory,
      env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/root" },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    const child = this.#child;
    await eventually(`${this.id} answers`, async () => {
      if (child.exitCode !== null) throw new Error(`${this.id} ended: ${this.log()}`);
      const answer = await this.get("/livez").catch(() => undefined);
      return answer?.status === 200 ? true : undefined;
    });
  }

  /** Waits until the server has a store with a leader. */
  async ready(): Promise<void> {
    await eventually(
      `${this.id} is ready`,
      async () => ((await this.get("/readyz")).status === 200 ? true : undefined),
      40_000,
    );
  }

  /** Ends only the server: what it started goes on. */
  async killServer(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  async stopServer(): Promise<number> {
    this.#child?.kill("SIGTERM");
    return (await this.#child?.exited) ?? -1;
  }

  /** Ends everything of the host at once, as a loss of power does. */
  async kill(): Promise<void> {
    const victims = processesOf(this.directory);
    for (const pid of victims) signal(pid, "SIGKILL");
    await this.#child?.exited;
    await eventually(`${this.id} is dead`, () =>
      processesOf(this.directory).length === 0 ? true : undefined,
    );
  }

  /** To this host's rqlited alone. */
  signalStore(name: NodeJS.Signals): void {
    for (const { pid } of this.#stores()) signal(pid, name);
  }

  /** The command line of this host's rqlited, which runs. */
  storeArguments(): readonly string[] {
    const [store] = this.#stores();
    if (!store) throw new Error(`no rqlited runs on ${this.id}`);
    return store.argv;
  }

  #stores() {
    return processesOf(this.directory).flatMap((pid) => {
      const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
      return argv[0]?.includes("rqlited") ? [{ pid, argv }] : [];
    });
  }

  log(): string {
    const names = new Bun.Glob("server-*.log").scanSync(this.directory);
    return [...names].map((name) => readFileSync(join(this.directory, name), "utf8")).join("");
  }

  get(path: string): Promise<Answer> {
    return this.request("GET", path);
  }

  post(path: string, body?: unknown): Promise<Answer> {
    return this.request("POST", path, body);
  }

  async request(method: string, path: string, body?: unknown, timeoutMs = 90_000): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") ?? false;
    return {
      status: response.status,
      headers: response.headers,
      body: isJson && text ? JSON.parse(text) : text,
    };
  }

  /** `id: state` of every host, as this one tells it. */
  async hosts(): Promise<Readonly<Record<string, string>>> {
    const { body } = await this.get("/v1/hosts");
    return Object.fromEntries(body.hosts.map((host: Body) => [host.id, host.status.state]));
  }

  /** Waits until a task is final; every server may be away for a while. */
  async finished(task: Body, timeoutMs = 120_000): Promise<Body> {
    const scope = task.scope === "host" ? "hosts" : "databases";
    return eventually(
      `task ${task.type} ${task.task_id} is final`,
      async () => {
        const path = `/v1/${scope}/${task.entity_id}/tasks/${task.task_id}`;
        const answer = await this.get(path).catch(() => undefined);
        return answer && FINAL.includes(answer.body.status) ? answer.body : undefined;
      },
      timeoutMs,
    );
  }

  /** The file with the passwords of the store, as text. */
  storeAuth(): string {
    return readFileSync(join(this.dataDir, "rqlited/auth.json"), "utf8");
  }

  membership(): Body {
    return JSON.parse(readFileSync(join(this.dataDir, "membership.json"), "utf8"));
  }

  /** Asks this host's member of the store itself, as a server of the cluster does. */
  async store(path: string, init: { method?: string; body?: string } = {}): Promise<Answer> {
    const auth = JSON.parse(readFileSync(join(this.dataDir, "rqlited/auth.json"), "utf8"));
    const { username, password } = auth[0];
    const file = (name: string) => readFileSync(join(this.dataDir, "certificates", name), "utf8");
    const { url } = this.membership().members.find((member: Body) => member.id === this.id);
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Basic ${btoa(`${username}:${password}`)}` },
      tls: { ca: file("ca.crt"), cert: file("host.crt"), key: file("host.key") },
      signal: AbortSignal.timeout(5_000),
    });
    const text = await response.text();
    const isJson = text.startsWith("{") || text.startsWith('"');
    return {
      status: response.status,
      headers: response.headers,
      body: isJson ? JSON.parse(text) : text,
    };
  }

  /** What its member of the store knows of the others, and what its server said of the cluster; for errors. */
  async storeEvidence(): Promise<string> {
    const nodes = await this.store("/nodes?nonvoters&ver=2").catch((thrown: unknown) => ({
      body: String(thrown),
    }));
    const said = this.log()
      .split("\n")
      .filter((line) => /vote|left behind|went on without|rqlited/.test(line))
      .slice(-EVIDENCE_LINES);
    const store = readFileSync(join(this.dataDir, "rqlited/rqlited.log"), "utf8")
      .split("\n")
      .slice(-EVIDENCE_LINES);
    return [`${this.id}: ${JSON.stringify(nodes.body)}`, ...said, ...store].join("\n");
  }

  async leads(): Promise<boolean> {
    const { body } = await this.store("/status?key=store.raft.state");
    return body === "Leader";
  }
}

/** Several hosts below one directory. */
export class TestCluster {
  readonly directory = mkdtempSync(join(tmpdir(), "pgherd-cluster-"));
  readonly hosts: TestHost[] = [];
  token: Body;

  constructor() {
    chmodSync(this.directory, 0o755);
  }

  host(index: number): TestHost {
    const host = this.hosts[index - 1];
    if (!host) throw new Error(`there is no host ${index}`);
    return host;
  }

  /** A started server that belongs to no cluster yet. */
  async add(
    config: Readonly<Record<string, unknown>> = {},
    flags: readonly string[] = [],
  ): Promise<TestHost> {
    const host = new TestHost(this.directory, this.hosts.length + 1, config);
    this.hosts.push(host);
    await host.start(flags);
    return host;
  }

  /** The given number of members, all of them voters. */
  static async of(size: number): Promise<TestCluster> {
    const cluster = new TestCluster();
    for (let index = 0; index < size; index++) await cluster.add();
    await cluster.init();
    for (const host of cluster.hosts.slice(1)) await cluster.join(host);
    return cluster;
  }

  async init(): Promise<void> {
    const { status, body } = await this.host(1).post("/v1/cluster/init");
    if (status !== 200) throw new Error(`init: ${status} ${JSON.stringify(body)}`);
    const { recovery_key: _, ...token } = body;
    this.token = token;
  }

  async join(host: TestHost): Promise<void> {
    const { status, body } = await host.post("/v1/cluster/join", this.token);
    if (status !== 204) {
      throw new Error(`${host.id} joins: ${status} ${JSON.stringify(body)}\n${host.log()}`);
    }
  }

  /** The host whose member leads the store. */
  leader(among: readonly TestHost[] = this.hosts): Promise<TestHost> {
    return eventually("the store has a leader", async () => {
      for (const host of among) if (await host.leads().catch(() => false)) return host;
      return undefined;
    });
  }

  async destroy(): Promise<void> {
    for (const host of this.hosts) await host.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (thrown) {
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ESRCH")) throw thrown;
  }
}
