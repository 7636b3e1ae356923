// One instance with everything real: rqlited, fencer, keeper and PostgreSQL, in directories of its own. The test
// plays the server: it writes configurations and requests, and reads reports and answers.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { asUser, ownUid } from "../../src/host/account.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { renderHba } from "../../src/postgres/hba.ts";
import type {
  InstanceConfig,
  InstanceReport,
  KeeperAnswer,
  KeeperFile,
  KeeperRequest,
} from "../../src/spec/instance-config.ts";
import { migrate } from "../../src/store/migrate.ts";
import { migrations } from "../../src/store/migrations.gen.ts";
import type { Rqlite } from "../../src/store/rqlite.ts";
import { startTestRqlited, type TestRqlited } from "./rqlited.ts";

export const postgresBin = "/usr/lib/postgresql/15/bin";
export const postgresUser = ownUid() === 0 ? "postgres" : null;
const waitMaxMs = 15_000;

/** A PostgreSQL to test with. */
export interface TestServer {
  readonly major: number;
  readonly binDir: string;
}
const debianServer: TestServer = { major: 15, binDir: postgresBin };

/** Further majors that scripts/fetch-postgres.sh brought. */
export function fetchedServers(): readonly TestServer[] {
  const cache = join(homedir(), ".cache/pgherd/postgres");
  const parents = [process.env.PGHERD_POSTGRES_DIR, "/var/cache/pgherd/postgres", cache];
  return [16, 17, 18].flatMap((major) => {
    const binDir = parents
      .filter((parent) => parent !== undefined)
      .map((parent) => `${parent}/${major}/bin`)
      .find((path) => existsSync(`${path}/initdb`));
    return binDir === undefined ? [] : [{ major, binDir }];
  });
}

/** The compiled binary when one is given, the sources otherwise. */
function agent(name: "keeper" | "fencer"): string[] {
  const binary = process.env.PGHERD_TEST_BINARY;
  return binary ? [binary, name] : [process.execPath, join(import.meta.dir, `${name}-process.ts`)];
}

/** Who an instance is, and what makes its certificates. */
export interface KeptIdentity {
  readonly id: string;
  readonly hostId: string;
  readonly certify: (directory: string) => void;
}
const alone: KeptIdentity = {
  id: "shop-n1-0f3k2m1q",
  hostId: "host-1",
  certify: (directory) => makeCertificate(directory),
};

export class KeptInstance {
  readonly directory = mkdtempSync(join(tmpdir(), "pgherd-keeper-"));
  readonly id: string;
  readonly file: KeeperFile;
  readonly #identity: KeptIdentity;
  readonly rqlited: TestRqlited;
  readonly #store: Rqlite;
  readonly #port: number;
  readonly restPort: number;
  #generation = 0;
  #requests = 0;
  keeper: Bun.Subprocess | undefined;
  fencer: Bun.Subprocess | undefined;

  readonly #server: TestServer;

  private constructor(rqlited: TestRqlited, identity: KeptIdentity, server: TestServer) {
    this.rqlited = rqlited;
    this.#identity = identity;
    this.id = identity.id;
    this.#server = server;
    this.#store = rqlited.client();
    [this.#port, this.restPort] = freePorts();
    this.file = this.#makeFile();
  }

  /** Everything but the agents runs. */
  static async prepare(server: TestServer = debianServer): Promise<KeptInstance> {
    const rqlited = await startTestRqlited();
    await migrate({ rqlite: rqlited.client(), clock: systemClock }, migrations);
    return KeptInstance.join(rqlited, alone, server);
  }

  /** One more instance in a store that has its tables. */
  static async join(
    rqlited: TestRqlited,
    identity: KeptIdentity,
    server: TestServer = debianServer,
  ): Promise<KeptInstance> {
    const made = new KeptInstance(rqlited, identity, server);
    await made.#insertInstance();
    return made;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.restPort}`;
  }

  startFencer(): void {
    this.fencer = this.#spawn("fencer");
  }

  /** `env`: fault points, see fault-point.ts. */
  startKeeper(env: Readonly<Record<string, string>> = {}): void {
    this.keeper = this.#spawn("keeper", { env });
  }

  /** kill -9, and waits for its end. */
  async killKeeper(): Promise<void> {
    this.keeper?.kill("SIGKILL");
    await this.keeper?.exited;
  }

  /** Every process of PostgreSQL dies, without the fencer. */
  async killPostgres(): Promise<void> {
    await this.#spawn("fencer", { more: ["--kill"] }).exited;
  }

  /** A configuration of the next generation; `parameters` on top of a small server's. */
  config(change: Partial<InstanceConfig> = {}): InstanceConfig {
    this.#generation += 1;
    const parameters = {
      fsync: "off",
      shared_buffers: "16MB",
      max_connections: "20",
      log_filename: "postgresql-%a.log",
      logging_collector: "on",
      shared_preload_libraries: "pg_stat_statements",
      ssl: "on",
      ssl_ca_file: `${this.file.layout.certificate_dir}/ca.crt`,
      ssl_cert_file: `${this.file.layout.certificate_dir}/server.crt`,
      ssl_key_file: `${this.file.layout.certificate_dir}/server.key`,
      ...change.parameters,
    };
    return {
      generation: this.#generation,
      instance_id: this.id,
      database_id: "shop",
      node_name: "n1",
      host_id: this.#identity.hostId,
      database_name: "shop",
      postgres_major: this.#server.major,
      bin_dir: this.#server.binDir,
      run: "running",
      port: this.#port,
      rest_port: this.restPort,
      listen_addresses: ["127.0.0.1"],
      connect_addresses: ["127.0.0.1"],
      hba: renderHba({ systemAddresses: ["127.0.0.1"], nodeAndDatabaseLines: [] }),
      ident: [],
      restart_generation: 0,
      ...change,
      parameters,
    };
  }

  /** Writes the configuration as a step does. */
  async configure(config: InstanceConfig): Promise<void> {
    await this.#write(
      "UPDATE instances SET config = ?, generation = ? WHERE id = ?",
      JSON.stringify(config),
      config.generation,
      this.id,
    );
  }

  /** Configures and waits until it is in effect. */
  async apply(config: InstanceConfig): Promise<InstanceReport> {
    await this.configure(config);
    return this.untilReport((report) => report.applied_generation === config.generation);
  }

  /** Writes a request as a step does; answers its id. */
  async ask(request: KeeperRequest): Promise<string> {
    this.#requests += 1;
    const id = `task-1:${this.id}:${this.#requests}`;
    await this.#write(
      `INSERT INTO keeper_requests (id, instance_id, generation, payload, state, created_at_ms)
       VALUES (?, ?, ?, ?, 'pending', ?)`,
      id,
      this.id,
      0,
      JSON.stringify(request),
      this.#requests,
    );
    return id;
  }

  async answerTo(requestId: string): Promise<KeeperAnswer> {
    return until(`an answer to ${requestId}`, async () => {
      const row = await this.read("SELECT answer FROM keeper_requests WHERE id = ?", requestId);
      return typeof row?.[0] === "string" ? JSON.parse(row[0]) : undefined;
    });
  }

  async request(request: KeeperRequest): Promise<KeeperAnswer> {
    return this.answerTo(await this.ask(request));
  }

  async report(): Promise<InstanceReport | undefined> {
    const row = await this.read(
      "SELECT report FROM instance_reports WHERE instance_id = ?",
      this.id,
    );
    return typeof row?.[0] === "string" ? JSON.parse(row[0]) : undefined;
  }

  async untilReport(wanted: (report: InstanceReport) => boolean): Promise<InstanceReport> {
    let last: InstanceReport | undefined;
    try {
      return await until("a report", async () => {
        last = await this.report();
        return last && wanted(last) ? last : undefined;
      });
    } catch (error) {
      throw new Error(`last report: ${JSON.stringify(last)}\n${this.logs()}`, { cause: error });
    }
  }

  /** Rows of psql as lines, over the unix socket as the superuser. */
  async query(sql: string, database = "postgres"): Promise<string> {
    return this.psql(["-h", this.file.layout.run_dir, "-U", "pgedge", "-d", database], sql);
  }

  async psql(options: readonly string[], sql: string, password?: string): Promise<string> {
    const all = ["-XqAt", "-p", String(this.#port), ...options, "-c", sql];
    const child = Bun.spawn([...asUser([`${postgresBin}/psql`, ...all], postgresUser)], {
      cwd: "/",
      env: {
        PATH: "/usr/bin:/bin",
        PGCONNECT_TIMEOUT: "3",
        ...(password ? { PGPASSWORD: password } : {}),
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, error] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    if ((await child.exited) !== 0) throw new Error(error.trim());
    return out.trim();
  }

  /** A consumer of a physical slot, until it is killed. */
  receive(slot: string): Bun.Subprocess {
    const into = mkdtempSync(join(this.directory, "received-"));
    if (postgresUser) Bun.spawnSync(["chown", postgresUser, into]);
    const { run_dir } = this.file.layout;
    const place = ["-h", run_dir, "-p", String(this.#port), "-U", "pgedge"];
    const argv = [...place, "-S", slot, "-D", into];
    const all = asUser([`${this.#server.binDir}/pg_receivewal`, ...argv], postgresUser);
    return Bun.spawn([...all], { cwd: "/", stdin: "ignore", stderr: "ignore" });
  }

  /** Everything that was logged: keeper, fencer, PostgreSQL. */
  logs(): string {
    const { log_dir } = this.file.layout;
    const names = [`${this.directory}/keeper.log`, `${this.directory}/fencer.log`];
    const server = Array.from(
      new Bun.Glob("*.log").scanSync(log_dir),
      (name) => `${log_dir}/${name}`,
    );
    return [...names, ...server].map((path) => readText(path)).join("\n");
  }

  async close(): Promise<void> {
    await this.leave();
    await this.rqlited.dispose();
  }

  /** Ends its processes and removes its files; the store stays. */
  async leave(): Promise<void> {
    await this.killKeeper();
    this.fencer?.kill("SIGKILL");
    await this.fencer?.exited;
    await this.#spawn("fencer", { more: ["--kill"] }).exited;
    rmSync(this.directory, { recursive: true, force: true });
  }

  #makeFile(): KeeperFile {
    const base = `${this.directory}/base`;
    const layout = {
      base_dir: base,
      data_dir: `${base}/data`,
      config_dir: `${base}/configs`,
      certificate_dir: `${base}/certificates`,
      run_dir: `${this.directory}/run`,
      log_dir: `${base}/log`,
      keeper_file: `${this.directory}/keeper.json`,
      fencer_socket: `${this.directory}/run/fencer.sock`,
    };
    chmodSync(this.directory, 0o755);
    for (const path of [base, layout.config_dir, layout.certificate_dir, layout.log_dir]) {
      mkdirSync(path);
      if (postgresUser) Bun.spawnSync(["chown", postgresUser, path]);
    }
    this.#identity.certify(layout.certificate_dir);
    const { username, password } = this.rqlited.rqlited.users.keeper;
    writeFileSync(`${this.directory}/password`, password.reveal(), { mode: 0o600 });
    const file = {
      instance_id: this.id,
      database_id: "shop",
      node_name: "n1",
      host_id: this.#identity.hostId,
      layout,
      postgres_user: postgresUser,
      store_urls: [this.rqlited.rqlited.url],
      store_username: username,
      store_password_file: `${this.directory}/password`,
      log_level: "debug",
    };
    writeFileSync(layout.keeper_file, JSON.stringify(file), { mode: 0o600 });
    return file;
  }

  #spawn(
    name: "keeper" | "fencer",
    { more = [], env = {} }: { more?: string[]; env?: Readonly<Record<string, string>> } = {},
  ): Bun.Subprocess {
    const log = `${this.directory}/${name}.log`;
    const argv = [...agent(name), "--file", this.file.layout.keeper_file, ...more];
    const shell = ["/bin/sh", "-c", 'log="$1"; shift; exec "$@" >>"$log" 2>&1', "sh", log];
    return Bun.spawn([...shell, ...argv], {
      stdin: "ignore",
      detached: true,
      env: { ...process.env, ...env },
    });
  }

  #insertInstance(): Promise<void> {
    return this.#write(
      `INSERT INTO instances (id, database_id, node_name, host_id, state, generation, created_at_ms, updated_at_ms)
       VALUES (?, 'shop', 'n1', ?, 'creating', 0, 0, 0)`,
      this.id,
      this.#identity.hostId,
    );
  }

  async #write(sql: string, ...params: readonly (string | number)[]): Promise<void> {
    const bump = { sql: "UPDATE changes SET version = version + 1", params: [] };
    await this.#store.request([{ sql, params }, bump], { transaction: true });
  }

  /** The first row of a query to the store. */
  async read(sql: string, ...params: readonly string[]): Promise<readonly unknown[] | undefined> {
    return (await this.#store.request([{ sql, params }]))[0]?.rows[0];
  }
}

/** An executor of this host. */
export function localExecutor(): LocalExecutor {
  return new LocalExecutor("host-1", systemClock);
}

/** Waits until the attempt answers something, for 15 seconds at most unless another limit is given. */
export async function until<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
  limitMs = waitMaxMs,
): Promise<T> {
  const endMs = systemClock.monotonicMs() + limitMs;
  for (;;) {
    const found = await attempt();
    if (found !== undefined) return found;
    if (systemClock.monotonicMs() > endMs) throw new Error(`waited in vain for ${what}`);
    await systemClock.sleep(20);
  }
}

/** Two ports that are free now. */
export function freePorts(): [number, number] {
  const servers = [0, 0].map(() =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }),
  );
  const [first = 0, second = 0] = servers.map((server) => server.port);
  for (const server of servers) server.stop(true);
  return [first, second];
}

/** A server certificate that is its own authority. */
export function makeCertificate(directory: string, days = 30): void {
  const sign = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const files = ["-keyout", `${directory}/server.key`, "-out", `${directory}/server.crt`];
  const subject = ["-subj", "/CN=localhost", "-days", String(days)];
  Bun.spawnSync(["openssl", "req", ...sign, ...files, ...subject], { stderr: "ignore" });
  Bun.spawnSync(["cp", `${directory}/server.crt`, `${directory}/ca.crt`]);
  Bun.spawnSync(["chmod", "0600", `${directory}/server.key`]);
  if (postgresUser) Bun.spawnSync(["chown", "-R", postgresUser, directory]);
}

function readText(path: string): string {
  return readFileSync(path, { encoding: "utf8", flag: "a+" });
}
