// Gathers small writes of many keepers and sends them to the store as one request at a steady pace, so that what
// the store has to agree on grows with hosts and not with instances. Each write stands alone: nothing here makes
// two of them one transaction, and none may depend on being first.
import type { Clock } from "../../../src/base/clock.ts";
import { AppError } from "../../../src/base/errors.ts";
import {
  relayBatchBytesMax,
  relayGatherMs,
  relayIntervalMs,
  relayWaitingMax,
} from "../../../src/base/limits.ts";
import type { Rqlite } from "../../../src/store/rqlite.ts";
import type { Query, QueryResult } from "../../../src/store/statement.ts";
import { Wake } from "../wake.ts";

interface Waiting {
  readonly statements: readonly Query[];
  readonly bytes: number;
  readonly resolve: (results: readonly QueryResult[]) => void;
  readonly reject: (error: unknown) => void;
}

export interface BatchDeps {
  readonly clock: Clock;
  readonly rqlite: Rqlite;
  /** At most one request in this time; `relayIntervalMs` when absent. */
  readonly intervalMs?: number;
}

/** One sender for all who share it. Runs from `run` until its signal aborts. */
export class Batch {
  readonly #deps: BatchDeps;
  readonly #arrival: Wake;
  #waiting: Waiting[] = [];

  constructor(deps: BatchDeps) {
    this.#deps = deps;
    this.#arrival = new Wake(deps.clock);
  }

  /**
   * Results of the statements, one each, once they were sent with others. Every statement must bear being run
   * twice. Rejects with what the store threw, which may concern a neighbour and leaves the outcome unknown.
   */
  write(statements: readonly Query[]): Promise<readonly QueryResult[]> {
    if (this.#waiting.length >= relayWaitingMax) {
      return Promise.reject(new AppError("retryable", `${relayWaitingMax} writes wait already`));
    }
    return new Promise((resolve, reject) => {
      const bytes = Buffer.byteLength(JSON.stringify(statements));
      this.#waiting.push({ statements, bytes, resolve, reject });
      this.#arrival.wake();
    });
  }

  /** Sends what waits until the signal aborts; what is left then is refused. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs = relayIntervalMs } = this.#deps;
    let lastMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      if (this.#waiting.length === 0) await this.#arrival.wait(intervalMs, signal);
      if (this.#waiting.length === 0) continue;
      const pauseMs = Math.max(relayGatherMs, lastMs + intervalMs - clock.monotonicMs());
      await clock.sleep(pauseMs, signal).catch(() => undefined);
      if (signal.aborted) break;
      lastMs = clock.monotonicMs();
      await this.#send(this.#take(), signal);
    }
    const left = this.#waiting;
    this.#waiting = [];
    for (const { reject } of left) reject(new AppError("retryable", "the relay ends"));
  }

  /** As many as fit into one request, oldest first. */
  #take(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const write of this.#waiting) {
      bytes += write.bytes;
      if (count > 0 && bytes > relayBatchBytesMax) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #send(batch: readonly Waiting[], signal: AbortSignal): Promise<void> {
    const statements = batch.flatMap((write) => write.statements);
    try {
      const options = { transaction: false, idempotent: true, signal };
      const results = await this.#deps.rqlite.request(statements, options);
      let at = 0;
      for (const { statements: own, resolve } of batch) {
        resolve(results.slice(at, at + own.length));
        at += own.length;
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
