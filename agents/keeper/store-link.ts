// Everything between the keeper and the store, away from the loop that looks after PostgreSQL: it notices
// changes, sends answers until they are recorded, and sends reports.
import type { Clock } from "../../src/base/clock.ts";
import { isAbort, messageOf } from "../../src/base/errors.ts";
import {
  instanceReportIntervalMs,
  keeperBusyPollMs,
  keeperIdlePollMs,
} from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/log.ts";
import type { InstanceReport, KeeperAnswer } from "../../src/spec/instance-config.ts";
import type { DesiredState, HaStore, PendingRequest } from "../../src/store/ha-store.ts";
import type { Wake } from "./wake.ts";

export interface StoreLinkDeps {
  readonly store: HaStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether changes are to be noticed quickly. */
  readonly busy: () => boolean;
  /** There is something new to look at. */
  readonly onChange: () => void;
  /** The store was looked at; `news`: the rows of the node are not what they were. */
  readonly onGlance: (news: boolean) => void;
  /** Woken when a report or an answer waits. */
  readonly outbox: Wake;
}

/** Pause after a failure of the store, on top of its own retries. */
const FAILURE_PAUSE_MS = 500;

export class StoreLink {
  readonly #deps: StoreLinkDeps;
  readonly #answers = new Map<string, KeeperAnswer>();
  #desired: DesiredState | undefined;
  #seenAtMs: number | undefined;
  #report: InstanceReport | undefined;
  #sent: { readonly report: InstanceReport; readonly atMs: number } | undefined;

  constructor(deps: StoreLinkDeps) {
    this.#deps = deps;
  }

  /** What the store said last; undefined before its first answer. */
  get desired(): DesiredState | undefined {
    return this.#desired;
  }

  /** When the store answered last, wall time. */
  get seenAtMs(): number | undefined {
    return this.#seenAtMs;
  }

  /** Requests that wait, without those whose answer is on its way. */
  get requests(): readonly PendingRequest[] {
    const requests = this.#desired?.requests ?? [];
    return requests.filter((request) => !this.#answers.has(request.id));
  }

  /** Sends the answer until it is recorded. */
  answer(requestId: string, answer: KeeperAnswer): void {
    this.#answers.set(requestId, answer);
    this.#deps.outbox.wake();
  }

  /** Sends the report: at once when it says something new, otherwise every `instanceReportIntervalMs`. */
  publish(report: InstanceReport): void {
    this.#report = report;
    if (this.#due()) this.#deps.outbox.wake();
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#watch(signal), this.#send(signal)]);
  }

  /** Sends what waits, once. Throws what the store throws. */
  async flush(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#deps;
    for (const [id, answer] of [...this.#answers]) {
      await store.answer(id, answer, clock.nowMs(), signal);
      this.#forget(id);
    }
    const report = this.#report;
    if (!report || !this.#due()) return;
    await store.saveReport(report, isNews(report, this.#sent?.report), signal);
    this.#sent = { report, atMs: clock.monotonicMs() };
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { store, clock, busy, onChange, onGlance } = this.#deps;
    let seen = -1;
    let group = "";
    while (!signal.aborted) {
      await this.#guarded("the store cannot be read", signal, async () => {
        const glance = await store.glance(signal);
        this.#seenAtMs = clock.nowMs();
        onGlance(glance.group !== group);
        group = glance.group;
        if (glance.version === seen) return;
        this.#desired = await store.loadDesired(signal);
        seen = glance.version;
        onChange();
      });
      const pauseMs = busy() ? keeperBusyPollMs : keeperIdlePollMs;
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  async #send(signal: AbortSignal): Promise<void> {
    const { outbox } = this.#deps;
    while (!signal.aborted) {
      await outbox.wait(instanceReportIntervalMs, signal);
      if (signal.aborted) return;
      await this.#guarded("the store cannot be written", signal, () => this.flush(signal));
      if (this.#answers.size > 0) outbox.wake();
    }
  }

  /** The request is gone from the store's list too, until that is read again. */
  #forget(requestId: string): void {
    this.#answers.delete(requestId);
    const desired = this.#desired;
    if (!desired) return;
    const requests = desired.requests.filter((request) => request.id !== requestId);
    this.#desired = { ...desired, requests };
  }

  #due(): boolean {
    const { clock } = this.#deps;
    if (!this.#report) return false;
    if (!this.#sent || isNews(this.#report, this.#sent.report)) return true;
    return clock.monotonicMs() - this.#sent.atMs >= instanceReportIntervalMs;
  }

  async #guarded(what: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (signal.aborted && isAbort(error)) return;
      this.#deps.log.warn(what, { error: messageOf(error) });
      await this.#deps.clock.sleep(FAILURE_PAUSE_MS, signal).catch(() => undefined);
    }
  }
}

/** What does not change by the mere passing of time. */
function lastingOf(report: InstanceReport): object {
  const { observed_at_ms: _, lsn: __, receive_lsn: ___, replay_lsn: ____, ...lasting } = report;
  return { ...lasting, slots: report.slots?.rows.map(({ name }) => name) };
}

/** Whether anything but the passing of time changed. */
function isNews(report: InstanceReport, before: InstanceReport | undefined): boolean {
  if (!before) return true;
  return JSON.stringify(lastingOf(report)) !== JSON.stringify(lastingOf(before));
}
