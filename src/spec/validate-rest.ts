// Rules of who may change things through the REST API of instances.
import type { Diagnostic } from "../base/result.ts";
import { parseScramVerifier, scramIterations } from "../postgres/scram.ts";
import type { DatabaseNodeSpec, DatabaseSpec } from "./database-spec.ts";
import { problem } from "./problem.ts";

/** A keeper computes the verifier for every request, beside the lease that it renews. */
const iterationsMax = 16 * scramIterations;

export function checkRestAuthentication(
  { patroni_authentication: given }: DatabaseSpec | DatabaseNodeSpec,
  prefix: string,
): readonly Diagnostic[] {
  if (given === undefined) return [];
  const path = `${prefix}patroni_authentication`;
  const { username, password } = given;
  const problems: Diagnostic[] = [];
  if (/[:\p{Cc}]/u.test(username)) {
    const message = "must have no colon and no control characters";
    problems.push(problem(`${path}.username`, "malformed", message));
  }
  if (password === undefined) {
    problems.push(problem(`${path}.password`, "required", `${username} needs a password`));
  } else if (/\p{Cc}/u.test(password)) {
    problems.push(problem(`${path}.password`, "malformed", "must have no control characters"));
  } else if ((parseScramVerifier(password)?.iterations ?? 0) > iterationsMax) {
    const message = `has more than ${iterationsMax} iterations`;
    problems.push(problem(`${path}.password`, "unsupported", message));
  }
  return problems;
}
