// A bounded number of places, given out in the order of asking.

/** At most `max` inside at once. */
export class Slots {
  #max: number;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#max = max;
    this.#free = max;
  }

  /** Waits for a place; the answer gives it back. Rejects with the signal's reason when it aborts. */
  async enter(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    };
  }

  /** Takes the caller's place away for ever, so that it need not leave; false when it is the last one. */
  giveUp(): boolean {
    if (this.#max === 1) return false;
    this.#max -= 1;
    return true;
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((accept, reject) => {
      const enter = () => {
        signal?.removeEventListener("abort", leave);
        accept();
      };
      const leave = () => {
        const at = this.#waiting.indexOf(enter);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        reject(signal?.reason);
      };
      this.#waiting.push(enter);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }
}
