// One rqlited under supervision: taken over or started, watched, started again, ended.
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { rqlitedAdoptTimeoutMs, rqlitedLogCheckMs, rqlitedStartTimeoutMs } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import { isNode, type NodeAccess } from "./capabilities.ts";
import type { RqlitedPaths } from "./rqlited-files.ts";
import {
  boundLog,
  endProcess,
  findByDataDirectory,
  type ProcessIdentity,
  type ProcessTable,
  type RunningProcess,
  sameArguments,
  startProcess,
  tail,
  watchProcess,
  withoutJoin,
} from "./rqlited-process.ts";

/** What is kept running. */
export interface Target {
  readonly paths: RqlitedPaths;
  readonly argv: readonly string[];
  readonly node: NodeAccess;
  remember(identity: ProcessIdentity): Promise<void>;
}

/** How a supervised run begins. */
export interface StartOptions {
  readonly fresh: boolean;
  /** `answering` suffices where the others may be gone. */
  readonly until: "ready" | "answering";
}

/** What supervision needs from outside. */
export interface RqlitedDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logger: Logger;
  readonly processes: ProcessTable;
  /** Lets the process, and what it starts, come before ordinary ones on a busy host; false = the kernel refuses. */
  readonly makeRealtime?: (pid: number) => boolean;
}

const RESTART_BACKOFF = { firstMs: 100, maxMs: 5_000 };
/** A run this long was a good one: the next restart is quick again. */
const GOOD_RUN_MS = 60_000;
const READY_POLL_MS = 10;

export class Supervisor {
  #target: Target;
  readonly #deps: RqlitedDeps;
  #ending = new AbortController();
  #running: RunningProcess | undefined;
  #loops: Promise<unknown> = Promise.resolve();

  constructor(target: Target, deps: RqlitedDeps) {
    this.#target = target;
    this.#deps = deps;
  }

  identity(): ProcessIdentity | undefined {
    return this.#running?.identity;
  }

  /**
   * Takes over or starts one and waits until it is ready; true when it was taken over. `fresh`: one that
   * runs already is ended.
   */
  async begin(
    known: ProcessIdentity | undefined,
    start: StartOptions,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const adopted = await this.#adopt(known, start.fresh, signal);
    try {
      this.#running = adopted ?? (await this.#start());
      await this.#until(start.until, this.#running, rqlitedStartTimeoutMs, signal);
    } catch (thrown) {
      await (adopted ? this.release() : this.stop());
      throw thrown;
    }
    this.#joined();
    this.#loops = Promise.all([this.#keepRunning(this.#running), this.#tend()]);
    return adopted !== undefined;
  }

  /**
   * Ends it, does what may be done only then, and starts it with the new command line. When that cannot be
   * done, the old one is started again. It is supervised in any case; throws when it is not ready in time.
   */
  async replace(argv: readonly string[], between: () => Promise<void>): Promise<void> {
    await this.stop();
    this.#ending = new AbortController();
    try {
      await between();
      this.#target = { ...this.#target, argv };
    } finally {
      const running = await this.#start();
      this.#running = running;
      this.#loops = Promise.all([this.#keepRunning(running), this.#tend()]);
    }
    await this.#untilReady();
    this.#joined();
  }

  #joined(): void {
    this.#target = { ...this.#target, argv: withoutJoin(this.#target.argv) };
  }

  /** Whichever process it is by then. */
  async #untilReady(): Promise<void> {
    const { clock } = this.#deps;
    const deadline = clock.deadline(rqlitedStartTimeoutMs, this.#ending.signal);
    while (!(await isNode("ready", this.#target.node, deadline))) {
      if (deadline.aborted) {
        const end = await tail(this.#target.paths.log);
        throw new AppError("retryable", `rqlited: not ready after its restart: ${end}`);
      }
      await clock.sleep(READY_POLL_MS);
    }
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
    fresh: boolean,
    signal: AbortSignal | undefined,
  ): Promise<RunningProcess | undefined> {
    const { processes, clock, logger } = this.#deps;
    const { argv, paths } = this.#target;
    // One that was started but not yet remembered is found by its data directory.
    const found = findByDataDirectory(processes, paths.data);
    const candidate = found.find((each) => !known || each.pid === known.pid) ?? found[0];
    for (const identity of found) {
      const same = !fresh && sameArguments(processes.readArguments(identity.pid), argv);
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
    this.#deps.makeRealtime?.(running.identity.pid);
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
    const { node, paths } = this.#target;
    const deadline = clock.deadline(timeoutMs, signal);
    let ended: string | undefined;
    running.ended.then((how) => {
      ended = how;
    });
    while (!(await isNode(state, node, deadline))) {
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

  async #tend(): Promise<void> {
    const { clock, logger, processes, makeRealtime } = this.#deps;
    const ending = this.#ending.signal;
    do {
      try {
        await boundLog(this.#target.paths.log);
        const identity = this.#running?.identity;
        if (identity && processes.isAlive(identity)) makeRealtime?.(identity.pid);
      } catch (thrown) {
        logger.warn("cannot look after rqlited", { error: messageOf(thrown) });
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
