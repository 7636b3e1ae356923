// Passwords, of users and of the REST API, become SCRAM-SHA-256 verifiers before a spec is stored (RFC 5803), so that
// the clear text is never kept.
import { parseScramVerifier } from "../postgres/scram.ts";
import type { DatabaseNodeSpec, DatabaseSpec, DatabaseUserSpec } from "./database-spec.ts";

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
  const ofNode = new Map((previous?.nodes ?? []).map((node) => [node.name, node]));
  const level = <L extends Level>(one: L, before: Level | undefined): L => {
    const rest = one.patroni_authentication;
    if (rest?.password === undefined) return one;
    const password = verifierOf(rest.password, before?.patroni_authentication?.password);
    return { ...one, patroni_authentication: { ...rest, password } };
  };
  return {
    ...level(next, previous),
    nodes: next.nodes.map((node) => level(node, ofNode.get(node.name))),
    ...(next.database_users ? { database_users: next.database_users.map(hidden) } : {}),
  };
}

type Level = Pick<DatabaseNodeSpec, "patroni_authentication">;

/** Whether a text is a SCRAM-SHA-256 verifier as PostgreSQL stores it. */
export function isVerifier(text: string): boolean {
  return parseScramVerifier(text) !== undefined;
}
