// The one that runs tasks. Holds the worker lease, looks for tasks whenever the store changed, and keeps one run
// per database going. Owns every change of a task's state except the asking for a cancel.
import { isAbort, messageOf } from "../base/errors.ts";
import {
  certificateCheckIntervalMs,
  pruneIntervalMs,
  taskConcurrencyMax,
  taskSweepGapMs,
  taskSweepIdleMs,
  taskSweepIntervalMs,
  workerDutyDelayMs,
  workerLeasePollMs,
  workerReleaseTimeoutMs,
} from "../base/limits.ts";
import type { Rng } from "../base/rng.ts";
import { type ActiveTask, listActiveTasks } from "../store/tasks.ts";
import { HostAddition } from "./host-addition.ts";
import { HostRemoval, type HostRemovalDeps } from "./host-removal.ts";
import { acquireLease, type LeaseDeps } from "./lease.ts";
import { prune } from "./prune.ts";
import { rotateCertificates } from "./rotate.ts";
import type { StepDeps } from "./step-deps.ts";
import { createStepRunner } from "./steps.ts";
import { type RunEnd, TaskRun, type TaskRunDeps } from "./task-run.ts";

export type WorkerDeps = LeaseDeps &
  StepDeps &
  Pick<HostRemovalDeps, "removeNode" | "hostWork"> & {
    readonly rng: Rng;
    /** What else is done while this server is the one that works. Ends when the signal aborts. */
    readonly duties?: readonly ((signal: AbortSignal) => Promise<void>)[];
  };

export interface Worker {
  /** Works until the signal aborts; then running steps are stopped and left to the next worker. */
  run(signal: AbortSignal): Promise<void>;
}

/** The worker of this server. At most one of all servers works at a time. `runStep` is what a step really does. */
export function createWorker(
  deps: WorkerDeps,
  runStep: TaskRunDeps["runStep"] = createStepRunner(deps),
): Worker {
  return {
    async run(signal) {
      while (!signal.aborted) {
        try {
          const lease = await acquireLease(deps, signal);
          await serveTerm({ ...deps, lease, runStep });
        } catch (error) {
          if (signal.aborted) return;
          deps.log.error("worker term ended", { error: messageOf(error) });
          await deps.clock.sleep(workerLeasePollMs, signal).catch(() => undefined);
        }
      }
    },
  };
}

/** Everything that is done under one lease. Ends when the lease does. */
async function serveTerm(deps: WorkerDeps & TaskRunDeps): Promise<void> {
  const { lease } = deps;
  const tasks = new TaskLoop(deps);
  await Promise.all([
    tasks.run(lease.lost),
    repeat(deps, certificateCheckIntervalMs, lease.lost, () =>
      lease.work(() => rotateCertificates(deps, lease)),
    ),
    repeat(deps, pruneIntervalMs, lease.lost, () => prune(deps, lease)),
    ...(deps.duties ?? []).map((duty) => duty(lease.lost)),
  ]);
  // Nothing runs any more: whoever leads now need not wait until the lease runs out.
  const bounded = deps.clock.deadline(workerReleaseTimeoutMs);
  await lease.release(bounded).catch((error) => logRelease(deps, error));
}

function logRelease(deps: WorkerDeps, error: unknown): void {
  deps.log.warn("could not release the worker lease", { error: messageOf(error) });
}

/** Runs the duty at intervals, first a minute after the start, when tasks have had their turn. A failure is logged and tried again the next time. */
async function repeat(
  deps: WorkerDeps,
  intervalMs: number,
  signal: AbortSignal,
  duty: () => Promise<void>,
): Promise<void> {
  await deps.clock.sleep(workerDutyDelayMs, signal).catch(() => undefined);
  while (!signal.aborted) {
    try {
      await duty();
    } catch (error) {
      if (!signal.aborted) deps.log.warn("a worker's duty failed", { error: messageOf(error) });
    }
    await deps.clock.sleep(intervalMs, signal).catch(() => undefined);
  }
}

/** Starts runs for tasks that are due and tells running ones about cancels. */
export class TaskLoop {
  readonly #deps: TaskRunDeps & HostRemovalDeps;
  readonly #runs = new Map<
    string,
    { readonly run: TaskRun | HostRemoval | HostAddition; readonly database: string | null }
  >();
  readonly #ends = new Map<string, Promise<void>>();
  /** Abandoned tasks and when, on the monotonic clock, they are tried again. */
  readonly #retryAtMs = new Map<string, number>();
  /** Aborts when a run ended and another task of its database may begin. */
  #wake = new AbortController();

  constructor(deps: TaskRunDeps & HostRemovalDeps) {
    this.#deps = deps;
  }

  /** Looks for tasks until the signal aborts, then waits until every run has stopped. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#deps;
    let version = 0;
    while (!signal.aborted) {
      try {
        version = await store.changeVersion(signal);
        const pauseMs = this.#sweep(await listActiveTasks(store.db));
        await this.#pause(version, pauseMs, signal);
      } catch (error) {
        if (signal.aborted) break;
        log.warn("could not look for tasks", { error: messageOf(error) });
        await this.#deps.clock.sleep(taskSweepIntervalMs, signal).catch(() => undefined);
      }
    }
    await Promise.allSettled(this.#ends.values());
  }

  /** One look. Returns how long nothing will be due unless the store changes. */
  #sweep(active: readonly ActiveTask[]): number {
    const { clock } = this.#deps;
    let pauseMs = active.length > 0 ? taskSweepIntervalMs : taskSweepIdleMs;
    const busy = new Set([...this.#runs.values()].map(({ database }) => database));
    for (const task of active) {
      const running = this.#runs.get(task.id);
      if (running) {
        if (task.status === "canceling") running.run.cancel();
        continue;
      }
      if (this.#runs.size >= taskConcurrencyMax) break;
      if (task.databaseId !== null && busy.has(task.databaseId)) continue;
      const waitMs = this.#waitMs(task, clock.nowMs());
      if (waitMs > 0) {
        pauseMs = Math.min(pauseMs, waitMs);
        continue;
      }
      busy.add(task.databaseId);
      this.#begin(task);
    }
    return pauseMs;
  }

  #waitMs(task: ActiveTask, nowMs: number): number {
    const retryMs = (this.#retryAtMs.get(task.id) ?? 0) - this.#deps.clock.monotonicMs();
    const dueMs = task.status === "pending" ? (task.notBeforeMs ?? 0) - nowMs : 0;
    return Math.max(retryMs, dueMs, 0);
  }

  #begin(task: ActiveTask): void {
    const run = this.#runOf(task);
    this.#runs.set(task.id, { run, database: task.databaseId });
    const end = this.#runUnderLease(run).then((result) => {
      this.#runs.delete(task.id);
      this.#ends.delete(task.id);
      if (result === "final") this.#retryAtMs.delete(task.id);
      else this.#retryAtMs.set(task.id, this.#deps.clock.monotonicMs() + taskSweepIntervalMs);
      this.#wake.abort(new DOMException("a run ended", "AbortError"));
    });
    this.#ends.set(task.id, end);
  }

  /** Never rejects: what could not begin is tried again. */
  async #runUnderLease(run: TaskRun | HostRemoval | HostAddition): Promise<RunEnd> {
    const { lease, log } = this.#deps;
    try {
      return await lease.work(() => run.run());
    } catch (error) {
      log.warn("could not begin a task", { error: messageOf(error) });
      return "abandoned";
    }
  }

  #runOf({ id, scope, addHost }: ActiveTask): TaskRun | HostRemoval | HostAddition {
    if (scope !== "host") return new TaskRun(this.#deps, id);
    return addHost === null ? new HostRemoval(this.#deps, id) : new HostAddition(this.#deps, id);
  }

  /** Ends when the store changed, a run ended or the time is over; changes in quick succession count as one. */
  async #pause(version: number, pauseMs: number, signal: AbortSignal): Promise<void> {
    const { clock, store } = this.#deps;
    await clock.sleep(taskSweepGapMs, signal);
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal, this.#wake.signal]);
    try {
      await Promise.race([store.waitForChange(version, until), clock.sleep(pauseMs, until)]);
    } catch (error) {
      if (!isAbort(error)) throw error;
    } finally {
      over.abort(new DOMException("the pause ended", "AbortError"));
      if (this.#wake.signal.aborted) this.#wake = new AbortController();
    }
  }
}
