// Lets a loop sleep until there is something to do.
import type { Clock } from "../../src/base/clock.ts";

/** A wait that others can end. A wake-up while nobody waits ends the next wait at once. */
export class Wake {
  readonly #clock: Clock;
  #pending = false;
  #sleeper: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(): void {
    this.#pending = true;
    this.#sleeper?.abort();
  }

  /** Resolves after `ms`, after a wake-up, or when the signal aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      const sleeper = new AbortController();
      this.#sleeper = sleeper;
      await this.#clock.sleep(ms, AbortSignal.any([sleeper.signal, signal])).then(
        () => undefined,
        () => undefined,
      );
      this.#sleeper = undefined;
    }
    this.#pending = false;
  }
}
