// Everything one task writes: its claim, records of its steps, its log and its end, in commits that follow one
// another and that all stand under the worker's lease and the task's claim.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import type { TaskStatus } from "../spec/task.ts";
import type { Query } from "../store/statement.ts";
import type { Guard, Store } from "../store/store.ts";
import { appendLog } from "../store/task-log.ts";
import {
  claimGuard,
  loadTask,
  moveTask,
  type TaskRecord,
  taskStatusGuard,
} from "../store/tasks.ts";
import type { Lease } from "./lease.ts";
import { TaskLogWriter } from "./log.ts";

export interface JournalDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly lease: Lease;
}

/** What a commit came to: canceling = refused, because a cancel was asked for meanwhile. */
export type CommitEnd = "applied" | "canceling";

/** The run has to stop: lease or claim are gone, and nothing more may be written. */
export class Abandoned extends AppError {
  constructor(why: string) {
    super("retryable", why);
  }
}

export class TaskJournal {
  readonly log: TaskLogWriter;
  readonly #deps: JournalDeps;
  readonly #task: TaskRecord;
  #claimed = false;
  /** Records that wait for the next commit. */
  #waiting: Query[] = [];
  /** The end of the chain of commits. */
  #tail: Promise<unknown> = Promise.resolve();

  /** `lastEntryId`: newest log entry of an earlier run. */
  constructor(deps: JournalDeps, task: TaskRecord, lastEntryId: string | undefined) {
    this.#deps = deps;
    this.#task = task;
    this.log = new TaskLogWriter({
      clock: deps.clock,
      ids: deps.ids,
      log: deps.log,
      lastEntryId,
      flush: async () => {
        if (this.#claimed) await this.commit([], ["running", "canceling"]);
      },
    });
  }

  /** Puts records into the next commit. */
  record(statements: readonly Query[]): void {
    this.#waiting.push(...statements);
  }

  /** Whether records wait. */
  get behind(): boolean {
    return this.#waiting.length > 0;
  }

  /** Commits waiting records, these statements and log entries, while the task is in one of the statuses. */
  commit(statements: readonly Query[], statuses: readonly TaskStatus[]): Promise<CommitEnd> {
    const next = this.#tail.then(() => this.#commit(statements, statuses));
    this.#tail = next.catch(() => undefined);
    return next;
  }

  async #commit(statements: readonly Query[], statuses: readonly TaskStatus[]): Promise<CommitEnd> {
    const { store, ids, lease } = this.#deps;
    const records = [...this.#waiting];
    const entries = this.log.take();
    let applied = false;
    try {
      const outcome = await store.commit({
        opId: ids.uuid(),
        guards: [lease.guard, this.#guard(statuses)],
        statements: [
          ...(this.#claimed ? [] : this.#claim()),
          ...records,
          ...statements,
          ...appendLog(store.db, this.#task.id, entries),
        ],
      });
      applied = outcome.ok;
      if (!outcome.ok) return await this.#refused(outcome.conflict, statuses);
      this.#claimed = true;
      this.#waiting = this.#waiting.slice(records.length);
      return "applied";
    } finally {
      if (applied) this.log.confirm();
      else this.log.restore();
    }
  }

  async #refused(conflict: string, statuses: readonly TaskStatus[]): Promise<CommitEnd> {
    if (conflict.startsWith("constraint")) throw new AppError("bug", `commit refused: ${conflict}`);
    if (conflict === this.#deps.lease.guard.name) throw new Abandoned("the worker lease is gone");
    const now = await loadTask(this.#deps.store.db, this.#task.id);
    if (now?.status === "canceling" && !statuses.includes("canceling")) return "canceling";
    throw new Abandoned(`the task is ${now?.status ?? "gone"}, run by epoch ${now?.epoch}`);
  }

  #guard(statuses: readonly TaskStatus[]): Guard {
    const { store, lease } = this.#deps;
    if (this.#claimed) return claimGuard(store.db, this.#task.id, lease.epoch, statuses);
    const open = statuses.includes("running") ? [...statuses, "pending" as const] : statuses;
    return taskStatusGuard(store.db, this.#task.id, open);
  }

  #claim(): readonly Query[] {
    const { store, clock, lease } = this.#deps;
    const { id } = this.#task;
    const claim = { epoch: lease.epoch, startedAtMs: this.#task.startedAtMs ?? clock.nowMs() };
    return [
      moveTask(store.db, id, ["pending", "running"], { status: "running", ...claim }),
      moveTask(store.db, id, ["canceling"], { status: "canceling", ...claim }),
    ];
  }
}
