// The HTTP application: registers the endpoints and answers every failure. It knows nothing of sockets;
// listener.ts puts it on one.
import { Elysia } from "elysia";
import { must } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { OperationError } from "../operations/errors.ts";
import type { Operations } from "../operations/operations.ts";
import type { VersionInfo } from "../spec/version-info.ts";
import { clusterEndpoints } from "./cluster.ts";
import { databaseEndpoints } from "./databases.ts";
import { docs } from "./docs.ts";
import type { Endpoint, Exchange } from "./endpoint.ts";
import { errorResponse } from "./errors.ts";
import { healthEndpoints } from "./health.ts";
import { hostEndpoints } from "./hosts.ts";
import { instanceEndpoints } from "./instances.ts";
import { ForeignPage, NoSuchRoute } from "./malformed.ts";
import { nodeEndpoints } from "./nodes.ts";
import { openapiDocument } from "./openapi.ts";
import { readBytes } from "./parse.ts";
import { rootEndpoints } from "./root.ts";
import { slotEndpoints } from "./slots.ts";
import { taskEndpoints } from "./tasks.ts";
import { topologyEndpoints } from "./topology.ts";

export interface AppDeps {
  readonly operations: Operations;
  readonly version: VersionInfo;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborts when the server stops: open streams end. */
  readonly stopping: AbortSignal;
}

/** Facts about one request that only the listener knows. */
export interface Connection {
  readonly requestId: string;
  readonly keepOpen: () => void;
}

/** Answers one request; never rejects. */
export type App = (request: Request, connection: Connection) => Promise<Response>;

/** Every route of the API, in the order of the document. */
export function allEndpoints(
  deps: Pick<AppDeps, "clock" | "version" | "stopping">,
): readonly Endpoint[] {
  return [
    ...rootEndpoints(deps.version),
    ...healthEndpoints(deps.stopping),
    ...clusterEndpoints(),
    ...hostEndpoints(),
    ...databaseEndpoints(),
    ...nodeEndpoints(),
    ...topologyEndpoints(),
    ...slotEndpoints(),
    ...instanceEndpoints(),
    ...taskEndpoints(deps.clock),
  ];
}

/** The application over the given operations. */
export function createApp(deps: AppDeps): App {
  const endpoints = allEndpoints(deps);
  const connections = new WeakMap<Request, Connection>();
  const app = new Elysia({ name: "pgherd", normalize: false }).onError(({ code, error, request }) =>
    errorResponse(
      code === "NOT_FOUND" ? noSuchRoute(endpoints, request) : error,
      must(connections.get(request), "connection of the request").requestId,
      deps.log,
    ),
  );
  app.use(docs(openapiDocument(endpoints, deps.version.version)));
  for (const endpoint of endpoints) {
    const path = endpoint.path.replaceAll(/\{(\w+)\}/g, ":$1");
    const answer = ({ request, params }: { request: Request; params: Record<string, string> }) => {
      // Elysia answers a HEAD with any GET, also with those that change something.
      if (request.method === "HEAD" && endpoint.mutates) throw noSuchRoute(endpoints, request);
      const connection = must(connections.get(request), "connection of the request");
      return run(endpoint, request, params, exchangeOf(request, connection, deps));
    };
    app.route(endpoint.method, path, answer, { parse: "none", detail: { hide: true } });
  }
  return async (request, connection) => {
    connections.set(request, connection);
    return app.handle(request);
  };
}

function exchangeOf(request: Request, connection: Connection, deps: AppDeps): Exchange {
  return {
    requestId: connection.requestId,
    headers: request.headers,
    gone: () => AbortSignal.any([request.signal, deps.stopping]),
    keepOpen: connection.keepOpen,
    bytes: (max) => readBytes(request, max),
    operations: deps.operations,
    log: deps.log,
  };
}

async function run(
  endpoint: Endpoint,
  request: Request,
  params: Record<string, string>,
  exchange: Exchange,
): Promise<Response> {
  refuseForeignPage(endpoint, request);
  if (!endpoint.beforeInit && !exchange.operations.initialised()) {
    throw new OperationError("cluster_not_initialized", "the cluster is not initialized");
  }
  const response = await endpoint.run(request, params, exchange);
  if (request.method !== "HEAD") return response;
  await response.body?.cancel();
  return new Response(null, { status: response.status, headers: response.headers });
}

/**
 * A page of another site, open in a browser on this machine, must not change anything here. Browsers say
 * where such a request comes from; other clients send neither header.
 */
function refuseForeignPage(endpoint: Endpoint, { headers }: Request): void {
  if (endpoint.method === "GET" && !endpoint.mutates) return;
  const site = headers.get("sec-fetch-site");
  const origin = headers.get("origin");
  const own =
    site === null
      ? origin === null || URL.parse(origin)?.host === headers.get("host")
      : site === "same-origin" || site === "none";
  if (!own) throw new ForeignPage("pages of other sites may not change anything");
}

function noSuchRoute(endpoints: readonly Endpoint[], request: Request): NoSuchRoute {
  const { pathname } = new URL(request.url);
  const matching = endpoints.filter(({ path }) => matches(path, pathname));
  const allowed = matching.flatMap(({ method, mutates }) =>
    method === "GET" && !mutates ? [method, "HEAD"] : [method],
  );
  return new NoSuchRoute(request.method, pathname, [...new Set(allowed)].sort());
}

function matches(template: string, pathname: string): boolean {
  const wanted = template.split("/");
  const given = pathname.replace(/(?<=.)\/$/, "").split("/");
  return (
    wanted.length === given.length &&
    wanted.every((part, index) => part.startsWith("{") || part === given[index])
  );
}
