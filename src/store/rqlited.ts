// Keeps this host's rqlited running. It survives the server: a restarted server takes over the one it
// finds, when that is the same version with the same arguments and answers; else it is replaced.
import { mkdir } from "node:fs/promises";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { rqlitedAdoptTimeoutMs, rqlitedLogCheckMs, rqlitedStartTimeoutMs } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import {
  type Credentials,
  isNode,
  probeCapabilities,
  type RqliteCapabilities,
  verifiesPeers,
} from "./capabilities.ts";
import { type EmbeddedBinary, ensureBinary, removeOtherBinaries } from "./rqlited-binary.ts";
import {
  type Endpoint,
  ensureState,
  ensureUsers,
  type RqlitedPaths,
  type RqlitedUsers,
  rqlitedPaths,
  saveState,
} from "./rqlited-files.ts";
import {
  boundLog,
  endProcess,
  findByDataDirectory,
  type ProcessIdentity,
  type ProcessTable,
  type RaftTiming,
  type RunningProcess,
  rqlitedArguments,
  SINGLE_NODE_TIMING,
  startProcess,
  tail,
  watchProcess,
} from "./rqlited-process.ts";

export interface RqlitedOptions {
  /** The server's; rqlited's files are in `rqlited/` and `bin/` below it. */
  readonly dataDir: string;
  readonly asset: EmbeddedBinary;
  /** Unique in the cluster and stable: the host id. */
  readonly nodeId: string;
  /** Port 0: a free one is chosen once and remembered. */
  readonly http: Endpoint;
  readonly raft: Endpoint;
  /** `SINGLE_NODE_TIMING` when absent; `LAN_TIMING` for a cluster of several. */
  readonly timing?: RaftTiming;
}

export interface RqlitedDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logger: Logger;
  readonly processes: ProcessTable;
}

/** A supervised rqlited. */
export interface Rqlited {
  /** Of its HTTP interface; does not change while it is supervised, nor later unless configured so. */
  readonly url: string;
  readonly users: RqlitedUsers;
  readonly capabilities: RqliteCapabilities;
  /** Whether it was already running when we came. */
  readonly adopted: boolean;
  /** The process that runs now, or undefined between an end and the next start. */
  identity(): ProcessIdentity | undefined;
  /** Ends supervision and leaves it running, for a server that only restarts. */
  release(): Promise<void>;
  /** Ends supervision and rqlited: SIGTERM, then SIGKILL. Call it last, after all users of the store. */
  stop(): Promise<void>;
}

/**
 * Starts or takes over rqlited and waits until it is ready. Throws an AppError that quotes the end of
 * its log when it ends or is not ready in time, and refuses addresses that others can reach when this
 * rqlited does not verify its peers.
 */
export async function superviseRqlited(
  options: RqlitedOptions,
  deps: RqlitedDeps,
  signal?: AbortSignal,
): Promise<Rqlited> {
  refuseExposure(options);
  const paths = rqlitedPaths(options.dataDir);
  await mkdir(paths.data, { recursive: true, mode: 0o700 });
  const binary = await ensureBinary(options.asset, paths.binaries, deps.rng);
  const users = await ensureUsers(paths, deps.rng);
  const state = await ensureState(paths, { http: options.http, raft: options.raft }, deps.rng);
  const argv = rqlitedArguments({
    binary,
    paths,
    nodeId: options.nodeId,
    http: state.http,
    raft: state.raft,
    timing: options.timing ?? SINGLE_NODE_TIMING,
    version: options.asset.version,
  });
  const target: Target = {
    paths,
    argv,
    url: `http://${hostText(state.http.host)}:${state.http.port}`,
    credentials: users.server,
    remember: (process) => saveState(paths, { ...state, process }, deps.rng),
  };
  const supervisor = new Supervisor(target, deps);
  const adopted = await supervisor.begin(state.process, signal);
  await removeOtherBinaries(binary);
  const capabilities = await probeCapabilities(target.url, users.server, deps.clock, signal);
  if (!capabilities.linearizable) {
    deps.logger.warn("rqlite knows no linearizable reads: strong ones are used", {
      ...capabilities,
    });
  }
  return {
    url: target.url,
    users,
    capabilities,
    adopted,
    identity: () => supervisor.identity(),
    release: () => supervisor.release(),
    stop: () => supervisor.stop(),
  };
}

interface Target {
  readonly paths: RqlitedPaths;
  readonly argv: readonly string[];
  readonly url: string;
  readonly credentials: Credentials;
  remember(identity: ProcessIdentity): Promise<void>;
}

const RESTART_BACKOFF = { firstMs: 100, maxMs: 5_000 };
/** A run this long was a good one: the next restart is quick again. */
const GOOD_RUN_MS = 60_000;
const READY_POLL_MS = 10;

class Supervisor {
  readonly #target: Target;
  readonly #deps: RqlitedDeps;
  readonly #ending = new AbortController();
  #running: RunningProcess | undefined;
  #loops: Promise<unknown> = Promise.resolve();

  constructor(target: Target, deps: RqlitedDeps) {
    this.#target = target;
    this.#deps = deps;
  }

  identity(): ProcessIdentity | undefined {
    return this.#running?.identity;
  }

  /** Takes over or starts one and waits until it is ready; true when it was taken over. */
  async begin(
    known: ProcessIdentity | undefined,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const adopted = await this.#adopt(known, signal);
    try {
      this.#running = adopted ?? (await this.#start());
      await this.#until("ready", this.#running, rqlitedStartTimeoutMs, signal);
    } catch (thrown) {
      await (adopted ? this.release() : this.stop());
      throw thrown;
    }
    this.#loops = Promise.all([this.#keepRunning(this.#running), this.#keepLogSmall()]);
    return adopted !== undefined;
  }

  async release(): Promise<void> {
    this.#ending.abort();
    await this.#loops;
  }

  async stop(): Promise<void> {
    await this.release();
    const running = this.#running;
    this.#running = undefined;
    if (running) await endProcess(running.identity, this.#deps.processes, this.#deps.clock);
  }

  async #adopt(
    known: ProcessIdentity | undefined,
    signal: AbortSignal | undefined,
  ): Promise<RunningProcess | undefined> {
    const { processes, clock, logger } = this.#deps;
    const { argv, paths } = this.#target;
    // One that was started but not yet remembered is found by its data directory.
    const found = findByDataDirectory(processes, paths.data);
    const candidate = found.find((each) => !known || each.pid === known.pid) ?? found[0];
    for (const identity of found) {
      const same = sameArguments(processes.readArguments(identity.pid), argv);
      if (identity === candidate && same) {
        const running = watchProcess(identity, processes, clock, this.#ending.signal);
        if (await this.#answers(running, signal)) {
          await this.#target.remember(identity);
          logger.info("took over the running rqlited", { pid: identity.pid });
          return running;
        }
      }
      logger.warn("ending the running rqlited to start another", { pid: identity.pid, same });
      // One that should answer and does not will not end in order either.
      await endProcess(identity, processes, clock, same ? ["SIGKILL"] : undefined);
    }
    return undefined;
  }

  async #answers(running: RunningProcess, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      await this.#until("answering", running, rqlitedAdoptTimeoutMs, signal);
      return true;
    } catch (thrown) {
      signal?.throwIfAborted();
      this.#deps.logger.warn("the running rqlited is of no use", { error: messageOf(thrown) });
      return false;
    }
  }

  async #start(): Promise<RunningProcess> {
    const { argv, paths } = this.#target;
    await boundLog(paths.log);
    const running = await startProcess(argv, paths.log, this.#deps.processes);
    await this.#target.remember(running.identity);
    this.#deps.logger.info("started rqlited", { pid: running.identity.pid });
    return running;
  }

  /** Resolves in that state; throws when it ends, refuses our credentials, or takes too long. */
  async #until(
    state: "ready" | "answering",
    running: RunningProcess,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { clock } = this.#deps;
    const { url, credentials, paths } = this.#target;
    const deadline = clock.deadline(timeoutMs, signal);
    let ended: string | undefined;
    running.ended.then((how) => {
      ended = how;
    });
    while (!(await isNode(state, url, credentials, deadline))) {
      signal?.throwIfAborted();
      const why = ended ?? (deadline.aborted ? `not ${state} after ${timeoutMs} ms` : undefined);
      if (why) throw new AppError("retryable", `rqlited: ${why}: ${await tail(paths.log)}`);
      await clock.sleep(READY_POLL_MS);
    }
  }

  async #keepRunning(first: RunningProcess): Promise<void> {
    const { clock, logger, rng } = this.#deps;
    const ending = this.#ending.signal;
    const released = new Promise<undefined>((resolve) =>
      ending.addEventListener("abort", () => resolve(undefined), { once: true }),
    );
    let running: RunningProcess | undefined = first;
    for (let failures = 0; !ending.aborted; failures++) {
      const startedMs = clock.monotonicMs();
      if (running) {
        const how = await Promise.race([running.ended, released]);
        if (ending.aborted) return;
        this.#running = undefined;
        logger.error("rqlited ended", { pid: running.identity.pid, how });
      }
      if (clock.monotonicMs() - startedMs >= GOOD_RUN_MS) failures = 0;
      if (!(await slept(clock, backoffMs(RESTART_BACKOFF, failures, rng), ending))) return;
      running = await this.#startOrLog();
      this.#running = running;
    }
  }

  async #startOrLog(): Promise<RunningProcess | undefined> {
    try {
      return await this.#start();
    } catch (thrown) {
      this.#deps.logger.error("cannot start rqlited", { error: messageOf(thrown) });
      return undefined;
    }
  }

  async #keepLogSmall(): Promise<void> {
    const { clock, logger } = this.#deps;
    const ending = this.#ending.signal;
    do {
      try {
        await boundLog(this.#target.paths.log);
      } catch (thrown) {
        logger.warn("cannot shorten the log of rqlited", { error: messageOf(thrown) });
      }
    } while (await slept(clock, rqlitedLogCheckMs, ending));
  }
}

/** Whether the time passed; false when the signal aborted. */
async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(ms, signal);
    return true;
  } catch (thrown) {
    if (signal.aborted) return false;
    throw thrown;
  }
}

function sameArguments(found: readonly string[], wanted: readonly string[]): boolean {
  return JSON.stringify(found) === JSON.stringify(wanted);
}

function refuseExposure(options: RqlitedOptions): void {
  const exposed = [options.http, options.raft].filter(({ host }) => !isLoopback(host));
  if (exposed.length === 0 || verifiesPeers(options.asset.version)) return;
  throw new AppError(
    "terminal",
    `rqlite ${options.asset.version} does not verify its peers: it may only listen on loopback addresses, not on ${exposed[0]?.host}`,
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host);
}

function hostText(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
