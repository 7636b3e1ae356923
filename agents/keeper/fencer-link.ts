// Keeps a connection to the fencer: connects, connects again, and hands on how PostgreSQL ended.
import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import type { Logger } from "../../src/base/log.ts";
import { backoffMs } from "../../src/base/retry.ts";
import type { Rng } from "../../src/base/rng.ts";
import { connectFencer, type FencerClient } from "../fencer/client.ts";
import type { PostgresExit } from "../fencer/protocol.ts";

const RECONNECT = { firstMs: 10, maxMs: 500 };

export interface FencerLinkDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly socket: string;
  /** The connection came or went. */
  readonly onChange: () => void;
  readonly onExit: (exit: PostgresExit) => void;
}

export class FencerLink {
  readonly #deps: FencerLinkDeps;
  #client: FencerClient | undefined;

  constructor(deps: FencerLinkDeps) {
    this.#deps = deps;
  }

  /** The connected fencer, if there is one now. */
  get client(): FencerClient | undefined {
    return this.#client;
  }

  /** The connected fencer; throws a retryable AppError without one. */
  required(): FencerClient {
    if (this.#client) return this.#client;
    throw new AppError("retryable", "the fencer is not connected");
  }

  /** Connects until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, rng, log, socket, onChange, onExit } = this.#deps;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const client = await connectFencer(socket, signal, clock);
        client.onExit(onExit);
        this.#client = client;
        attempt = 0;
        onChange();
        await client.closed;
        this.#client = undefined;
        onChange();
        if (!signal.aborted) log.warn("the fencer closed the connection");
      } catch (error) {
        if (signal.aborted) return;
        if (attempt === 20) log.warn("the fencer cannot be reached", { error: messageOf(error) });
      }
      await clock.sleep(backoffMs(RECONNECT, attempt, rng), signal).catch(() => undefined);
    }
  }
}
