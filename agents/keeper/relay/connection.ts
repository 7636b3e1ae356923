// A keeper's connection to the one that relays. Ends with the first answer that does not come in time: a relay that
// hangs must not be waited for twice.
import { connect, type Socket } from "node:net";
import type { Clock } from "../../../src/base/clock.ts";
import { AppError, messageOf } from "../../../src/base/errors.ts";
import { relayAnswerTimeoutMs } from "../../../src/base/limits.ts";
import type { Query, QueryResult } from "../../../src/store/statement.ts";
import { LineReader } from "../../fencer/protocol.ts";
import { parseRelayAnswer, type RelayAnswer } from "./messages.ts";

/** Connects; throws a retryable AppError when nobody listens. */
export function connectRelay(
  path: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<RelayConnection> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const failed = (error: unknown) => {
      socket.destroy();
      reject(new AppError("retryable", `no relay at ${path}: ${messageOf(error)}`));
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.removeListener("error", failed);
      resolve(new RelayConnection(socket, clock, signal));
    });
  });
}

export class RelayConnection {
  /** Resolves when the connection has ended; true when an answer did not come in time. */
  readonly closed: Promise<boolean>;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending = new Map<number, (answer: RelayAnswer | Error) => void>();
  #lastId = 0;
  #hung = false;

  constructor(socket: Socket, clock: Clock, signal: AbortSignal) {
    this.#socket = socket;
    this.#clock = clock;
    const reader = new LineReader();
    const end = () => socket.destroy();
    signal.addEventListener("abort", end, { once: true });
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        signal.removeEventListener("abort", end);
        const lost = new AppError("retryable", "the relay closed the connection");
        for (const settle of this.#pending.values()) settle(lost);
        resolve(this.#hung);
      });
    });
    // "close" follows and settles everything.
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Uint8Array) => {
      try {
        for (const line of reader.push(bytes)) this.#receive(parseRelayAnswer(line));
      } catch (error) {
        if (error instanceof AppError) socket.destroy();
        else throw error;
      }
    });
  }

  /** Sends the writes. Throws a retryable AppError whenever the outcome is not known. */
  async write(statements: readonly Query[]): Promise<readonly QueryResult[]> {
    this.#lastId += 1;
    const id = this.#lastId;
    const answered = new AbortController();
    const answer = new Promise<RelayAnswer | Error>((resolve) => this.#pending.set(id, resolve));
    this.#clock.sleep(relayAnswerTimeoutMs, answered.signal).then(
      () => {
        this.#hung = true;
        this.#socket.destroy();
      },
      () => undefined,
    );
    try {
      if (this.#socket.destroyed) throw new AppError("retryable", "the relay is gone");
      this.#socket.write(`${JSON.stringify({ id, statements })}\n`);
      const outcome = await answer;
      if (outcome instanceof Error) throw outcome;
      if (!outcome.ok) throw new AppError("retryable", outcome.message);
      return outcome.results;
    } finally {
      this.#pending.delete(id);
      answered.abort();
    }
  }

  #receive(answer: RelayAnswer): void {
    this.#pending.get(answer.id)?.(answer);
  }
}
