// The fencer's deadline, from this side: set with every renewal, lifted only where PostgreSQL cannot write.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { AppError, messageOf } from "../../../src/base/errors.ts";
import { fencerSilentMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { FencerLink } from "../fencer-link.ts";

export interface FencerArmDeps {
  readonly clock: Clock;
  readonly boot: BootClock;
  readonly log: Logger;
  readonly fencer: FencerLink;
}

export class FencerArm {
  readonly #deps: FencerArmDeps;
  #epoch: number | undefined;

  constructor(deps: FencerArmDeps) {
    this.#deps = deps;
  }

  /** A deadline may be set. */
  get armed(): boolean {
    return this.#epoch !== undefined;
  }

  get epoch(): number | undefined {
    return this.#epoch;
  }

  /** Learns what an earlier keeper set. */
  async adopt(): Promise<void> {
    try {
      const status = await this.#deps.fencer.required().status();
      this.#epoch ??= status.armed?.epoch;
    } catch (error) {
      this.#deps.log.debug("the fencer was not asked", { error: messageOf(error) });
    }
  }

  /** Resolves when the fencer has confirmed; throws a retryable AppError when it did not in time. */
  async arm(epoch: number, deadlineMs: number): Promise<void> {
    const { fencer, clock } = this.#deps;
    this.#epoch = epoch;
    const over = new AbortController();
    const silent = clock.sleep(fencerSilentMs, over.signal).then((): never => {
      throw new AppError("retryable", `the fencer said nothing for ${fencerSilentMs} ms`);
    });
    try {
      const armed = await Promise.race([fencer.required().arm(epoch, deadlineMs), silent]);
      if (!armed.ok) throw new AppError("retryable", armed.error.message);
    } finally {
      over.abort();
    }
  }

  async disarm(): Promise<void> {
    await this.#deps.fencer.required().disarm();
    this.#epoch = undefined;
  }
}
