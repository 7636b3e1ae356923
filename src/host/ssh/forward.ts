// Ports and sockets of an SSH host, reached from here through its connection. The login user is who
// opens them there, whatever commands run as.
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { AppError } from "../../base/errors.ts";
import type { SshConnection } from "./pool.ts";

/** Something on the host that accepts connections, as seen from the host. */
export type ForwardTarget =
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string };

/** One connection to a port or socket on the host. Throws a retryable SshError when it is refused. */
export async function openForward(
  connection: SshConnection,
  to: ForwardTarget,
  signal?: AbortSignal,
): Promise<Duplex> {
  const held = await connection.channel(
    (client, answer) =>
      "socketPath" in to
        ? client.openssh_forwardOutStreamLocal(to.socketPath, answer)
        : client.forwardOut("127.0.0.1", 0, to.host, to.port, answer),
    (channel) => channel,
    signal,
  );
  held.value.once("close", held.release);
  return held.value;
}

/** A local listener whose connections end up on the host. */
export interface Forward {
  /** Loopback port; 0 when it listens on a socket. */
  readonly port: number;
  /** Ends the listener and every connection through it. */
  readonly close: () => Promise<void>;
}

/** Listens on a free loopback port, or on a unix socket at `socketPath`, and forwards what connects. */
export async function listenForward(
  connection: SshConnection,
  to: ForwardTarget,
  options: { readonly socketPath?: string; readonly onError?: (error: unknown) => void } = {},
): Promise<Forward> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", (error) => options.onError?.(error));
    openForward(connection, to).then(
      (stream) => join(socket, stream),
      (error: unknown) => {
        options.onError?.(error);
        socket.destroy();
      },
    );
  });
  const port = await listening(server, options.socketPath);
  return {
    port,
    close: () =>
      new Promise((accept) => {
        server.close(() => accept());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Ties two streams together: the end of one is the end of the other. */
function join(socket: Socket, stream: Duplex): void {
  stream.on("error", () => socket.destroy());
  stream.once("close", () => socket.destroy());
  socket.once("close", () => stream.destroy());
  socket.pipe(stream).pipe(socket);
}

function listening(server: Server, socketPath: string | undefined): Promise<number> {
  return new Promise((accept, reject) => {
    server.once("error", (error) =>
      reject(new AppError("terminal", `cannot listen for a forward: ${error.message}`)),
    );
    server.once("listening", () => {
      const address = server.address();
      accept(typeof address === "object" && address !== null ? address.port : 0);
    });
    if (socketPath === undefined) server.listen(0, "127.0.0.1");
    else server.listen(socketPath);
  });
}
