// The moment at which PostgreSQL must be gone unless its keeper renews the lease. Kept in a file of the
// runtime directory, so that a fencer that replaces a crashed one still knows it.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { BootClock } from "../../src/base/boot-clock.ts";
import type { Clock } from "../../src/base/clock.ts";
import { hasCode } from "../../src/host/process.ts";
import { parseObject } from "./protocol.ts";

/** Longest wait between two looks at the clock: timers stand still while the machine is suspended, the deadline does not. */
const lookIntervalMs = 200;

export interface Armed {
  readonly epoch: number;
  /** CLOCK_BOOTTIME, milliseconds. */
  readonly deadlineMs: number;
}

export interface DeadlineDeps {
  readonly clock: Clock;
  readonly boot: BootClock;
  /** Where it is kept. */
  readonly file: string;
  /** Called once when an armed deadline has passed. */
  readonly onPassed: (epoch: number) => void;
}

export class Deadline {
  readonly #deps: DeadlineDeps;
  #armed: Armed | undefined;
  #lastEpoch = 0;
  #wake = new AbortController();
  #watching = false;

  /** Takes over what a predecessor of this boot left. */
  constructor(deps: DeadlineDeps) {
    this.#deps = deps;
    this.#load();
    if (this.#armed) void this.#watch();
  }

  get armed(): Armed | undefined {
    return this.#armed;
  }

  /** Sets or moves the deadline; false when the epoch is older than one seen before. */
  arm(epoch: number, deadlineMs: number): boolean {
    if (epoch < this.#lastEpoch) return false;
    this.#lastEpoch = epoch;
    this.#armed = { epoch, deadlineMs };
    this.#save();
    this.#wake.abort();
    void this.#watch();
    return true;
  }

  disarm(): void {
    this.#armed = undefined;
    this.#save();
    this.#wake.abort();
  }

  async #watch(): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    while (this.#armed) {
      const leftMs = this.#armed.deadlineMs - this.#deps.boot.bootMs();
      if (leftMs <= 0) this.#pass(this.#armed.epoch);
      else await this.#wait(Math.min(leftMs, lookIntervalMs));
    }
    this.#watching = false;
  }

  #pass(epoch: number): void {
    this.#armed = undefined;
    this.#save();
    this.#deps.onPassed(epoch);
  }

  /** Ends early when the deadline moves, so that it is looked at again. */
  async #wait(ms: number): Promise<void> {
    this.#wake = new AbortController();
    const awake = () => undefined;
    await this.#deps.clock.sleep(ms, this.#wake.signal).then(awake, awake);
  }

  #load(): void {
    const stored = parseObject(readOr(this.#deps.file, "{}"));
    if (stored?.boot_id !== this.#deps.boot.bootId() || typeof stored.epoch !== "number") return;
    this.#lastEpoch = stored.epoch;
    if (typeof stored.deadline_ms !== "number") return;
    this.#armed = { epoch: stored.epoch, deadlineMs: stored.deadline_ms };
  }

  #save(): void {
    const text = JSON.stringify({
      boot_id: this.#deps.boot.bootId(),
      epoch: this.#lastEpoch,
      deadline_ms: this.#armed?.deadlineMs ?? null,
    });
    writeFileSync(`${this.#deps.file}.tmp`, text, { mode: 0o600 });
    renameSync(`${this.#deps.file}.tmp`, this.#deps.file);
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return otherwise;
    throw error;
  }
}
