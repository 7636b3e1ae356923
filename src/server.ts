// The server of a host, put together: configuration, log, API, then the cluster behind it.
import { must } from "./base/assert.ts";
import { systemClock } from "./base/clock.ts";
import { AppError, messageOf } from "./base/errors.ts";
import { uuidMaker } from "./base/ids.ts";
import { createLogger, type Logger, LogLevels } from "./base/log.ts";
import { backoffMs } from "./base/retry.ts";
import { systemRng } from "./base/rng.ts";
import type { Secret } from "./base/secret.ts";
import { buildVersion } from "./base/version.ts";
import { renderProblems } from "./config/print.ts";
import type { Config } from "./config/schema.ts";
import { readConfig } from "./config.ts";
import { LocalExecutor } from "./host/local.ts";
import { createApp } from "./http/app.ts";
import { type Listener, listen } from "./http/listener.ts";
import { createOperations } from "./operations/control-plane.ts";
import type { Bootstrapped, ClusterRuntime, OperationsDeps } from "./operations/deps.ts";
import { OperationError } from "./operations/errors.ts";
import type { Operations } from "./operations/operations.ts";
import { loadStatementParser, type StatementParser } from "./operations/statement-parser.ts";
import { openDriver } from "./orchestrator/registry.ts";
import { ServerClock } from "./server/clock-file.ts";
import {
  bootstrapCluster,
  forgetCluster,
  joinCluster,
  openCluster,
  type ServedCluster,
} from "./server/cluster.ts";
import { holdDataDirectory } from "./server/data-directory.ts";
import type { ServerEnvironment } from "./server/environment.ts";
import { launcher } from "./server/launcher.ts";
import { isMember } from "./server/membership.ts";
import { reloadOnHangUp, stopSignal } from "./server/signals.ts";
import type { VersionInfo } from "./spec/version-info.ts";

/** Runs `pgherd server run` until SIGTERM or SIGINT. Resolves with the exit status. */
export async function runServer(argv: readonly string[]): Promise<number> {
  const loaded = readConfig(argv);
  if (!loaded.ok) {
    process.stderr.write(renderProblems(loaded.error));
    return 2;
  }
  const { config } = loaded.value;
  const levels = new LogLevels(config.logging.level, config.logging.component_levels);
  const log = serverLog(config, levels);
  reloadOnHangUp({ argv, loaded: loaded.value, levels, log });
  const stopping = stopSignal(log);
  try {
    holdDataDirectory(config.data_dir);
    await new Server(config, log, stopping).run();
    log.info("stopped");
    return 0;
  } catch (thrown) {
    log.fatal("the server cannot run", { error: messageOf(thrown) });
    return 1;
  }
}

interface Occupation {
  /** Why the server is not ready. */
  readonly unready: string;
  /** What it answers to what needs a cluster, or would begin one. */
  readonly message: string;
}
const opening: Occupation = {
  unready: "the cluster is being opened",
  message: "the server is starting: try again",
};
const leaving: Occupation = {
  unready: "the cluster is being left",
  message: "this host was removed and is leaving its cluster: try again",
};

const OPEN_BACKOFF = { firstMs: 200, maxMs: 10_000 };

class Server {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #stopping: AbortSignal;
  readonly #ids = uuidMaker(systemClock, systemRng);
  readonly #clock = new ServerClock(systemClock);
  readonly #environment: Promise<ServerEnvironment>;
  #parser: StatementParser | undefined;
  #listener: Listener | undefined;
  #cluster: ServedCluster | undefined;
  /** Resolves when a cluster that this host left has ended. */
  #left: Promise<void> = Promise.resolve();
  /** What this server does instead of serving: it opens a cluster, or leaves one. Nothing is made or joined meanwhile. */
  #occupied: Occupation | undefined;

  constructor(config: Config, log: Logger, stopping: AbortSignal) {
    this.#config = config;
    this.#log = log;
    this.#stopping = stopping;
    this.#occupied = isMember(config.data_dir) ? opening : undefined;
    this.#environment = this.#openEnvironment();
    // Whoever needs it gets its failure; until then it must not end the process.
    this.#environment.catch(() => undefined);
  }

  /** Answers at once, opens the cluster behind it, and stops in order when it is told to. */
  async run(): Promise<void> {
    const listener = this.#listen();
    this.#listener = listener;
    try {
      const environment = await this.#environment;
      this.#serve(await this.#openCluster(environment));
      this.#occupied = undefined;
      this.#log.info(this.#cluster ? "serving" : "waiting for init", {
        clusterId: this.#cluster?.runtime.clusterId,
        driver: environment.driver.id,
      });
      await aborted(this.#stopping);
    } catch (thrown) {
      if (!this.#stopping.aborted) throw thrown;
    } finally {
      const graceMs = this.#config.stop_grace_period_seconds * 1_000;
      await listener.stop(systemClock.deadline(graceMs));
      await this.#left;
      await this.#cluster?.stop();
    }
  }

  /** A store that cannot be had now is tried again; what will not get better ends the server. */
  async #openCluster(environment: ServerEnvironment): Promise<ServedCluster | undefined> {
    for (let failures = 0; ; failures++) {
      try {
        return await openCluster(environment, this.#stopping);
      } catch (thrown) {
        this.#stopping.throwIfAborted();
        if (!(thrown instanceof AppError) || thrown.kind !== "retryable") throw thrown;
        this.#log.error("the cluster cannot be opened yet", { error: messageOf(thrown) });
      }
      await systemClock.sleep(backoffMs(OPEN_BACKOFF, failures, systemRng), this.#stopping);
    }
  }

  #listen(): Listener {
    const operations = createOperations(this.#operationsDeps());
    const deps = {
      operations: { ...operations, readiness: () => this.#readiness(operations) },
      version: versionInfo(),
      clock: systemClock,
      ids: this.#ids,
      log: this.#log.component("http"),
      stopping: this.#stopping,
    };
    const { bind_addr: hostname, port } = this.#config.http;
    const listener = listen({ ...deps, app: createApp(deps) }, { hostname, port });
    this.#log.info("listening", { address: hostname, port: listener.port });
    return listener;
  }

  async #readiness(operations: Operations): Promise<readonly string[]> {
    return this.#occupied ? [this.#occupied.unready] : operations.readiness();
  }

  #operationsDeps(): OperationsDeps {
    return {
      clock: this.#clock,
      ids: this.#ids,
      rng: systemRng,
      log: this.#log.component("operations"),
      runtime: () => this.#runtime(),
      bootstrap: (clusterId) => this.#bootstrap(clusterId),
      join: (token, serverUrls) => this.#join(token, serverUrls),
      joinedUnanswered: (token) => this.#joinedUnanswered(token),
      serverUrls: () => this.#serverUrls(),
      parseStatement: (sql) => must(this.#parser, "the statement parser")(sql),
    };
  }

  #runtime(): ClusterRuntime | undefined {
    if (this.#occupied) throw new OperationError("no_quorum", this.#occupied.message);
    return this.#cluster?.runtime;
  }

  async #bootstrap(clusterId: string): Promise<Bootstrapped> {
    if (this.#config.etcd_mode === "client") {
      const message =
        "this host has no member of the store: initialize the cluster on one that has";
      throw new OperationError("operation_not_supported", message);
    }
    const environment = await this.#environment;
    const made = await bootstrapCluster(environment, clusterId, this.#stopping);
    this.#serve(made.cluster);
    this.#log.info("initialized", { clusterId: made.cluster.runtime.clusterId });
    return made;
  }

  async #join(token: Secret, serverUrls: readonly string[]): Promise<void> {
    const environment = await this.#environment;
    const cluster = await joinCluster(environment, { token, serverUrls }, this.#stopping);
    this.#serve(cluster);
    this.#log.info("joined", { clusterId: cluster.runtime.clusterId });
    await cluster.tellJoined(token);
  }

  async #joinedUnanswered(token: Secret): Promise<boolean> {
    return (await this.#cluster?.tellJoined(token)) ?? false;
  }

  /** Until the server stops, or the cluster goes on without this host. */
  #serve(cluster: ServedCluster | undefined): void {
    this.#cluster = cluster;
    cluster?.left.addEventListener("abort", () => {
      this.#cluster = undefined;
      this.#left = this.#leave(cluster).catch((thrown: unknown) => {
        if (this.#stopping.aborted) return;
        this.#log.error("cannot leave the cluster in order", { error: messageOf(thrown) });
      });
    });
  }

  /**
   * Ends the work for the cluster; a host that was left behind opens it again, and joins by that. One that was removed
   * belongs to none only when everything of the old one is gone: what joined before would lose its store to that.
   */
  async #leave(cluster: ServedCluster): Promise<void> {
    const again = cluster.left.reason === "again";
    this.#occupied = again ? opening : leaving;
    try {
      await cluster.stop();
      const environment = await this.#environment;
      if (again) this.#serve(await this.#openCluster(environment));
      else await forgetCluster(environment);
    } finally {
      this.#occupied = undefined;
    }
  }

  async #openEnvironment(): Promise<ServerEnvironment> {
    const shared = { clock: this.#clock, rng: systemRng };
    const executor = new LocalExecutor(this.#config.host_id, systemClock);
    const driverDeps = { ...shared, launcher: launcher(), executor };
    const [driver, parser] = await Promise.all([
      openDriver(this.#config.orchestrator, driverDeps, this.#stopping),
      loadStatementParser(),
    ]);
    this.#parser = parser;
    return {
      ...shared,
      config: this.#config,
      ids: this.#ids,
      log: this.#log,
      executor,
      driver,
    };
  }

  #serverUrls(): readonly string[] {
    const port = this.#listener?.port ?? this.#config.http.port;
    return this.#config.peer_addresses.map((address) => {
      const host = address.includes(":") ? `[${address}]` : address;
      return `http://${host}:${port}`;
    });
  }
}

function serverLog(config: Config, levels: LogLevels): Logger {
  const { tenant_id: tenantId, logging } = config;
  return createLogger(
    {
      clock: systemClock,
      levels,
      pretty: logging.pretty,
      write: (line) => process.stdout.write(`${line}\n`),
    },
    "server",
    tenantId === undefined ? {} : { tenantId },
  );
}

/** Named as clients of the v1 API know architectures. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** Of a build outside a checkout: clients want a time. */
const NO_REVISION_TIME = "1970-01-01T00:00:00Z";

function versionInfo(): VersionInfo {
  const { version, revision, revisionTime } = buildVersion;
  return {
    version,
    revision,
    revision_time: revisionTime === "unknown" ? NO_REVISION_TIME : revisionTime,
    arch: ARCHITECTURES[process.arch] ?? process.arch,
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
