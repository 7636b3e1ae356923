// The one piece of long work: a copy, a rewind, a promotion. It runs beside the loop, which sees meanwhile how far it
// is and can end it.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { Doing } from "../../../src/ha/observed.ts";
import type { Progress } from "../standby/mechanics.ts";

export interface LongWorkDeps {
  readonly boot: BootClock;
  readonly log: Logger;
  /** It came to an end, or further. */
  readonly onChange: () => void;
}

export interface WorkOrder {
  readonly kind: Doing["kind"];
  readonly source: string | null;
  readonly epoch: number;
}

/** Given to the work: when to end, and how to say that it moves. */
export interface WorkHandle {
  readonly signal: AbortSignal;
  readonly progress: (progress?: Progress) => void;
}

export class LongWork {
  readonly #deps: LongWorkDeps;
  #doing: Doing | null = null;
  #text = "";
  #abort: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(deps: LongWorkDeps) {
    this.#deps = deps;
  }

  get doing(): Doing | null {
    return this.#doing;
  }

  /** What it says of its progress, for people. */
  get text(): string {
    return this.#doing ? this.#text : "";
  }

  /** Begins, unless something is under way. `work` handles its own failures; what it throws is logged. */
  begin(
    order: WorkOrder,
    signal: AbortSignal,
    work: (handle: WorkHandle) => Promise<void>,
  ): boolean {
    if (this.#doing) return false;
    const { boot, log, onChange } = this.#deps;
    const abort = new AbortController();
    const nowMs = boot.bootMs();
    this.#abort = abort;
    this.#text = "";
    this.#doing = { ...order, sinceMs: nowMs, progressAtMs: nowMs };
    const progress = (told?: Progress) => {
      if (!this.#doing || this.#abort !== abort) return;
      this.#doing = { ...this.#doing, progressAtMs: boot.bootMs() };
      if (told) this.#text = told.text;
    };
    const handle = { signal: AbortSignal.any([signal, abort.signal]), progress };
    this.#ended = work(handle)
      .catch((error) => {
        const reason = messageOf(error);
        if (handle.signal.aborted) log.info("long work was ended", { kind: order.kind, reason });
        else log.error("long work failed", { kind: order.kind, error: reason });
      })
      .finally(() => {
        this.#doing = null;
        this.#abort = undefined;
        onChange();
      });
    return true;
  }

  /** Ends what is under way, and waits until it has ended. */
  async cancel(): Promise<void> {
    this.#abort?.abort();
    await this.#ended;
  }
}
