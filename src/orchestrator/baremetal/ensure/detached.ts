// Keepers and fencers as detached processes of this machine, for hosts without a service manager. They
// outlive the server; the next server adopts them. While no server runs, a dead one stays dead.
import type { Clock } from "../../../base/clock.ts";
import { AppError, isAbort, messageOf } from "../../../base/errors.ts";
import {
  agentStopGraceMs,
  superviseBackoffFirstMs,
  superviseBackoffMaxMs,
  superviseForgottenAfterMs,
  superviseIntervalMs,
  superviseUpkeepIntervalMs,
} from "../../../base/limits.ts";
import { backoffMs } from "../../../base/retry.ts";
import type { Rng } from "../../../base/rng.ts";
import { type DetachedCommand, DetachedProcesses } from "../../../host/detached.ts";
import type { DriverCapabilities, ObservedKeeper, StepContext } from "../../driver.ts";
import type { KeeperRunner, WantedKeeper } from "../keeper-runner.ts";
import { keeperDirectory, keepersDirectory, ROLES, type Role } from "../names.ts";

export interface DetachedDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly launcher: readonly [string, ...string[]];
  /** The host this process runs on: it can start nothing anywhere else. */
  readonly hostId: string;
}

/** How often a process died lately, and when it may be started again (monotonic milliseconds). */
interface Deaths {
  count: number;
  startedMs: number;
  notBeforeMs: number;
}

export class DetachedRunner implements KeeperRunner {
  readonly id = "detached";
  readonly capabilities: DriverCapabilities = {
    limits: false,
    survivesServerDown: false,
    services: false,
  };
  readonly #deps: DetachedDeps;
  readonly #processes: DetachedProcesses;
  readonly #deaths = new Map<string, Deaths>();
  /** Instances that a step works on now; supervision leaves them alone. */
  readonly #inWork = new Set<string>();
  /** Grows with every work of a step: what was read before one is outdated after it. */
  #works = 0;

  constructor(deps: DetachedDeps) {
    this.#deps = deps;
    this.#processes = new DetachedProcesses(deps.clock);
  }

  async ensure(wanted: WantedKeeper, changed: boolean, context: StepContext): Promise<void> {
    this.#checkHost(context);
    await this.#working(wanted.instanceId, async () => {
      const keeper = this.#command("keeper", wanted, context);
      if (changed && this.#processes.find(keeper)) {
        await this.#processes.stop(keeper, agentStopGraceMs, context.signal);
      }
      for (const role of ROLES) {
        const { identity, started } = this.#processes.start(this.#command(role, wanted, context));
        if (!started) continue;
        this.#deaths.delete(`${role} ${wanted.instanceId}`);
        context.log(`started the ${role}`, { pid: identity.pid });
      }
    });
  }

  async stopKeeper(wanted: WantedKeeper, context: StepContext): Promise<void> {
    this.#checkHost(context);
    this.#begin(wanted.instanceId);
    const keeper = this.#command("keeper", wanted, context);
    await this.#processes.stop(keeper, agentStopGraceMs, context.signal);
  }

  async removeAll(wanted: WantedKeeper, context: StepContext): Promise<void> {
    this.#checkHost(context);
    await this.#working(wanted.instanceId, async () => {
      for (const role of ROLES.toReversed()) {
        const command = this.#command(role, wanted, context);
        await this.#processes.stop(command, agentStopGraceMs, context.signal);
        this.#deaths.delete(`${role} ${wanted.instanceId}`);
      }
      // While the keeper file is there, supervision would start both again.
      const directory = keeperDirectory(context.host.dataDir, wanted.instanceId);
      await context.executor.remove(directory, context.signal);
    });
  }

  async observe(context: Omit<StepContext, "log">): Promise<readonly ObservedKeeper[]> {
    this.#checkHost(context);
    const ids = await context.executor.list(keepersDirectory(context.host.dataDir), context.signal);
    return ids.map((instanceId) => ({
      instanceId,
      keeper: this.#stateOf("keeper", instanceId, context),
      fencer: this.#stateOf("fencer", instanceId, context),
    }));
  }

  async supervise(context: StepContext, wanted: () => readonly string[]): Promise<void> {
    this.#checkHost(context);
    const { clock } = this.#deps;
    let upkeepMs = Number.NEGATIVE_INFINITY;
    try {
      while (!context.signal.aborted) {
        const isUpkeep = clock.monotonicMs() - upkeepMs >= superviseUpkeepIntervalMs;
        if (isUpkeep) upkeepMs = clock.monotonicMs();
        for (const instanceId of wanted()) await this.#superviseOne(instanceId, isUpkeep, context);
        await clock.sleep(superviseIntervalMs, context.signal);
      }
    } catch (error) {
      if (!context.signal.aborted && !isAbort(error)) throw error;
    }
  }

  /** Starts what should run and does not, once. What is wrong with one instance does not keep others from it. */
  async revive(context: StepContext, wanted: readonly string[]): Promise<void> {
    this.#checkHost(context);
    for (const instanceId of wanted) await this.#superviseOne(instanceId, true, context);
  }

  /** One instance that cannot be looked after must not keep the others from it. */
  async #superviseOne(instanceId: string, isUpkeep: boolean, context: StepContext): Promise<void> {
    if (this.#inWork.has(instanceId)) return;
    const works = this.#works;
    try {
      const wanted = await this.#stored(instanceId, context);
      if (!wanted || this.#works !== works) return;
      for (const role of ROLES) {
        const command = this.#command(role, wanted, context);
        if (isUpkeep) this.#processes.boundLog(command.logFile);
        this.#revive(role, instanceId, command, context);
      }
    } catch (error) {
      if (context.signal.aborted) throw error;
      context.log("cannot supervise", { instanceId, error: messageOf(error) });
    }
  }

  #revive(role: Role, instanceId: string, command: DetachedCommand, context: StepContext): void {
    const { clock, rng } = this.#deps;
    const key = `${role} ${instanceId}`;
    if (this.#processes.find(command)) return;
    const nowMs = clock.monotonicMs();
    const deaths = this.#deaths.get(key) ?? { count: 0, startedMs: nowMs, notBeforeMs: nowMs };
    this.#deaths.set(key, deaths);
    if (nowMs < deaths.notBeforeMs) return;
    if (nowMs - deaths.startedMs > superviseForgottenAfterMs) deaths.count = 0;
    const backoff = { firstMs: superviseBackoffFirstMs, maxMs: superviseBackoffMaxMs };
    deaths.notBeforeMs = nowMs + backoffMs(backoff, deaths.count, rng);
    deaths.startedMs = nowMs;
    deaths.count += 1;
    const { identity } = this.#processes.start(command);
    context.log(`started the ${role} again`, {
      instanceId,
      pid: identity.pid,
      deaths: deaths.count,
    });
  }

  #stateOf(role: Role, instanceId: string, context: Omit<StepContext, "log">) {
    const inputs = { keeper_file: keeperFileOf(instanceId, context), log_dir: "" };
    const living = this.#processes.find(this.#command(role, { instanceId, inputs }, context));
    if (living) return "running";
    return (this.#deaths.get(`${role} ${instanceId}`)?.count ?? 0) > 1 ? "failed" : "stopped";
  }

  #command(
    role: Role,
    wanted: { instanceId: string; inputs: { keeper_file: string; log_dir: string } },
    context: Omit<StepContext, "log">,
  ): DetachedCommand {
    const { instanceId, inputs } = wanted;
    const mark = [role, "--file", inputs.keeper_file];
    return {
      argv: [...this.#deps.launcher, ...mark],
      mark,
      logFile: `${inputs.log_dir}/${role}.log`,
      recordFile: `${keeperDirectory(context.host.dataDir, instanceId)}/${role}.process.json`,
    };
  }

  /** What an instance needs, as its keeper file tells; undefined when it was not made yet, or is removed. */
  async #stored(instanceId: string, context: StepContext) {
    const keeper_file = keeperFileOf(instanceId, context);
    const content = await context.executor.get(keeper_file, { signal: context.signal });
    if (!content) return undefined;
    const file: { layout?: { log_dir?: unknown } } = JSON.parse(new TextDecoder().decode(content));
    const log_dir = file.layout?.log_dir;
    if (typeof log_dir !== "string")
      throw new AppError("terminal", `${keeper_file} has no log_dir`);
    return { instanceId, inputs: { keeper_file, log_dir } };
  }

  async #working(instanceId: string, work: () => Promise<void>): Promise<void> {
    this.#begin(instanceId);
    try {
      await work();
    } finally {
      this.#inWork.delete(instanceId);
    }
  }

  #begin(instanceId: string): void {
    this.#inWork.add(instanceId);
    this.#works += 1;
  }

  #checkHost(context: Omit<StepContext, "log">): void {
    if (context.executor.hostId === this.#deps.hostId) return;
    const text = `only the server of ${context.executor.hostId} can run detached processes there`;
    throw new AppError("terminal", text);
  }
}

function keeperFileOf(instanceId: string, context: Omit<StepContext, "log">): string {
  return `${keeperDirectory(context.host.dataDir, instanceId)}/keeper.json`;
}
