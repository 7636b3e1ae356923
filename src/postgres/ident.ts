// Renders pg_ident.conf (manual, "User Name Maps" 21.2).
import { AppError } from "../base/errors.ts";
import { identMapName, replicatorName, superuserName } from "./hba.ts";

export interface IdentInput {
  /** Operating-system users that may log in locally as the control plane's roles. */
  readonly systemUsers: readonly string[];
  /** Lines of the user, already validated. */
  readonly userLines: readonly string[];
}

/** The lines of pg_ident.conf: first who may be the control plane's own roles, then the user's lines. */
export function renderIdent(input: IdentInput): readonly string[] {
  const own = [...new Set(input.systemUsers)].flatMap((user) => [
    `${identMapName} ${quoteToken(user)} ${superuserName}`,
    `${identMapName} ${quoteToken(user)} ${replicatorName}`,
  ]);
  return [...own, ...input.userLines];
}

/** Quotes a token; in quotes a leading slash still means a regular expression, so such names are refused. */
function quoteToken(token: string): string {
  if (token === "" || /^\/|["\r\n\0\\]/.test(token)) {
    throw new AppError("terminal", `not a user name: ${JSON.stringify(token)}`);
  }
  return `"${token}"`;
}
