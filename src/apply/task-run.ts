// One run of one task by one worker: steps in dependency order, a record before and after each, a final state.
// May be cut at any point: what was recorded is skipped by the next run, what was not is done again.
import { AppError, messageOf } from "../base/errors.ts";
import { stepAbortGraceMs, stepAttemptsMax, stepConcurrencyMax } from "../base/limits.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import { type Plan, resourceKey, type Step, type StoredResource } from "../plan/resource.ts";
import { listResources } from "../store/resources.ts";
import type { Query } from "../store/statement.ts";
import type { Guard } from "../store/store.ts";
import { lastEntryId } from "../store/task-log.ts";
import { loadSteps, loadTask, type TaskRecord } from "../store/tasks.ts";
import { type JournalDeps, TaskJournal } from "./journal.ts";
import type { LogFields } from "./log.ts";
import { type Decision, decide, startText, stepFailureText, successText } from "./progress.ts";
import {
  abortStatements,
  beginStatements,
  completeStatements,
  doneStatements,
  failedStatements,
  type RecordContext,
} from "./record.ts";
import { within } from "./within.ts";

/** What the handler of a step gets. */
export interface StepRun {
  readonly taskId: string;
  readonly plan: Plan;
  readonly step: Step;
  /** Aborts when the step's time is over, the task is canceled or the worker lost its lease. */
  readonly signal: AbortSignal;
  /** Must stand in every commit of the step: an outdated worker writes nothing. */
  readonly guard: Guard;
  /** Of the worker; grows with every change of worker. */
  readonly epoch: number;
  readonly log: (message: string, fields?: LogFields) => void;
}

export interface TaskRunDeps extends JournalDeps {
  readonly rng: Rng;
  readonly runStep: (run: StepRun) => Promise<void>;
}

/** final: the task reached a final status. abandoned: someone has to run it again. */
export type RunEnd = "final" | "abandoned";

const RETRY = { firstMs: 200, maxMs: 5_000 };

export class TaskRun {
  readonly taskId: string;
  readonly #deps: TaskRunDeps;
  readonly #stop = new AbortController();
  readonly #done = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #failed = new Map<string, string>();
  #stored: ReadonlyMap<string, StoredResource> = new Map();
  #ended: { readonly step: Step; readonly error: string | null }[] = [];
  #canceling = false;
  #startedMs = 0;
  #wake: () => void = () => undefined;

  constructor(deps: TaskRunDeps, taskId: string) {
    this.#deps = deps;
    this.taskId = taskId;
  }

  /** Asks the run to end as canceled. */
  cancel(): void {
    if (this.#canceling) return;
    this.#canceling = true;
    this.#stop.abort(new DOMException("the task was canceled", "AbortError"));
    this.#wake();
  }

  /** Runs until the task is final or has to be abandoned. Never throws. */
  async run(): Promise<RunEnd> {
    const { lease, log } = this.#deps;
    const onLost = () => {
      this.#stop.abort(lease.lost.reason);
      this.#wake();
    };
    lease.lost.addEventListener("abort", onLost, { once: true });
    if (lease.lost.aborted) onLost();
    try {
      return await this.#run();
    } catch (error) {
      log.warn("task run abandoned", { taskId: this.taskId, error: messageOf(error) });
      return "abandoned";
    } finally {
      lease.lost.removeEventListener("abort", onLost);
      this.#stop.abort(new DOMException("the task run ended", "AbortError"));
      await Promise.allSettled(this.#running.values());
    }
  }

  async #run(): Promise<RunEnd> {
    const { store, clock } = this.#deps;
    const task = await loadTask(store.db, this.taskId);
    if (!task || task.completedAtMs !== null) return "final";
    this.#startedMs = clock.monotonicMs();
    const journal = new TaskJournal(this.#deps, task, await lastEntryId(store.db, this.taskId));
    const flushing = new AbortController();
    const flusher = journal.log.run(flushing.signal);
    try {
      await this.#resume(task, journal);
      return await this.#loop(task, journal);
    } catch (error) {
      if (!isBug(error)) throw error;
      return await this.#fail(task, journal, messageOf(error));
    } finally {
      flushing.abort(new DOMException("the task run ended", "AbortError"));
      await flusher;
    }
  }

  /** Reads how far an earlier run came. A step it left in doubt is simply not done yet. */
  async #resume(task: TaskRecord, journal: TaskJournal): Promise<void> {
    const { store } = this.#deps;
    const { plan } = task.work;
    const stored = await listResources(store.db, plan.databaseId);
    this.#stored = new Map(stored.map((resource) => [resourceKey(resource), resource]));
    if (task.status === "canceling") this.cancel();
    if (task.startedAtMs === null) {
      const fields = { steps: plan.steps.length, generation: plan.generation };
      journal.log.write(`started ${kindOf(task)} plan`, fields);
      return;
    }
    const steps = new Map(plan.steps.map((step) => [step.id, step]));
    for (const { stepId, state, error } of await loadSteps(store.db, task.id)) {
      const step = steps.get(stepId);
      if (state === "done") this.#done.add(stepId);
      if (state === "failed") this.#failed.set(stepId, error ?? "failed");
      if (state === "running" && step && this.#canceling) {
        journal.record(this.#failure(task, step, "canceled"));
      }
    }
    journal.log.write("resumed after the worker changed", { steps_done: this.#done.size });
  }

  async #loop(task: TaskRecord, journal: TaskJournal): Promise<RunEnd> {
    let announced = false;
    for (;;) {
      this.#deps.lease.lost.throwIfAborted();
      this.#collect(task, journal);
      if (this.#canceling && !announced) {
        announced = true;
        journal.log.write("task is being canceled");
      }
      const decision = decide(task.work.plan.steps, this.#progress(), stepConcurrencyMax);
      switch (decision.kind) {
        case "start":
          await this.#start(task, journal, decision.steps);
          break;
        case "wait":
          if (journal.behind) await journal.commit([], ["running", "canceling"]);
          await this.#nextEvent();
          break;
        default:
          if (await this.#finish(task, journal, decision)) return "final";
      }
    }
  }

  #progress() {
    return {
      done: this.#done,
      running: new Set(this.#running.keys()),
      failed: this.#failed,
      canceling: this.#canceling,
    };
  }

  /** Takes in the steps that ended since the last look. */
  #collect(task: TaskRecord, journal: TaskJournal): void {
    const ended = this.#ended;
    this.#ended = [];
    for (const { step, error } of ended) {
      this.#running.delete(step.id);
      if (error === null) {
        this.#done.add(step.id);
        const last = this.#isLast(task, step);
        journal.record(doneStatements(this.#context(task), step, last));
      } else {
        this.#failed.set(step.id, error);
        journal.record(this.#failure(task, step, error));
      }
    }
  }

  #failure(task: TaskRecord, step: Step, error: string): readonly Query[] {
    const previous = this.#stored.get(resourceKey(step.resource));
    return failedStatements(this.#context(task), step, previous, error);
  }

  #isLast(task: TaskRecord, step: Step): boolean {
    const { instanceId } = step.resource;
    return !task.work.plan.steps.some(
      (other) => other.resource.instanceId === instanceId && !this.#done.has(other.id),
    );
  }

  async #start(task: TaskRecord, journal: TaskJournal, steps: readonly Step[]): Promise<void> {
    const begins = steps.flatMap((step) => beginStatements(this.#context(task), step));
    const end = await journal.commit(begins, ["running"]);
    if (end === "canceling") this.cancel();
    if (this.#canceling) return this.#undo(task, journal, end === "applied" ? steps : []);
    for (const step of steps) {
      this.#running.set(step.id, this.#runStep(task, journal, step));
    }
  }

  /** Steps that were recorded as begun when the cancel came, and never will. */
  #undo(task: TaskRecord, journal: TaskJournal, steps: readonly Step[]): void {
    for (const step of steps) journal.record(this.#failure(task, step, "canceled"));
  }

  /** Runs one step to its end and reports it to the loop. Never throws. */
  async #runStep(task: TaskRecord, journal: TaskJournal, step: Step): Promise<void> {
    const { clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    const fields = fieldsOf(step);
    journal.log.write(startText(step), fields);
    const error = await this.#tryStep(task, journal, step);
    const duration_ms = Math.round(clock.monotonicMs() - startedMs);
    if (error === null) {
      journal.log.write(successText(step), { ...fields, duration_ms, success: true });
    } else {
      const failure = { ...fields, duration_ms, success: false, error };
      journal.log.write(stepFailureText(step, error), failure);
    }
    this.#ended.push({ step, error });
    this.#wake();
  }

  /** null, or what went wrong. What may pass is tried again. */
  async #tryStep(task: TaskRecord, journal: TaskJournal, step: Step): Promise<string | null> {
    const { clock, rng, lease, runStep } = this.#deps;
    const signal = clock.deadline(step.timeoutMs, this.#stop.signal);
    const run: StepRun = {
      taskId: task.id,
      plan: task.work.plan,
      step,
      signal,
      guard: lease.guard,
      epoch: lease.epoch,
      log: (message, fields = {}) => journal.log.write(message, { ...fieldsOf(step), ...fields }),
    };
    for (let attempt = 1; ; attempt++) {
      try {
        await within(clock, runStep(run), signal, stepAbortGraceMs);
        return null;
      } catch (error) {
        const passing = error instanceof AppError && error.kind === "retryable";
        if (signal.aborted || !passing || attempt >= stepAttemptsMax) {
          return this.#describe(error, step, signal);
        }
        run.log(`will try again: ${messageOf(error)}`, { attempt });
      }
      try {
        await clock.sleep(backoffMs(RETRY, attempt - 1, rng), signal);
      } catch (error) {
        return this.#describe(error, step, signal);
      }
    }
  }

  #describe(error: unknown, step: Step, signal: AbortSignal): string {
    if (this.#stop.signal.aborted) return this.#canceling ? "canceled" : "interrupted";
    if (!signal.aborted) return messageOf(error);
    const detail = error === signal.reason ? "" : `: ${messageOf(error)}`;
    return `timed out after ${step.timeoutMs / 1_000} s${detail}`;
  }

  /** Commits the final state; false when a cancel came meanwhile. */
  async #finish(
    task: TaskRecord,
    journal: TaskJournal,
    decision: Extract<Decision, { kind: "complete" | "fail" | "cancel" }>,
  ): Promise<boolean> {
    switch (decision.kind) {
      case "complete":
        return this.#complete(task, journal);
      case "fail":
        await this.#fail(task, journal, decision.error);
        return !this.#canceling;
      case "cancel":
        return this.#endCanceled(task, journal);
    }
  }

  async #complete(task: TaskRecord, journal: TaskJournal): Promise<boolean> {
    const text = `finished ${kindOf(task)} plan`;
    journal.log.write(text, { duration_ms: this.#elapsedMs(), success: true });
    const end = await journal.commit(completeStatements(this.#context(task)), ["running"]);
    if (end === "canceling") this.cancel();
    return end === "applied";
  }

  async #fail(task: TaskRecord, journal: TaskJournal, error: string): Promise<RunEnd> {
    const fields = { duration_ms: this.#elapsedMs(), success: false, error };
    journal.log.write(`${kindOf(task)} plan failed`, fields);
    const statements = abortStatements(this.#context(task), { status: "failed", error });
    const end = await journal.commit(statements, ["running"]);
    if (end === "canceling") this.cancel();
    return end === "applied" ? "final" : "abandoned";
  }

  async #endCanceled(task: TaskRecord, journal: TaskJournal): Promise<boolean> {
    journal.log.write("task canceled", { status: "canceled" });
    const end = { status: "canceled", error: "canceled" } as const;
    await journal.commit(abortStatements(this.#context(task), end), ["canceling"]);
    return true;
  }

  #context(task: TaskRecord): RecordContext {
    const { store, clock } = this.#deps;
    return { db: store.db, taskId: task.id, plan: task.work.plan, atMs: clock.nowMs() };
  }

  #elapsedMs(): number {
    return Math.round(this.#deps.clock.monotonicMs() - this.#startedMs);
  }

  /** Resolves when a step ended, a cancel came, or the lease is lost. */
  async #nextEvent(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const nothingRuns = this.#running.size === 0;
    if (this.#ended.length > 0 || nothingRuns || this.#deps.lease.lost.aborted) resolve();
    await promise;
  }
}

/** What trying again would only repeat. */
function isBug(error: unknown): boolean {
  return error instanceof AppError ? error.kind !== "retryable" : !(error instanceof DOMException);
}

function kindOf(task: TaskRecord): string {
  return task.work.plan.kind.replaceAll("_", " ");
}

function fieldsOf({ resource }: Step): LogFields {
  return {
    resource_type: resource.kind,
    resource_id: resource.id,
    host_id: resource.hostId,
  };
}
