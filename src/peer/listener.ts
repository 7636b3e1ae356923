// Where other hosts of the cluster reach this one. TLS ends in front, where the caller's certificate is checked; behind
// it, on a loopback port, the caller is known by the connection that the front made for it. The handlers' runtime
// cannot tell them about certificates itself. A connection that the front did not make is refused.
import { connect, type Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { must } from "../base/assert.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { httpIdleTimeoutSeconds, peerRequestBytesMax } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { HOST_HEADER } from "../host/peer-messages.ts";
import { keyFingerprint, type PeerCredentials } from "./credentials.ts";
import { answerCall, type InternalRoutes, problem } from "./internal-call.ts";

export interface PeerListenerOptions {
  readonly hostname: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly credentials: PeerCredentials;
  readonly routes: InternalRoutes;
  readonly log: Logger;
  /**
   * Whether this is the certificate of a host that still belongs to the cluster: certificates outlive a removal, and
   * every host that ever was a member could issue others. Undefined = that cannot be told now.
   */
  readonly admits: (caller: Caller) => Promise<boolean | undefined>;
}

/** Who a connection is from. */
export interface Caller {
  readonly hostId: string;
  /** Of the key of its certificate, see keyFingerprint. */
  readonly key: string;
}

export interface PeerListener {
  readonly port: number;
  /** New connections are made with these; existing ones go on as they are. */
  renew(credentials: PeerCredentials): void;
  /** Takes no new connections and closes the others. */
  stop(): Promise<void>;
}

/** Listens; rejects with a terminal AppError when the address cannot be bound. */
export async function listenForPeers(options: PeerListenerOptions): Promise<PeerListener> {
  const { log } = options;
  const callers = new Map<number, Caller>();
  const behind = serveBehind(options, callers);
  const target = must(behind.port, "a port of the loopback listener");
  const open = new Set<Socket>();
  const server = createServer(tlsOptions(options.credentials), (socket) =>
    forward(socket, target, { callers, open, log }),
  );
  server.on("tlsClientError", (error) =>
    log.debug("refused a caller", { error: messageOf(error) }),
  );
  try {
    const port = await bind(server, options.hostname, options.port);
    return {
      port,
      renew: (credentials) => server.setSecureContext(tlsOptions(credentials)),
      async stop() {
        server.close();
        for (const socket of open) socket.destroy();
        await behind.stop(true);
      },
    };
  } catch (thrown) {
    await behind.stop(true);
    const where = `${options.hostname}:${options.port}`;
    throw new AppError(
      "terminal",
      `cannot listen for other hosts on ${where}: ${messageOf(thrown)}`,
    );
  }
}

function tlsOptions({ ca, cert, key }: PeerCredentials) {
  return {
    ca,
    cert,
    key: key.reveal(),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3" as const,
  };
}

function serveBehind(
  { routes, credentials, admits }: PeerListenerOptions,
  callers: ReadonlyMap<number, Caller>,
) {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: httpIdleTimeoutSeconds,
    maxRequestBodySize: peerRequestBytesMax,
    async fetch(request, server) {
      const caller = callers.get(server.requestIP(request)?.port ?? -1);
      if (caller === undefined) {
        return problem(401, new AppError("terminal", "the caller has no certificate"));
      }
      const meant = request.headers.get(HOST_HEADER);
      if (meant !== null && meant !== credentials.hostId) {
        const text = `this is host ${credentials.hostId}, not ${meant}`;
        return problem(421, new AppError("retryable", text));
      }
      const { hostId } = caller;
      const admitted = await admits(caller);
      if (admitted === undefined) {
        const text = `cannot tell whether host ${hostId} is in the cluster`;
        return problem(503, new AppError("retryable", text));
      }
      if (!admitted) {
        return problem(403, new AppError("terminal", `host ${hostId} is not in the cluster`));
      }
      const keepOpen = () => server.timeout(request, 0);
      return answerCall(routes, { request, url: new URL(request.url), caller: hostId, keepOpen });
    },
  });
}

interface Connections {
  /** By the loopback port of the connection that was made for them. */
  readonly callers: Map<number, Caller>;
  readonly open: Set<Socket>;
  readonly log: Logger;
}

/** Carries bytes both ways; the caller is known before the first one of it arrives behind. */
function forward(socket: TLSSocket, port: number, { callers, open, log }: Connections): void {
  const { subject, raw } = socket.getPeerCertificate();
  const name: unknown = subject?.CN;
  if (!socket.authorized || typeof name !== "string" || name === "") {
    log.warn("refused a caller", { error: socket.authorizationError });
    socket.destroy();
    return;
  }
  const key = keyFingerprint(raw);
  socket.pause();
  const inner = connect({ port, host: "127.0.0.1" });
  let innerPort = -1;
  inner.on("connect", () => {
    innerPort = inner.localPort ?? -1;
    callers.set(innerPort, { hostId: name, key });
    socket.pipe(inner);
    inner.pipe(socket);
    socket.resume();
  });
  const end = () => {
    callers.delete(innerPort);
    open.delete(socket);
    socket.destroy();
    inner.destroy();
  };
  open.add(socket);
  for (const each of [socket, inner]) each.on("error", end).on("close", end);
}

function bind(server: Server, hostname: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
  });
}
