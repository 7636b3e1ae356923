// A simulated machine: a clock of its own rate, processes that can be frozen or dead, power that can be lost.
import type { Schedule } from "./schedule.ts";

export const PROCESSES = ["keeper", "fencer", "postgres"] as const;
export type ProcessName = (typeof PROCESSES)[number];

export class Host {
  readonly id: string;
  up = true;
  /** Everything stands still, as when a virtual machine is paused with its clock going on. */
  frozen = false;
  /** Grows with every loss of power: what was scheduled before never runs. */
  boots = 0;
  /** Global time of the last thaw of the whole host. */
  thawedAtMs = Number.NEGATIVE_INFINITY;
  readonly stopped = new Set<ProcessName>();
  readonly #schedule: Schedule;
  readonly #rate: number;
  #bootedAtMs: number;
  #waiting: { readonly process: ProcessName; readonly run: () => void }[] = [];

  constructor(id: string, schedule: Schedule, rate: number, uptimeMs: number) {
    this.id = id;
    this.#schedule = schedule;
    this.#rate = rate;
    this.#bootedAtMs = schedule.nowMs - uptimeMs;
  }

  /** The boot clock of this host. */
  bootMs(): number {
    return (this.#schedule.nowMs - this.#bootedAtMs) * this.#rate;
  }

  /** Runs when this much has passed on this host's clock, unless the power is lost before. */
  after(process: ProcessName, ms: number, run: () => void): void {
    const { boots } = this;
    this.#schedule.after(ms / this.#rate, () => {
      if (boots === this.boots && this.up) this.now(process, run);
    });
  }

  /** Like `after`, by the kernel or the service manager: waits for the whole host only. */
  watch(ms: number, run: () => void): void {
    const { boots } = this;
    this.#schedule.after(ms / this.#rate, () => {
      if (boots !== this.boots || !this.up) return;
      if (this.frozen) this.#waiting.push({ process: "fencer", run });
      else run();
    });
  }

  /** Runs now, or when the process runs again. */
  now(process: ProcessName, run: () => void): void {
    if (this.isStopped(process)) this.#waiting.push({ process, run });
    else run();
  }

  isStopped(process: ProcessName): boolean {
    return this.frozen || this.stopped.has(process);
  }

  /** Lets go on what can: in a random order, because nobody knows who gets the processor first. */
  resume(shuffle: <T>(items: T[]) => T[]): void {
    const waiting = shuffle(this.#waiting);
    this.#waiting = [];
    for (const { process, run } of waiting) this.now(process, run);
  }

  powerOff(): void {
    this.up = false;
    this.boots += 1;
    this.frozen = false;
    this.stopped.clear();
    this.#waiting = [];
  }

  powerOn(): void {
    this.up = true;
    this.#bootedAtMs = this.#schedule.nowMs;
  }
}
