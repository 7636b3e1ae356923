// The task that removes a host: it waits until every database has left it, takes the host's member out of the
// store, and forgets the host. May be cut at any point and begun again.
import { messageOf } from "../base/errors.ts";
import { hostRemovalPollMs } from "../base/limits.ts";
import { deleteHost } from "../store/hosts.ts";
import { lastEntryId } from "../store/task-log.ts";
import { listChildTasks, loadTask, moveTask, type TaskRecord } from "../store/tasks.ts";
import { type JournalDeps, TaskJournal } from "./journal.ts";
import type { RunEnd } from "./task-run.ts";

export interface HostRemovalDeps extends JournalDeps {
  /** Takes a host's member out of the store; nothing happens when it has none. */
  readonly removeNode: (hostId: string) => Promise<void>;
}

const ACTIVE: readonly string[] = ["pending", "running", "canceling"];

export class HostRemoval {
  readonly #deps: HostRemovalDeps;
  readonly #taskId: string;

  constructor(deps: HostRemovalDeps, taskId: string) {
    this.#deps = deps;
    this.#taskId = taskId;
  }

  /** Cannot be canceled: the databases have been told to leave. */
  cancel(): void {
    this.#deps.log.warn("the removal of a host cannot be canceled", { taskId: this.#taskId });
  }

  /** Runs until the task is final or has to be abandoned. Never throws. */
  async run(): Promise<RunEnd> {
    try {
      return await this.#run();
    } catch (error) {
      const fields = { taskId: this.#taskId, error: messageOf(error) };
      this.#deps.log.warn("task run abandoned", fields);
      return "abandoned";
    }
  }

  async #run(): Promise<RunEnd> {
    const { store } = this.#deps;
    const task = await loadTask(store.db, this.#taskId);
    const hostId = task?.work.removeHost;
    if (!task || task.completedAtMs !== null || hostId === undefined) return "final";
    const journal = new TaskJournal(this.#deps, task, await lastEntryId(store.db, task.id));
    await journal.commit([], ["running"]);
    const failed = await this.#departures(task, journal);
    if (failed.length > 0) {
      const error = `host ${hostId} stays: ${failed.join("; ")}`;
      return this.#end(task, journal, { status: "failed", error });
    }
    journal.log.write("removing host", { host_id: hostId });
    await this.#deps.removeNode(hostId);
    journal.record(deleteHost(store.db, hostId));
    journal.log.write("removed host", { host_id: hostId });
    return this.#end(task, journal, { status: "completed", error: null });
  }

  /** Waits for the tasks of the databases; what became of those that failed. */
  async #departures(task: TaskRecord, journal: TaskJournal): Promise<readonly string[]> {
    const { store, clock, lease } = this.#deps;
    const told = new Set<string>();
    for (;;) {
      const children = await listChildTasks(store.db, task.id);
      for (const { id, databaseId, status, error } of children) {
        if (ACTIVE.includes(status) || told.has(id)) continue;
        told.add(id);
        const fields = { database_id: databaseId, status, ...(error ? { error } : {}) };
        journal.log.write(`database ${databaseId} has left: ${status}`, fields);
      }
      if (children.every(({ status }) => !ACTIVE.includes(status))) {
        return children
          .filter(({ status }) => status !== "completed")
          .map(({ databaseId, status, error }) => `${databaseId}: ${error ?? status}`);
      }
      await clock.sleep(hostRemovalPollMs, lease.lost);
    }
  }

  async #end(
    task: TaskRecord,
    journal: TaskJournal,
    end: { readonly status: "completed" | "failed"; readonly error: string | null },
  ): Promise<RunEnd> {
    const { store, clock } = this.#deps;
    const change = { ...end, completedAtMs: clock.nowMs() };
    await journal.commit([moveTask(store.db, task.id, ["running"], change)], ["running"]);
    return "final";
  }
}
