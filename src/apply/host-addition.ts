// The task that adds a host: the machine is prepared, then it is in the list of hosts, healthy. May be cut at
// any point and begun again; a failed one takes back what it made and keeps no credentials.
import { AppError, messageOf } from "../base/errors.ts";
import {
  hostCleaningTimeoutMs,
  hostPreparationTimeoutMs,
  stepAbortGraceMs,
  stepAttemptsMax,
} from "../base/limits.ts";
import { backoffMs } from "../base/retry.ts";
import type { Rng } from "../base/rng.ts";
import type { PlannedHost } from "../spec/add-host.ts";
import { saveHostSettings } from "../store/host-settings.ts";
import { insertHost, listHosts, saveHostStatus } from "../store/hosts.ts";
import type { Query } from "../store/statement.ts";
import type { Store } from "../store/store.ts";
import { lastEntryId } from "../store/task-log.ts";
import { forgetAddition, loadTask, moveTask, type TaskRecord } from "../store/tasks.ts";
import type { HostMade, HostWork, WorkSite } from "./host-work.ts";
import { type JournalDeps, TaskJournal } from "./journal.ts";
import type { RunEnd } from "./task-run.ts";
import { within } from "./within.ts";

export interface HostAdditionDeps extends JournalDeps {
  readonly rng: Rng;
  readonly hostWork: HostWork;
}

const RETRY = { firstMs: 500, maxMs: 5_000 };

export class HostAddition {
  readonly #deps: HostAdditionDeps;
  readonly #taskId: string;

  constructor(deps: HostAdditionDeps, taskId: string) {
    this.#deps = deps;
    this.#taskId = taskId;
  }

  /** Not offered: it ends by itself within its time limit. */
  cancel(): void {
    this.#deps.log.warn("the addition of a host cannot be canceled", { taskId: this.#taskId });
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
    const planned = task?.work.addHost;
    if (!task || task.completedAtMs !== null || planned === undefined) return "final";
    const journal = new TaskJournal(this.#deps, task, await lastEntryId(store.db, task.id));
    await journal.commit([], ["running"]);
    const flushing = new AbortController();
    const flusher = journal.log.run(flushing.signal);
    try {
      return await this.#work(task, planned, journal);
    } finally {
      flushing.abort(new DOMException("the task run ended", "AbortError"));
      await flusher;
    }
  }

  async #work(task: TaskRecord, planned: PlannedHost, journal: TaskJournal): Promise<RunEnd> {
    const { store, clock, lease } = this.#deps;
    const log: WorkSite["log"] = (message, fields = {}) =>
      journal.log.write(message, { host_id: planned.id, ...fields });
    try {
      const made = await this.#make(planned, log);
      if (made.kind === "managed") await this.#checkFree(planned.id);
      log("added host", { as: made.kind === "member" ? "member" : "host without a server" });
      return await this.#end(task, journal, { status: "completed", error: null }, [
        ...(made.kind === "managed"
          ? [
              insertHost(store.db, made.record, clock.nowMs()),
              saveHostStatus(store.db, planned.id, { components: made.components }, clock.nowMs()),
            ]
          : []),
        ...labelStatements(store.db, planned),
      ]);
    } catch (thrown) {
      lease.lost.throwIfAborted();
      const error = `host ${planned.id} was not added: ${messageOf(thrown)}`;
      log(error, { error: messageOf(thrown) });
      await this.#unmake(planned, log);
      return this.#end(task, journal, { status: "failed", error }, []);
    }
  }

  /** What may pass is tried again. */
  async #make(planned: PlannedHost, log: WorkSite["log"]): Promise<HostMade> {
    const { clock, rng, lease, hostWork } = this.#deps;
    const signal = clock.deadline(hostPreparationTimeoutMs, lease.lost);
    for (let attempt = 1; ; attempt++) {
      try {
        const making = hostWork.make(planned, { signal, log });
        return await within(clock, making, signal, stepAbortGraceMs);
      } catch (error) {
        const passing = error instanceof AppError && error.kind === "retryable";
        if (signal.aborted || !passing || attempt >= stepAttemptsMax) throw error;
        log(`will try again: ${messageOf(error)}`, { attempt });
        await clock.sleep(backoffMs(RETRY, attempt - 1, rng), signal);
      }
    }
  }

  /** A server of the same name may have joined meanwhile. */
  async #checkFree(hostId: string): Promise<void> {
    const [known] = await listHosts(this.#deps.store.db, [hostId]);
    if (known) throw new AppError("terminal", "another host took its id meanwhile");
  }

  /** A host that is in the list, in whatever way it came there, is left alone. */
  async #unmake(planned: PlannedHost, log: WorkSite["log"]): Promise<void> {
    const { store, clock, lease, hostWork } = this.#deps;
    const signal = clock.deadline(hostCleaningTimeoutMs, lease.lost);
    try {
      const [known] = await listHosts(store.db, [planned.id]);
      if (known) return;
      await within(clock, hostWork.unmake(planned, { signal, log }), signal, stepAbortGraceMs);
    } catch (thrown) {
      lease.lost.throwIfAborted();
      log(`what was put there may still be there: ${messageOf(thrown)}`);
    }
  }

  async #end(
    task: TaskRecord,
    journal: TaskJournal,
    end: { readonly status: "completed" | "failed"; readonly error: string | null },
    statements: readonly Query[],
  ): Promise<RunEnd> {
    const { store, clock } = this.#deps;
    const change = { ...end, completedAtMs: clock.nowMs() };
    await journal.commit(
      [
        ...statements,
        forgetAddition(store.db, task.id),
        moveTask(store.db, task.id, ["running"], change),
      ],
      ["running"],
    );
    return "final";
  }
}

/** Labels are what users say of a host, apart from what it is. */
function labelStatements(db: Store["db"], { id, labels }: PlannedHost): readonly Query[] {
  if (labels === undefined || Object.keys(labels).length === 0) return [];
  return [
    saveHostSettings(db, id, { generation: 0, labels, clientAddresses: null, maintenance: null }),
  ];
}
