// One request of another host, and how its answers look.
import { AppError, isAbort } from "../base/errors.ts";
import { sentError } from "../host/peer-messages.ts";

/** A request whose sender proved to be a host of the cluster. */
export interface InternalCall {
  readonly request: Request;
  readonly url: URL;
  /** Host id of the sender, from its certificate. */
  readonly caller: string;
  /** Exempts the connection from the idle timeout, for answers that take their time. */
  readonly keepOpen: () => void;
}

export type InternalHandler = (call: InternalCall) => Promise<Response> | Response;

/** `<METHOD> <path>`, or `<METHOD> <path>/*` for one more part, to its handler. */
export type InternalRoutes = Readonly<Record<string, InternalHandler>>;

/** The handler's answer, or what its failure or absence means. Never throws. */
export async function answerCall(routes: InternalRoutes, call: InternalCall): Promise<Response> {
  const { method } = call.request;
  const { pathname } = call.url;
  const parent = pathname.slice(0, pathname.lastIndexOf("/"));
  const handler = routes[`${method} ${pathname}`] ?? routes[`${method} ${parent}/*`];
  if (!handler) return problem(404, new AppError("terminal", `no route ${method} ${pathname}`));
  try {
    return await handler(call);
  } catch (thrown) {
    return problem(isAbort(thrown) ? 503 : 422, thrown);
  }
}

/** An error as an answer. */
export function problem(status: number, thrown: unknown): Response {
  return Response.json(sentError(thrown), { status });
}

/** One value of the query; throws a terminal AppError when it is not there. */
export function parameter({ url }: InternalCall, name: string): string {
  const value = url.searchParams.get(name);
  if (value !== null) return value;
  throw new AppError("terminal", `the request has no ${name}`);
}

/** Success that says no more. */
export function nothing(): Response {
  return new Response(null, { status: 204 });
}
