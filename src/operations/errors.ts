// The declared errors of the API. HTTP status codes are http/errors.ts's business.
import type { Diagnostic } from "../base/result.ts";

export type ErrorName =
  | "conflict"
  | "cluster_already_initialized"
  | "cluster_not_initialized"
  | "database_already_exists"
  | "database_not_modifiable"
  | "operation_already_in_progress"
  | "invalid_input"
  | "operation_not_supported"
  | "invalid_join_token"
  | "not_found"
  | "precondition_failed"
  | "no_quorum"
  | "storage_full"
  | "server_error";

/** An outcome that the API declares by name. */
export class OperationError extends Error {
  override readonly name = "OperationError";
  readonly error: ErrorName;
  readonly problems: readonly Diagnostic[];

  constructor(error: ErrorName, message: string, problems: readonly Diagnostic[] = []) {
    super(message);
    this.error = error;
    this.problems = problems;
  }
}

/** invalid_input with one line per problem, each prefixed by its field path. */
export function invalidInput(problems: readonly Diagnostic[]): OperationError {
  const lines = problems.map(({ path, message }) => (path ? `${path}: ${message}` : message));
  return new OperationError("invalid_input", lines.join("\n"), problems);
}
