// Everything thrown becomes an answer here, and only here: status, error name, header, body.
import { AppError, messageOf } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { type ErrorName, OperationError } from "../operations/errors.ts";
import type { APIError, FrameworkError } from "../spec/api-error.ts";
import { ForeignPage, MalformedRequest, NoSuchRoute, PayloadTooLarge } from "./malformed.ts";

export const statusOf: Readonly<Record<ErrorName, number>> = {
  conflict: 409,
  cluster_already_initialized: 409,
  cluster_not_initialized: 409,
  database_already_exists: 409,
  database_not_modifiable: 409,
  operation_already_in_progress: 409,
  invalid_input: 400,
  operation_not_supported: 400,
  invalid_join_token: 401,
  not_found: 404,
  precondition_failed: 412,
  no_quorum: 503,
  storage_full: 503,
  server_error: 500,
};

/** How long a client should wait before it tries again what may work then. */
const RETRY_AFTER_SECONDS: Partial<Record<ErrorName, number>> = { no_quorum: 2, storage_full: 30 };

const NO_QUORUM = "the cluster's store has no quorum right now: try again";

/** What to say for each reason of the store that goes away by itself. */
const UNAVAILABLE: ReadonlyMap<unknown, string> = new Map([
  ["no_leader", NO_QUORUM],
  ["unavailable", NO_QUORUM],
  ["timeout", NO_QUORUM],
  ["auth", "the cluster's store does not take this host's password right now: try again"],
  ["unknown", "the store was lost on the way: the change may or may not have been made"],
]);

/** The answer for anything thrown. What the client must not see is logged, with the request's id. */
export function errorResponse(thrown: unknown, requestId: string, log: Logger): Response {
  if (thrown instanceof OperationError) return operationError(thrown);
  if (thrown instanceof MalformedRequest) return malformed(thrown, requestId);
  if (thrown instanceof NoSuchRoute) return noSuchRoute(thrown);
  if (thrown instanceof PayloadTooLarge) {
    return declared(413, { name: "payload_too_large", message: thrown.message });
  }
  if (thrown instanceof ForeignPage) {
    return declared(403, { name: "forbidden", message: thrown.message });
  }
  const unavailable = unavailability(thrown);
  if (unavailable) {
    log.warn("the store does not answer", { requestId, error: messageOf(thrown) });
    return operationError(unavailable);
  }
  log.error("request failed", { requestId, error: thrown });
  const message = `internal error; the server's log has it under request ${requestId}`;
  return operationError(new OperationError("server_error", message));
}

/** What to tell the client when the store, under however much context, was not there. */
function unavailability(thrown: unknown): OperationError | undefined {
  const reasons = reasonsOf(thrown);
  if (reasons.includes("full")) {
    const message = "a disk of the cluster's store is full: make room on it, then try again";
    return new OperationError("storage_full", message);
  }
  const unavailable = reasons.length > 0 ? UNAVAILABLE.get(reasons[0]) : undefined;
  return unavailable === undefined ? undefined : new OperationError("no_quorum", unavailable);
}

/** Reasons of the store's errors in the chain of causes, outermost first. */
function reasonsOf(thrown: unknown): readonly unknown[] {
  const reasons: unknown[] = [];
  let error = thrown;
  for (let depth = 0; depth < 8 && error instanceof Error; depth++) {
    if (error instanceof AppError && "reason" in error) reasons.push(error.reason);
    error = error.cause;
  }
  return reasons;
}

function operationError({ error, message, problems }: OperationError): Response {
  const body = { name: error, message, ...(problems.length > 0 ? { errors: [...problems] } : {}) };
  const retryAfter = RETRY_AFTER_SECONDS[error];
  const headers = retryAfter === undefined ? {} : { "retry-after": String(retryAfter) };
  return declared(statusOf[error], body, headers);
}

/** Clients pick the type of a declared error by the header `goa-error`. */
function declared(
  status: number,
  body: APIError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json(body, { status, headers: { "goa-error": body.name, ...headers } });
}

function malformed({ errorName, message, problems }: MalformedRequest, id: string): Response {
  const body: FrameworkError = {
    name: errorName,
    id,
    message,
    temporary: false,
    timeout: false,
    fault: false,
    errors: [...problems],
  };
  return Response.json(body, { status: 400 });
}

function noSuchRoute({ message, allowed }: NoSuchRoute): Response {
  if (allowed.length === 0) return declared(404, { name: "not_found", message });
  const headers = { allow: allowed.join(", ") };
  return declared(405, { name: "method_not_allowed", message }, headers);
}
