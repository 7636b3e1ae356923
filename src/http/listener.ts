// Puts the application on a socket: request ids, access log, timeouts, graceful stop.
import { type Clock, httpDate } from "../base/clock.ts";
import { inContext } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import { httpIdleTimeoutSeconds, requestKeyCharsMax, storeBackupBytesMax } from "../base/limits.ts";
import type { Logger, LogLevel } from "../base/log.ts";
import type { App } from "./app.ts";

export interface ListenerDeps {
  readonly app: App;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
}

export interface ListenOptions {
  readonly hostname: string;
  /** 0 = any free one. */
  readonly port: number;
}

export interface Listener {
  readonly port: number;
  /** Takes no new connections; resolves when the requests under way have ended, or when the signal aborts. */
  stop(signal: AbortSignal): Promise<void>;
}

/** Bun refuses longer bodies by itself and without a word, so parse.ts must get to see those a little too long. */
const SOCKET_BODY_BYTES_MAX = 2 * storeBackupBytesMax;

/** Listens at once; throws a terminal AppError when the address cannot be bound. */
export function listen(deps: ListenerDeps, options: ListenOptions): Listener {
  const server = serve(deps, options);
  return {
    port: server.port ?? options.port,
    async stop(signal) {
      const drained = server.stop(false);
      await Promise.race([drained, aborted(signal)]);
      await server.stop(true);
    },
  };
}

function serve(deps: ListenerDeps, { hostname, port }: ListenOptions) {
  try {
    return bind(deps, { hostname, port });
  } catch (thrown) {
    throw inContext(`cannot listen on ${hostname}:${port}`, thrown);
  }
}

function bind(deps: ListenerDeps, { hostname, port }: ListenOptions) {
  return Bun.serve({
    hostname,
    port,
    idleTimeout: httpIdleTimeoutSeconds,
    maxRequestBodySize: SOCKET_BODY_BYTES_MAX,
    fetch: (request, socket) =>
      answer(deps, request, {
        clientIp: socket.requestIP(request)?.address ?? "",
        keepOpen: () => socket.timeout(request, 0),
      }),
  });
}

interface Peer {
  readonly clientIp: string;
  readonly keepOpen: () => void;
}

async function answer(deps: ListenerDeps, request: Request, peer: Peer): Promise<Response> {
  const startMs = deps.clock.monotonicMs();
  const requestId = requestIdOf(request) ?? deps.ids.uuid();
  const response = await deps.app(request, { requestId, keepOpen: peer.keepOpen });
  response.headers.set("x-request-id", requestId);
  response.headers.set("x-content-type-options", "nosniff");
  // Bun adds it to every answer but these.
  if (request.method === "HEAD") response.headers.set("date", httpDate(deps.clock.nowMs()));
  logAccess(
    deps.log,
    { request, response, requestId, ...peer },
    deps.clock.monotonicMs() - startMs,
  );
  return response;
}

/** The client's own id when it is harmless in a log. */
function requestIdOf(request: Request): string | undefined {
  const given = request.headers.get("x-request-id") ?? "";
  const harmless = given.length <= requestKeyCharsMax && /^[\w.:-]+$/.test(given);
  return harmless ? given : undefined;
}

interface Served extends Peer {
  readonly request: Request;
  readonly response: Response;
  readonly requestId: string;
}

function logAccess(log: Logger, served: Served, durationMs: number): void {
  const { request, response, requestId, clientIp } = served;
  const { pathname } = new URL(request.url);
  log[levelOf(response.status, pathname)]("request", {
    requestId,
    // Without the query: it is the client's, and may hold anything.
    "http.url": pathname,
    "http.method": request.method,
    "http.client_ip": clientIp,
    "http.useragent": request.headers.get("user-agent") ?? "",
    "http.status_code": response.status,
    duration_ms: Math.round(durationMs * 1_000) / 1_000,
    ...lengthOf(response),
  });
}

function lengthOf(response: Response): Readonly<Record<string, number>> {
  const length = response.headers.get("content-length");
  return length === null ? {} : { "http.response.content_length": Number(length) };
}

/** Probes come every second, so they are only of interest when they fail. */
const QUIET_PATHS: readonly string[] = ["/v1/version", "/livez", "/readyz"];

function levelOf(status: number, pathname: string): LogLevel {
  if (QUIET_PATHS.includes(pathname) && (status < 400 || status === 503)) return "debug";
  if (status >= 500) return "error";
  return status >= 400 ? "warn" : "info";
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
