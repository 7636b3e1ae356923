// The task that removes a host: it waits until every database has left it, takes the host's member out of the
// store, and forgets the host. May be cut at any point and begun again.
import { messageOf } from "../base/errors.ts";
import { hostCleaningTimeoutMs, hostRemovalPollMs, stepAbortGraceMs } from "../base/limits.ts";
import { raiseClusterSetting } from "../store/cluster-settings.ts";
import { deleteHost, listHosts } from "../store/hosts.ts";
import { listInstances } from "../store/instances.ts";
import { lastEntryId } from "../store/task-log.ts";
import {
  listActiveTasks,
  listChildTasks,
  loadTask,
  moveTask,
  type TaskRecord,
} from "../store/tasks.ts";
import type { HostWork } from "./host-work.ts";
import { type JournalDeps, TaskJournal } from "./journal.ts";
import type { LogFields } from "./log.ts";
import type { RunEnd } from "./task-run.ts";
import { within } from "./within.ts";

export interface HostRemovalDeps extends JournalDeps {
  readonly hostWork: HostWork;
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
    const failed = await this.#departures(task, hostId, journal);
    if (failed.length > 0) {
      const error = `host ${hostId} stays: ${failed.join("; ")}`;
      return this.#end(task, journal, { status: "failed", error });
    }
    journal.log.write("removing host", { host_id: hostId });
    const left = await this.#clean(task, hostId, journal);
    if (left !== undefined) return this.#end(task, journal, { status: "failed", error: left });
    await this.#deps.removeNode(hostId);
    // The host knows the passwords of the store: from now on they are replaced.
    const passwords = raiseClusterSetting(
      store.db,
      "store_users_after_ms",
      this.#deps.clock.nowMs(),
    );
    journal.record([...deleteHost(store.db, hostId), passwords]);
    journal.log.write("removed host", { host_id: hostId });
    return this.#end(task, journal, { status: "completed", error: null });
  }

  /** Leaves nothing on a host without a server. Why it has to stay in the list; undefined when it need not. */
  async #clean(
    task: TaskRecord,
    hostId: string,
    journal: TaskJournal,
  ): Promise<string | undefined> {
    const { store, clock, lease, hostWork } = this.#deps;
    const [host] = await listHosts(store.db, [hostId]);
    if (!host?.record.ssh) return undefined;
    const signal = clock.deadline(hostCleaningTimeoutMs, lease.lost);
    const log = (message: string, fields: LogFields = {}) =>
      journal.log.write(message, { host_id: hostId, ...fields });
    const flushing = new AbortController();
    const flusher = journal.log.run(flushing.signal);
    try {
      const cleaning = hostWork.clean(host.record, { signal, log });
      await within(clock, cleaning, signal, stepAbortGraceMs);
      log("nothing of pgherd is left there");
      return undefined;
    } catch (thrown) {
      lease.lost.throwIfAborted();
      const why = messageOf(thrown);
      const { data_dir, instance_dir, run_dir } = host.record;
      if (task.work.removeForce !== true) {
        return `host ${hostId} stays: it cannot be cleaned: ${why}; with force it is forgotten as it is`;
      }
      log(`cannot be cleaned, and is forgotten as it is: ${why}`, {
        stays: [data_dir, instance_dir, run_dir, "pgherd-* units", "processes of its instances"],
      });
      return undefined;
    } finally {
      flushing.abort(new DOMException("the cleaning ended", "AbortError"));
      await flusher;
    }
  }

  /** Waits for the tasks of the databases; what became of those that failed. */
  async #departures(
    task: TaskRecord,
    hostId: string,
    journal: TaskJournal,
  ): Promise<readonly string[]> {
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
        const open = await this.#unfinished(children, hostId);
        if (open !== "wait") return open;
      }
      await clock.sleep(hostRemovalPollMs, lease.lost);
    }
  }

  /** A departure may be replaced by that from another host, which goes on with it: what counts is who is still here. */
  async #unfinished(
    children: readonly Pick<TaskRecord, "databaseId" | "status" | "error">[],
    hostId: string,
  ): Promise<readonly string[] | "wait"> {
    const { store } = this.#deps;
    const failed: string[] = [];
    for (const { databaseId, status, error } of children) {
      if (status === "completed" || databaseId === null) continue;
      const active = await listActiveTasks(store.db);
      if (active.some((each) => each.databaseId === databaseId)) return "wait";
      const instances = await listInstances(store.db, databaseId);
      if (instances.some((instance) => instance.hostId === hostId))
        failed.push(`${databaseId}: ${error ?? status}`);
    }
    return failed;
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
