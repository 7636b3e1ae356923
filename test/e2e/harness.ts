// A real server of the compiled binary with real PostgreSQL, driven only through HTTP.
// Everything lives under one directory and is ended by process id, also when a test fails.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";

export const binary = process.env.PGHERD_BINARY ?? join(import.meta.dir, "../../dist/pgherd");

/** PostgreSQL installations to run the suite on: Debian's own and what scripts/fetch-postgres.sh got. */
export function installations(): { readonly major: number; readonly binDir: string }[] {
  const parents = [
    "/usr/lib/postgresql",
    "/var/cache/pgherd/postgres",
    `${process.env.HOME ?? "/root"}/.cache/pgherd/postgres`,
  ];
  const found = new Map<number, string>();
  for (const parent of parents) {
    for (const name of existsSync(parent) ? readdirSync(parent) : []) {
      const binDir = join(parent, name, "bin");
      if (/^\d+$/.test(name) && existsSync(join(binDir, "initdb")) && !found.has(Number(name)))
        found.set(Number(name), binDir);
    }
  }
  return [...found].map(([major, binDir]) => ({ major, binDir })).sort((a, b) => a.major - b.major);
}

/** Waits until `probe` gives a value, or throws with `what` after the bound. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 20_000,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await Bun.sleep(25);
  }
}

/** A port that nothing listens on at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address
          ? resolve(address.port)
          : reject(new Error("no port")),
      );
    });
  });
}

// Answers are checked field by field, whatever their shape.
export type Body = ReturnType<typeof JSON.parse>;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export interface ServerOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A process of the machine whose command line or working directory mentions the sandbox. */
export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

export class Sandbox {
  readonly directory: string;
  readonly port: number;
  #child: ReturnType<typeof Bun.spawn> | undefined;
  readonly #options: ServerOptions;

  private constructor(directory: string, port: number, options: ServerOptions) {
    this.directory = directory;
    this.port = port;
    this.#options = options;
  }

  /** Starts a server in a new directory; not yet initialised. */
  static async start(options: ServerOptions = {}): Promise<Sandbox> {
    const directory = mkdtempSync(join(tmpdir(), "pgherd-e2e-"));
    chmodSync(directory, 0o755);
    const sandbox = new Sandbox(directory, await freePort(), options);
    const config = {
      host_id: "h1",
      data_dir: join(directory, "data"),
      run_dir: join(directory, "run"),
      http: { bind_addr: "127.0.0.1", port: sandbox.port },
      orchestrator: "detached",
      postgres: {
        instance_dir: join(directory, "pg"),
        bin_dirs: installations().map(({ binDir }) => binDir),
      },
      random_ports: { min: 21_000, max: 29_000 },
      ...options.config,
    };
    mkdirSync(join(directory, "data"), { recursive: true });
    writeFileSync(join(directory, "pgherd.json"), JSON.stringify(config));
    await sandbox.startServer();
    return sandbox;
  }

  /** A server with a cluster. */
  static async initialised(options: ServerOptions = {}): Promise<Sandbox> {
    const sandbox = await Sandbox.start(options);
    const { status, body } = await sandbox.post("/v1/cluster/init");
    if (status !== 200)
      throw new Error(`init: ${status} ${JSON.stringify(body)}\n${sandbox.log()}`);
    return sandbox;
  }

  /** Starts the server process and waits until it answers. */
  async startServer(): Promise<void> {
    const log = Bun.file(join(this.directory, `server-${Date.now()}.log`));
    this.#child = Bun.spawn(
      [binary, "server", "run", "--config", join(this.directory, "pgherd.json")],
      {
        cwd: this.directory,
        env: {
          PATH: process.env.PATH ?? "",
          HOME: process.env.HOME ?? "/root",
          ...this.#options.env,
        },
        stdin: "ignore",
        stdout: log,
        stderr: log,
      },
    );
    const child = this.#child;
    await eventually(
      "the server answers",
      async () => {
        if (child.exitCode !== null)
          throw new Error(`the server ended with ${child.exitCode}: ${this.log()}`);
        const answer = await this.get("/livez").catch(() => undefined);
        return answer?.status === 200 ? true : undefined;
      },
      15_000,
    ).catch((thrown) => {
      throw new Error(`${thrown}; the log ends with\n${this.log().slice(-4_000)}`);
    });
  }

  /** Waits until the server has its store again after a start. */
  async ready(): Promise<void> {
    await eventually(
      "the server is ready",
      async () => ((await this.get("/readyz")).status === 200 ? true : undefined),
      30_000,
    );
  }

  get serverPid(): number {
    if (!this.#child) throw new Error("no server was started");
    return this.#child.pid;
  }

  /** Ends the server at once, as a crash would. */
  async killServer(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Ends the server in order and gives its exit status. */
  async stopServer(): Promise<number> {
    this.#child?.kill("SIGTERM");
    return (await this.#child?.exited) ?? -1;
  }

  /** What all server processes wrote so far. */
  log(): string {
    const names = readdirSync(this.directory).filter((name) => name.startsWith("server-"));
    return names.map((name) => readFileSync(join(this.directory, name), "utf8")).join("");
  }

  get(path: string): Promise<Answer> {
    return this.request("GET", path);
  }

  post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request("POST", path, body, headers);
  }

  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") ?? false;
    return {
      status: response.status,
      headers: response.headers,
      body: isJson && text ? JSON.parse(text) : text,
    };
  }

  /** Waits until a task is final; survives a server that is away for a while. */
  finished(task: Body, timeoutMs = 90_000): Promise<Body> {
    return eventually(
      `task ${task.task_id} (${task.type}) is final`,
      async () => {
        const answer = await this.get(
          `/v1/databases/${task.entity_id}/tasks/${task.task_id}`,
        ).catch(() => undefined);
        return answer && ["completed", "failed", "canceled"].includes(answer.body.status)
          ? answer.body
          : undefined;
      },
      timeoutMs,
    );
  }

  /** Sends a change and waits for its task, which must complete. Gives the database afterwards. */
  async change(method: "POST" | "DELETE", path: string, body?: unknown): Promise<Body> {
    const answer = await this.request(method, path, body);
    if (answer.status !== 200)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    const task = await this.finished(answer.body.task);
    if (task.status !== "completed") {
      throw new Error(
        `task ${task.type} ${task.status}: ${task.error}\n${await this.taskLog(task)}`,
      );
    }
    return (await this.get(`/v1/databases/${task.entity_id}`)).body;
  }

  async taskLog(task: Body): Promise<string> {
    const { body } = await this.get(`/v1/databases/${task.entity_id}/tasks/${task.task_id}/log`);
    return (body.entries ?? [])
      .map(
        (entry: Body) =>
          `${entry.timestamp} ${entry.message} ${JSON.stringify(entry.fields ?? {})}`,
      )
      .join("\n");
  }

  create(id: string, spec: Body): Promise<Body> {
    return this.change("POST", "/v1/databases", { id, spec });
  }

  update(id: string, spec: Body, query = ""): Promise<Body> {
    return this.change("POST", `/v1/databases/${id}${query}`, { spec });
  }

  /** Processes that belong to this sandbox: its path is in the command line or is the working directory. */
  processes(pattern = ""): FoundProcess[] {
    const found: FoundProcess[] = [];
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        const cwd = readlinkSync(`/proc/${name}/cwd`);
        const state = readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /, "")[0];
        const ours = command.includes(this.directory) || cwd.startsWith(this.directory);
        if (ours && state !== "Z" && `${command} ${cwd}`.includes(pattern))
          found.push({ pid: Number(name), command });
      } catch (thrown) {
        // The process ended while it was looked at.
        if (!(thrown instanceof Error && "code" in thrown)) throw thrown;
      }
    }
    return found;
  }

  /** Ends everything that was started and removes the directory. */
  async destroy(): Promise<void> {
    if (this.#child && this.#child.exitCode === null) await this.stopServer();
    for (let round = 0; round < 20; round++) {
      const left = this.processes().filter(({ pid }) => pid !== process.pid);
      if (left.length === 0) break;
      for (const { pid } of left) {
        try {
          process.kill(pid, "SIGKILL");
        } catch (thrown) {
          if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ESRCH"))
            throw thrown;
        }
      }
      await Bun.sleep(50);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A connection to an instance as one of the spec's users. */
export async function connect(
  instance: Body,
  user: string,
  password: string,
  database: string,
): Promise<Client> {
  const { addresses, port } = instance.connection_info;
  const client = new Client({
    host: addresses[0],
    port,
    user,
    password,
    database,
    ssl: { rejectUnauthorized: false },
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
  });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** One query on a connection of its own; the rows as arrays. */
export async function query(
  instance: Body,
  user: string,
  password: string,
  database: string,
  sql: string,
): Promise<unknown[][]> {
  const client = await connect(instance, user, password, database);
  try {
    const result = await client.query({ text: sql, rowMode: "array" });
    return result.rows;
  } finally {
    await client.end();
  }
}

/** A small spec of one node; everything can be replaced. */
export function spec(overrides: Body = {}): Body {
  return {
    database_name: "shop",
    port: 0,
    patroni_port: 0,
    nodes: [{ name: "n1", host_ids: ["h1"] }],
    database_users: [
      {
        username: "admin",
        password: "s3cret-pass",
        db_owner: true,
        attributes: ["LOGIN", "CREATEDB"],
      },
    ],
    postgresql_conf: { max_connections: 50, shared_buffers: "32MB" },
    ...overrides,
  };
}
