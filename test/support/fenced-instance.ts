// A real PostgreSQL under a real fencer, in directories of its own. The cluster is made once and copied.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectFencer, type FencerClient } from "../../agents/fencer/client.ts";
import type { StartPostgres } from "../../agents/fencer/protocol.ts";
import { systemClock } from "../../src/base/clock.ts";
import { asUser, ownUid } from "../../src/host/account.ts";

export const postgresBin = "/usr/lib/postgresql/15/bin";
export const postgresUser = ownUid() === 0 ? "postgres" : null;

/** The compiled binary when one is given, the sources otherwise. */
const command = process.env.PGHERD_TEST_BINARY
  ? [process.env.PGHERD_TEST_BINARY, "fencer"]
  : [process.execPath, join(import.meta.dir, "fencer-process.ts")];
let template: string | undefined;

/** Removes what all instances of this run share. */
export function removeTemplate(): void {
  if (template) rmSync(template, { recursive: true, force: true });
  template = undefined;
}

export class FencedInstance {
  readonly directory = mkdtempSync(join(tmpdir(), "pgherd-fencer-"));
  readonly dataDir = join(this.directory, "data");
  readonly runDir = join(this.directory, "run");
  readonly socket = join(this.directory, "fencer.sock");
  readonly keeperFile = join(this.directory, "keeper.json");
  readonly logFile = join(this.directory, "postgres.log");
  readonly #abort = new AbortController();
  fencer: Bun.Subprocess | undefined;

  constructor() {
    template ??= makeCluster();
    chmodSync(this.directory, 0o755);
    copy(template, this.dataDir);
    mkdirSync(this.runDir);
    const file = {
      instance_id: "shop-n1-00000000",
      postgres_user: postgresUser,
      layout: { data_dir: this.dataDir, run_dir: this.runDir, fencer_socket: this.socket },
    };
    writeFileSync(this.keeperFile, JSON.stringify(file));
  }

  /** Starts a fencer and connects to it. */
  async openFencer(): Promise<FencerClient> {
    this.fencer = this.spawnFencer();
    for (let attempt = 0; ; attempt++) {
      try {
        return await connectFencer(this.socket, this.#abort.signal);
      } catch (error) {
        if (attempt > 500) throw error;
        await systemClock.sleep(10);
      }
    }
  }

  spawnFencer(...more: string[]): Bun.Subprocess {
    const output = Bun.file(join(this.directory, "fencer.log"));
    return Bun.spawn([...command, "--file", this.keeperFile, ...more], {
      stdin: "ignore",
      stdout: output,
      stderr: output,
      detached: true,
    });
  }

  get start(): StartPostgres {
    return {
      argv: [
        `${postgresBin}/postgres`,
        "-D",
        this.dataDir,
        "-k",
        this.runDir,
        "-c",
        "listen_addresses=",
      ],
      env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8" },
      log_file: this.logFile,
    };
  }

  /** One value of one row, as a text. */
  async query(sql: string): Promise<string> {
    const child = this.psql(sql);
    const text = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? text.trim() : Promise.reject(new Error("psql failed"));
  }

  psql(sql: string): Bun.Subprocess<"ignore", "pipe", "ignore"> {
    const argv = asUser(
      [`${postgresBin}/psql`, "-XqAt", "-h", this.runDir, "-d", "postgres", "-c", sql],
      postgresUser,
    );
    return Bun.spawn([...argv], {
      cwd: "/",
      env: { PATH: "/usr/bin:/bin", PGUSER: "pgherd", PGCONNECT_TIMEOUT: "2" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
  }

  /** Waits until the server answers. */
  async ready(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await this.query("select 1");
        return;
      } catch (error) {
        if (attempt > 500) throw error;
        await systemClock.sleep(20);
      }
    }
  }

  async close(): Promise<void> {
    const last = this.spawnFencer("--stop", "--timeout-s", "0");
    await last.exited;
    this.#abort.abort();
    this.fencer?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function makeCluster(): string {
  const directory = mkdtempSync(join(tmpdir(), "pgherd-cluster-"));
  if (postgresUser) run(["chown", postgresUser, directory]);
  run([
    ...asUser(
      [
        `${postgresBin}/initdb`,
        "-D",
        directory,
        "-U",
        "pgherd",
        "-A",
        "trust",
        "--no-sync",
        "--no-instructions",
      ],
      postgresUser,
    ),
  ]);
  return directory;
}

function copy(from: string, to: string): void {
  run(["cp", "-a", from, to]);
}

function run(argv: string[]): void {
  const result = Bun.spawnSync(argv, { cwd: "/", env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8" } });
  if (result.exitCode !== 0) throw new Error(`${argv[0]}: ${result.stderr.toString()}`);
}
