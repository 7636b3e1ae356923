// One route of the API as data: how it is called, what it answers, how it is described. The routes are
// registered (app.ts) and documented (openapi.ts) from the same values, so the two cannot drift apart.
import type { Static, TObject, TProperties, TSchema } from "@sinclair/typebox";
import type { Logger } from "../base/log.ts";
import type { Operations } from "../operations/operations.ts";
import { closed } from "../spec/closed.ts";
import { type Fields, parseRequest } from "./parse.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What a handler knows about the request beside its parsed parts. */
export interface Exchange {
  /** As answered in X-Request-Id. */
  readonly requestId: string;
  readonly headers: Headers;
  /** A signal that aborts when the client goes away or the server stops. */
  readonly gone: () => AbortSignal;
  /** Exempts the connection from the idle timeout, for answers that stay open. */
  readonly keepOpen: () => void;
  /** The body as it came; throws PayloadTooLarge. */
  readonly bytes: (max: number) => Promise<Uint8Array>;
  readonly operations: Operations;
  readonly log: Logger;
}

export interface Input<P extends TProperties, Q extends TProperties, B extends TSchema>
  extends Exchange {
  readonly params: Static<TObject<P>>;
  readonly query: Static<TObject<Q>>;
  readonly body: Static<B>;
}

/** How an endpoint appears in the document. */
export interface Description {
  readonly method: Method;
  /** With parameters in braces, e.g. `/v1/hosts/{host_id}`. */
  readonly path: string;
  /** Stable: generated clients name their functions after it. */
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly params: Fields;
  readonly query: Fields;
  /** Request headers with a meaning of their own. */
  readonly headers: Fields;
  readonly body?: TSchema;
  /** Successful answers by status; null = no body. */
  readonly answers: Readonly<Record<number, TSchema | null>>;
  /** Statuses of declared errors; 500 and 503 go without saying. */
  readonly errors: readonly number[];
  /** Also answers 200 with server-sent events. */
  readonly streams: boolean;
  /** Answers before the cluster is initialised. */
  readonly beforeInit: boolean;
  /** A GET that changes something: no HEAD, and not for crawlers. */
  readonly mutates: boolean;
  /** Served, but left out of the document. */
  readonly hidden: boolean;
}

/** A description together with what answers; `run` parses and throws for everything that is not a success. */
export interface Endpoint extends Description {
  run(
    request: Request,
    params: Readonly<Record<string, string>>,
    exchange: Exchange,
  ): Promise<Response>;
}

type Optional = "description" | "streams" | "beforeInit" | "mutates" | "hidden" | "headers";

export interface Definition<P extends TProperties, Q extends TProperties, B extends TSchema>
  extends Omit<Description, Optional | "params" | "query" | "body">,
    Partial<Pick<Description, Optional>> {
  readonly params?: TObject<P>;
  readonly query?: TObject<Q>;
  readonly body?: B;
  /** Turns a body as older clients send it into one of the schema, before that is checked. */
  readonly upgradeBody?: (body: unknown) => unknown;
  /** A Response as it is; any other value becomes the JSON body of a 200. */
  readonly handle: (input: Input<P, Q, B>) => Promise<unknown>;
}

const nothing = closed({});

/** Makes an endpoint; its handler receives parts that fit their schemas. */
export function endpoint<
  P extends TProperties = Record<never, never>,
  Q extends TProperties = Record<never, never>,
  B extends TSchema = TSchema,
>(definition: Definition<P, Q, B>): Endpoint {
  const { handle, params, query, body, upgradeBody, ...rest } = definition;
  const schemas = { params, query, body, upgradeBody };
  return {
    streams: false,
    beforeInit: false,
    mutates: false,
    hidden: false,
    headers: nothing,
    ...rest,
    params: params ?? nothing,
    query: query ?? nothing,
    ...(body ? { body } : {}),
    async run(request, rawParams, exchange) {
      const parsed = await parseRequest(request, rawParams, schemas);
      const answer = await handle({ ...exchange, ...parsed });
      return answer instanceof Response ? answer : Response.json(answer);
    },
  };
}
