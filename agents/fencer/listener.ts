// The fencer's socket: reads requests, writes answers and events. Only its owner can connect (0600).
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { assertNever } from "../../src/base/assert.ts";
import { messageOf } from "../../src/base/errors.ts";
import type { Logger } from "../../src/base/log.ts";
import type { Result } from "../../src/base/result.ts";
import type { FencerRefusal } from "./client.ts";
import type { Fencer } from "./fencer.ts";
import {
  type FencerAnswer,
  type FencerEvent,
  type FencerRequest,
  LineReader,
  parseRequest,
} from "./protocol.ts";

const connectionsMax = 16;
/** A connection that does not read what it is sent is ended. */
const unsentBytesMax = 1024 * 1024;

/** Accepts connections on a unix socket until closed. */
export class Listener {
  readonly #log: Logger;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Listens. The caller holds the instance's lock, so a socket that is there already is a dead one. */
  async listen(path: string, fencer: Fencer): Promise<void> {
    rmSync(path, { force: true });
    const server = createServer((socket) => this.#accept(socket, fencer));
    server.maxConnections = connectionsMax;
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ path }, resolve);
      });
    } finally {
      process.umask(umask);
    }
    chmodSync(path, 0o600);
    this.#server = server;
  }

  /** Sends an event to everyone connected. */
  broadcast(event: FencerEvent): void {
    for (const socket of this.#sockets) this.#send(socket, event);
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket, fencer: Fencer): void {
    this.#sockets.add(socket);
    const reader = new LineReader();
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", (error) => this.#log.debug("a connection broke", { error }));
    socket.on("data", (bytes: Uint8Array) => {
      try {
        for (const line of reader.push(bytes)) void this.#serve(socket, fencer, line);
      } catch (error) {
        this.#log.warn("a connection was ended", { error: messageOf(error) });
        socket.destroy();
      }
    });
  }

  async #serve(socket: Socket, fencer: Fencer, line: string): Promise<void> {
    const request = parseRequest(line);
    if ("problem" in request) {
      const { id, problem } = request;
      this.#send(socket, { id, ok: false, refusal: "bad_request", message: problem });
      return;
    }
    try {
      this.#send(socket, answer(request.id, await carryOut(fencer, request)));
    } catch (error) {
      this.#log.error("a request failed", { op: request.op, error });
      const { id } = request;
      this.#send(socket, { id, ok: false, refusal: "bad_request", message: messageOf(error) });
    }
  }

  #send(socket: Socket, message: FencerAnswer | FencerEvent): void {
    if (socket.destroyed) return;
    if (socket.writableLength > unsentBytesMax) socket.destroy();
    else socket.write(`${JSON.stringify(message)}\n`);
  }
}

async function carryOut(
  fencer: Fencer,
  request: FencerRequest,
): Promise<Result<unknown, FencerRefusal>> {
  switch (request.op) {
    case "start":
      return fencer.start(request);
    case "status":
      return { ok: true, value: fencer.status() };
    case "stop":
      return fencer.stop(request.mode, request.timeout_ms);
    case "kill":
      return { ok: true, value: await fencer.kill() };
    case "arm":
      return fencer.arm(request.epoch, request.deadline_boottime_ms);
    case "disarm":
      fencer.disarm();
      return { ok: true, value: null };
    default:
      return assertNever(request, "request");
  }
}

function answer(id: number, outcome: Result<unknown, FencerRefusal>): FencerAnswer {
  if (outcome.ok) return { id, ok: true, result: outcome.value };
  return { id, ok: false, ...outcome.error };
}
