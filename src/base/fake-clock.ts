// A Clock that stands still until a test moves it.
import type { Clock } from "./clock.ts";

interface Waiter {
  readonly atMs: number;
  readonly wake: () => void;
}

/** Manual time: `advance` fires every sleep and deadline that is due, in order. */
export class FakeClock implements Clock {
  #nowMs: number;
  #waiters: Waiter[] = [];

  constructor(startMs = 1_767_225_600_000) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const waiter: Waiter = { atMs: this.#nowMs + ms, wake: resolve };
      this.#waiters.push(waiter);
      signal?.addEventListener(
        "abort",
        () => {
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
          reject(signal.reason);
        },
        { once: true },
      );
    });
  }

  deadline(ms: number, parent?: AbortSignal): AbortSignal {
    const controller = new AbortController();
    this.#waiters.push({
      atMs: this.#nowMs + ms,
      wake: () => controller.abort(new DOMException("The operation timed out.", "TimeoutError")),
    });
    return parent ? AbortSignal.any([parent, controller.signal]) : controller.signal;
  }

  /** How many sleeps and deadlines wait for time to pass. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** Moves time forward, waking what is due and letting its continuations run. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#waiters
        .filter((waiter) => waiter.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.#waiters = this.#waiters.filter((waiter) => waiter !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.wake();
      await settle();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

/** Lets pending promise continuations and I/O callbacks of this turn run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
