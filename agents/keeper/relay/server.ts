// The relaying end: takes writes of the host's other keepers and puts them into the batch. Only its owner can
// connect (0600): who may connect may write to the store.
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { messageOf } from "../../../src/base/errors.ts";
import { relayConnectionsMax, relayUnsentBytesMax } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import { LineReader } from "../../fencer/protocol.ts";
import type { Batch } from "./batch.ts";
import { parseRelayRequest, type RelayAnswer, relayFailure } from "./messages.ts";

/** Listens until closed. The caller holds the host's relay lock, so a socket that is there already is a dead one. */
export async function serveRelay(path: string, batch: Batch, log: Logger): Promise<() => void> {
  const sockets = new Set<Socket>();
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    accept(socket, batch, log);
  });
  server.maxConnections = relayConnectionsMax;
  await listen(server, path);
  return () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
}

async function listen(server: Server, path: string): Promise<void> {
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
}

function accept(socket: Socket, batch: Batch, log: Logger): void {
  const reader = new LineReader();
  socket.on("error", (error) => log.debug("a keeper's connection broke", { error }));
  socket.on("data", (bytes: Uint8Array) => {
    try {
      for (const line of reader.push(bytes)) {
        const { id, statements } = parseRelayRequest(line);
        batch.write(statements).then(
          (results) => send(socket, { id, ok: true, results }),
          (error) => send(socket, relayFailure(id, error)),
        );
      }
    } catch (error) {
      log.warn("a keeper's connection was ended", { error: messageOf(error) });
      socket.destroy();
    }
  });
}

function send(socket: Socket, answer: RelayAnswer): void {
  if (socket.destroyed) return;
  if (socket.writableLength > relayUnsentBytesMax) socket.destroy();
  else socket.write(`${JSON.stringify(answer)}\n`);
}
