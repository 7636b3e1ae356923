// Passwords of users become SCRAM-SHA-256 verifiers before a spec is stored (RFC 5803), so that the
// clear text is never kept.
import { parseScramVerifier } from "../postgres/scram.ts";
import type { DatabaseSpec, DatabaseUserSpec } from "./database-spec.ts";

/**
 * The spec with a verifier in place of every password. A password that the stored verifier accepts
 * keeps that verifier, so that sending the same password again is no change. A verifier stays what
 * it is, as PostgreSQL itself takes one for a password.
 */
export function toVerifiers(
  next: DatabaseSpec,
  previous: DatabaseSpec | undefined,
  makeVerifier: (password: string) => string,
  verifies: (verifier: string, password: string) => boolean,
): DatabaseSpec {
  if (next.database_users === undefined) return next;
  const stored = new Map(
    (previous?.database_users ?? []).map(({ username, password }) => [username, password]),
  );
  const verifierOf = (password: string, old: string | undefined): string => {
    if (isVerifier(password)) return password;
    const same = old !== undefined && isVerifier(old) && verifies(old, password);
    return same ? old : makeVerifier(password);
  };
  const hidden = (user: DatabaseUserSpec): DatabaseUserSpec =>
    user.password === undefined
      ? user
      : { ...user, password: verifierOf(user.password, stored.get(user.username)) };
  return { ...next, database_users: next.database_users.map(hidden) };
}

/** Whether a text is a SCRAM-SHA-256 verifier as PostgreSQL stores it. */
export function isVerifier(text: string): boolean {
  return parseScramVerifier(text) !== undefined;
}
