// Real PostgreSQLs of one node without keepers: directories, certificates and configurations as on hosts, and the
// mechanics of standbys for each. Tests play the controller.
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { renderConfiguration } from "../../agents/keeper/configuration-files.ts";
import { openSession, type SqlSession } from "../../agents/keeper/sql.ts";
import type { Peer, StandbyMechanics } from "../../agents/keeper/standby/mechanics.ts";
import type { StandbyDeps } from "../../agents/keeper/standby/places.ts";
import { ensureSlots } from "../../agents/keeper/standby/slots.ts";
import { createStandbyMechanics } from "../../agents/keeper/standby/standby.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger, LogLevels } from "../../src/base/log.ts";
import { systemRng } from "../../src/base/rng.ts";
import { asUser, ownUid } from "../../src/host/account.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { type Authority, createAuthority } from "../../src/pki/authority.ts";
import { initdbArgv, postgresArgv } from "../../src/postgres/commands.ts";
import { renderHba } from "../../src/postgres/hba.ts";
import { type ReplicationRole, renderConninfo } from "../../src/postgres/recovery.ts";
import { memberApplicationName, memberSlotName } from "../../src/postgres/replication.ts";
import { builtInRoleStatements } from "../../src/postgres/sql/built-in-roles.ts";
import type { InstanceConfig, KeeperFile } from "../../src/spec/instance-config.ts";

export const postgresUser = ownUid() === 0 ? "postgres" : null;
const waitMaxMs = 30_000;

/** A PostgreSQL with the tools that standbys need. */
export interface CompleteServer {
  readonly major: number;
  readonly binDir: string;
}

/** Majors that are here with pg_basebackup; scripts/fetch-postgres.sh --complete brings those that Debian lacks. */
export function completeServers(): readonly CompleteServer[] {
  const cache = join(homedir(), ".cache/pgherd/postgres");
  const parents = [process.env.PGHERD_POSTGRES_DIR, "/var/cache/pgherd/postgres", cache];
  return [15, 16, 17, 18].flatMap((major) => {
    const binDir = [
      `/usr/lib/postgresql/${major}/bin`,
      ...parents.filter((parent) => parent !== undefined).map((p) => `${p}/complete/${major}/bin`),
    ].find((path) => existsSync(`${path}/pg_basebackup`) && existsSync(`${path}/initdb`));
    if (binDir !== undefined) return [{ major, binDir }];
    console.log(`PostgreSQL ${major} is skipped: scripts/fetch-postgres.sh --complete ${major}`);
    return [];
  });
}

/** The members of one node. `close` ends and removes everything. */
export class StandbyBench {
  readonly directory = mkdtempSync(join(tmpdir(), "pgherd-standby-"));
  readonly server: CompleteServer;
  readonly #authority: Authority;
  readonly members: Member[] = [];
  systemIdentifier = "";

  private constructor(server: CompleteServer, authority: Authority) {
    this.server = server;
    this.#authority = authority;
    chmodSync(this.directory, 0o755);
  }

  static async open(server: CompleteServer): Promise<StandbyBench> {
    const authority = await createAuthority("test", systemClock.nowMs(), systemRng);
    return new StandbyBench(server, authority);
  }

  /** Directories and certificates of a further member; no data yet. */
  async member(): Promise<Member> {
    const member = new Member(this, `shop-n1-0000000${this.members.length + 1}`);
    this.members.push(member);
    await member.certify(this.#authority);
    return member;
  }

  /** A member with a new cluster that runs as primary. */
  async primary(parameters: Readonly<Record<string, string>> = {}): Promise<Member> {
    const member = await this.member();
    member.parameters = { ...member.parameters, ...parameters };
    await member.initialise();
    await member.start({});
    for (const sql of builtInRoleStatements([], this.server.major)) await member.sql(sql);
    const [row] = await member.sql("SELECT system_identifier::text AS id FROM pg_control_system()");
    this.systemIdentifier = String(row?.id);
    return member;
  }

  /** A further member, cloned from one and following it. */
  async standby(of: Member): Promise<Member> {
    const member = await this.member();
    await member.mechanics.cloneFrom(of.peer, { signal: never });
    for (const one of this.members) await one.ensureSlots();
    await member.start({ follow: of });
    await member.untilStreaming();
    return member;
  }

  async close(): Promise<void> {
    for (const member of this.members) await member.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const never = new AbortController().signal;

interface StartOptions {
  readonly follow?: Member | undefined;
  readonly role?: Partial<ReplicationRole>;
}

export class Member {
  readonly bench: StandbyBench;
  readonly id: string;
  readonly file: KeeperFile;
  readonly port = freePort();
  readonly deps: StandbyDeps;
  readonly mechanics: StandbyMechanics;
  parameters: Record<string, string>;
  #postmaster: Bun.Subprocess | undefined;
  #binDir: string;
  #session: SqlSession | undefined;

  constructor(bench: StandbyBench, id: string) {
    this.bench = bench;
    this.id = id;
    this.#binDir = bench.server.binDir;
    const home = `${bench.directory}/${id}`;
    const base = `${home}/base`;
    const layout = {
      base_dir: base,
      data_dir: `${base}/data`,
      config_dir: `${base}/configs`,
      certificate_dir: `${base}/certificates`,
      run_dir: `${home}/run`,
      log_dir: `${base}/log`,
      keeper_file: `${home}/keeper.json`,
      fencer_socket: `${home}/run/fencer.sock`,
    };
    mkdirSync(home);
    for (const path of [
      base,
      layout.config_dir,
      layout.certificate_dir,
      layout.log_dir,
      layout.run_dir,
    ]) {
      mkdirSync(path);
      own(path);
    }
    this.file = {
      instance_id: id,
      database_id: "shop",
      node_name: "n1",
      host_id: "host-1",
      layout,
      postgres_user: postgresUser,
      store_urls: [],
      store_username: "",
      store_password_file: "",
      log_level: "info",
    };
    this.parameters = {
      fsync: "off",
      shared_buffers: "16MB",
      max_connections: "20",
      max_wal_senders: "10",
      archive_mode: "on",
      archive_command: "/bin/true",
      wal_level: "logical",
      wal_log_hints: "on",
      wal_sender_timeout: "5s",
      wal_retrieve_retry_interval: "200ms",
      hot_standby_feedback: "on",
      log_line_prefix: "%m [%p] ",
      ssl: "on",
      ssl_ca_file: `${layout.certificate_dir}/ca.crt`,
      ssl_cert_file: `${layout.certificate_dir}/server.crt`,
      ssl_key_file: `${layout.certificate_dir}/server.key`,
    };
    const options = {
      clock: systemClock,
      levels: new LogLevels("debug"),
      write: (line: string) => this.lines.push(line),
    };
    this.deps = {
      executor: new LocalExecutor("host-1", systemClock),
      clock: systemClock,
      nonce: randomUUID,
      log: createLogger(options, "standby", {}),
      file: this.file,
      server: () => ({ ...bench.server, binDir: this.#binDir }),
    };
    this.mechanics = createStandbyMechanics(this.deps);
  }

  /** What the mechanics logged. */
  readonly lines: string[] = [];

  get peer(): Peer {
    return { instanceId: this.id, addresses: ["127.0.0.1"], port: this.port };
  }

  get dataDir(): string {
    return this.file.layout.data_dir;
  }

  get config(): InstanceConfig {
    return {
      generation: 1,
      instance_id: this.id,
      database_id: "shop",
      node_name: "n1",
      host_id: "host-1",
      database_name: "shop",
      postgres_major: this.bench.server.major,
      bin_dir: this.bench.server.binDir,
      run: "running",
      port: this.port,
      rest_port: null,
      listen_addresses: ["127.0.0.1"],
      connect_addresses: ["127.0.0.1"],
      parameters: this.parameters,
      hba: renderHba({ systemAddresses: ["127.0.0.1"], nodeAndDatabaseLines: [] }),
      ident: [],
      restart_generation: 0,
    };
  }

  async certify(authority: Authority): Promise<void> {
    const { certificate_dir } = this.file.layout;
    const nowMs = systemClock.nowMs();
    const pairs = {
      server: { purpose: "server", commonName: this.id, addresses: ["127.0.0.1"] },
      superuser: { purpose: "client", commonName: "pgedge" },
      replication: { purpose: "client", commonName: "patroni_replicator" },
    } as const;
    await this.put(`${certificate_dir}/ca.crt`, authority.certificatePem);
    for (const [name, request] of Object.entries(pairs)) {
      const issued = await authority.issue(request, nowMs);
      await this.put(`${certificate_dir}/${name}.crt`, issued.certificatePem);
      await this.put(`${certificate_dir}/${name}.key`, issued.privateKeyPem.reveal());
    }
  }

  /** Writes a file that PostgreSQL may read. */
  put(path: string, text: string): Promise<void> {
    const owner = postgresUser === null ? {} : { owner: postgresUser };
    return this.deps.executor.put(path, text, { mode: 0o600, ...owner });
  }

  async initialise(): Promise<void> {
    const { binDir, major } = this.bench.server;
    const argv = initdbArgv({ binDir, dataDir: this.dataDir, superuser: "pgedge", major });
    run([...asUser([...argv, "--no-sync"], postgresUser)]);
    await this.put(
      `${this.dataDir}/pgherd.json`,
      JSON.stringify({ instance_id: this.id, system_identifier: "1" }),
    );
  }

  /** Writes the configuration: following somebody, or nobody. */
  async configure({ follow, role }: StartOptions): Promise<void> {
    const { major } = this.bench.server;
    const conninfo =
      follow &&
      renderConninfo({
        upstream: follow.peer,
        certificateDir: this.file.layout.certificate_dir,
        applicationName: memberApplicationName(this.id, this.bench.systemIdentifier),
        role: "replication",
        ...(major >= 17 ? { database: "postgres" } : {}),
      });
    const wanted: ReplicationRole = {
      major,
      ...(conninfo === undefined ? {} : { follow: { conninfo, slot: memberSlotName(this.id) } }),
      copySlots: conninfo !== undefined,
      ...role,
    };
    const users = [postgresUser ?? "", process.env.USER ?? "root", "root"].filter((u) => u !== "");
    const texts = renderConfiguration(this.config, this.file.layout, users, wanted);
    for (const [name, text] of Object.entries(texts)) {
      await this.put(`${this.file.layout.config_dir}/${name}`, text);
    }
  }

  /** The mechanics get a shell script in place of a program; `$real` is the program itself. */
  replaceProgram(name: string, script: string): { restore: () => void } {
    const { binDir } = this.bench.server;
    const directory = `${this.bench.directory}/${this.id}/bin`;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    for (const program of readdirSync(binDir)) {
      if (program !== name) symlinkSync(`${binDir}/${program}`, `${directory}/${program}`);
    }
    const text = `#!/bin/sh\nreal=${binDir}/${name}\n${script}\n`;
    writeFileSync(`${directory}/${name}`, text, { mode: 0o755 });
    this.#binDir = directory;
    return {
      restore: () => {
        this.#binDir = binDir;
      },
    };
  }

  /** Slots for all others, where it runs. */
  async ensureSlots(): Promise<void> {
    if (!this.running) return;
    const others = this.bench.members.filter((member) => member !== this);
    const wanted = others.map(({ id }) => ({ name: memberSlotName(id) }));
    const changes = await ensureSlots(await this.session(), wanted, never);
    if (changes.problems.length > 0) throw new Error(changes.problems.join("; "));
  }

  get running(): boolean {
    const child = this.#postmaster;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Changes whom it follows while it runs. */
  async reconfigure(options: StartOptions): Promise<void> {
    await this.configure(options);
    await this.sql("SELECT pg_reload_conf()");
  }

  /** Spawns the postmaster and waits until it accepts connections. */
  async start(options: StartOptions): Promise<void> {
    await this.configure(options);
    this.spawn();
    await this.until("the server to accept connections", async () => {
      if (this.#postmaster?.exitCode != null) throw new Error(`it ended\n${this.log()}`);
      return (await this.trySql("SELECT 1")) !== undefined ? true : undefined;
    });
  }

  spawn(): void {
    const { config_dir, log_dir } = this.file.layout;
    const argv = postgresArgv(
      this.bench.server.binDir,
      this.dataDir,
      `${config_dir}/postgresql.conf`,
    );
    const shell = ["/bin/sh", "-c", 'log="$1"; shift; exec "$@" >>"$log" 2>&1', "sh"];
    this.#postmaster = Bun.spawn([...shell, `${log_dir}/out.log`, ...asUser(argv, postgresUser)], {
      cwd: "/",
      env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8" },
      stdin: "ignore",
      detached: true,
    });
  }

  get pid(): number {
    return this.#postmaster?.pid ?? 0;
  }

  /** fast: clean. immediate: as after a crash. */
  async stop(mode: "fast" | "immediate" = "fast"): Promise<void> {
    await this.#session?.close();
    this.#session = undefined;
    this.#postmaster?.kill(mode === "fast" ? "SIGINT" : "SIGQUIT");
    await this.#postmaster?.exited;
  }

  /** Everything of it, frozen or not. */
  async kill(): Promise<void> {
    const child = this.#postmaster;
    await this.#session?.close();
    this.#session = undefined;
    if (!child || !this.running) return;
    child.kill("SIGCONT");
    child.kill("SIGQUIT");
    const timeout = systemClock.sleep(3_000).then(() => child.kill("SIGKILL"));
    await Promise.race([child.exited, timeout]);
    await child.exited;
  }

  async session(): Promise<SqlSession> {
    if (!this.#session?.usable) {
      const { run_dir } = this.file.layout;
      const target = {
        socketDir: run_dir,
        port: this.port,
        major: this.bench.server.major,
        database: "postgres",
        profile: "script",
      } as const;
      this.#session = await openSession(target, systemClock);
    }
    return this.#session;
  }

  async sql(text: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await this.session()).query(text);
  }

  /** One value of one row as a text. */
  async value(text: string): Promise<string> {
    const [row] = await this.sql(`SELECT (${text})::text AS value`);
    return String(row?.value);
  }

  async trySql(text: string): Promise<readonly unknown[] | undefined> {
    try {
      return await this.sql(text);
    } catch {
      this.#session = undefined;
      return undefined;
    }
  }

  async untilStreaming(): Promise<void> {
    await this.until("streaming", async () => {
      const rows = await this.sql("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'");
      return rows.length > 0 ? true : undefined;
    });
  }

  /** Waits until everything that the other wrote is replayed here. */
  async untilCaughtUp(with_: Member): Promise<void> {
    const lsn = await with_.value("pg_current_wal_flush_lsn()");
    await this.until(`replay up to ${lsn}`, async () =>
      (await this.value(`pg_last_wal_replay_lsn() >= '${lsn}'::pg_lsn`)) === "true"
        ? true
        : undefined,
    );
  }

  log(): string {
    const path = `${this.file.layout.log_dir}/out.log`;
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  async until<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
    const endMs = systemClock.monotonicMs() + waitMaxMs;
    for (;;) {
      const found = await attempt();
      if (found !== undefined) return found;
      if (systemClock.monotonicMs() > endMs) {
        throw new Error(`waited in vain for ${what}\n${this.log().slice(-3_000)}`);
      }
      await systemClock.sleep(20);
    }
  }
}

function own(path: string): void {
  if (postgresUser) run(["chown", `${postgresUser}:`, path]);
}

function run(argv: string[]): void {
  const env = { PATH: "/usr/bin:/bin", LANG: "C.UTF-8" };
  const result = Bun.spawnSync(argv, { cwd: "/", env });
  if (result.exitCode !== 0) throw new Error(`${argv[0]}: ${result.stderr.toString()}`);
}

function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  server.stop(true);
  return server.port;
}
