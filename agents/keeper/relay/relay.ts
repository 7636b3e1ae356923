// Writes of a keeper that may wait a moment, sent together with those of the host's other keepers. Whichever keeper
// holds the host's lock relays for all; when it is gone another takes its place, and whoever gets no answer writes
// by itself. Nothing that hands over or takes the lease goes this way.
import { rmSync } from "node:fs";
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { relayAvoidedMs, relayRetryMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { PatientWrites } from "../../../src/store/ha-store.ts";
import type { Rqlite } from "../../../src/store/rqlite.ts";
import type { Query, QueryResult } from "../../../src/store/statement.ts";
import { Batch } from "./batch.ts";
import { connectRelay, type RelayConnection } from "./connection.ts";
import { serveRelay } from "./server.ts";

export interface RelayDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly rqlite: Rqlite;
  /** Unix socket shared by the keepers of the host. */
  readonly socket: string;
  /** Takes the host's relay lock, or answers undefined while another process has it. */
  readonly lock: (path: string) => (() => void) | undefined;
  readonly intervalMs?: number;
}

export class Relay implements PatientWrites {
  readonly #deps: RelayDeps;
  #batch: Batch | undefined;
  #connection: RelayConnection | undefined;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
  }

  /** Whether this process relays for the others now. */
  get relays(): boolean {
    return this.#batch !== undefined;
  }

  /** Whether writes are shared with others of the host now. */
  get shares(): boolean {
    return this.relays || this.#connection !== undefined;
  }

  async write(statements: readonly Query[], signal: AbortSignal): Promise<readonly QueryResult[]> {
    signal.throwIfAborted();
    const shared = this.#batch ?? this.#connection;
    if (shared) {
      try {
        return await shared.write(statements);
      } catch (error) {
        this.#deps.log.debug("writes without the relay", { error: messageOf(error) });
      }
    }
    const options = { transaction: false, idempotent: true, signal };
    return this.#deps.rqlite.request(statements, options);
  }

  /** Relays, or stays connected to the one that does, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, lock, log } = this.#deps;
    while (!signal.aborted) {
      let pauseMs = relayRetryMs;
      try {
        const unlock = lock(lockPath(this.#deps));
        if (unlock) await this.#relay(unlock, signal);
        else if (await this.#follow(signal)) pauseMs = relayAvoidedMs;
      } catch (error) {
        log.debug("no relay", { error: messageOf(error) });
      }
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  async #relay(unlock: () => void, signal: AbortSignal): Promise<void> {
    const batch = new Batch(this.#deps);
    const close = await serveRelay(this.#deps.socket, batch, this.#deps.log).catch((error) => {
      unlock();
      throw error;
    });
    this.#batch = batch;
    try {
      await batch.run(signal);
    } finally {
      this.#batch = undefined;
      close();
      // Two that relay for a moment do no harm; files of a host without keepers would be left behind.
      for (const path of [this.#deps.socket, lockPath(this.#deps)]) rmSync(path, { force: true });
      unlock();
    }
  }

  /** Answers whether the relay hangs. */
  async #follow(signal: AbortSignal): Promise<boolean> {
    const { clock, socket } = this.#deps;
    const connection = await connectRelay(socket, clock, signal);
    this.#connection = connection;
    const hung = await connection.closed;
    this.#connection = undefined;
    return hung;
  }
}

function lockPath({ socket }: RelayDeps): string {
  return `${socket}.lock`;
}
