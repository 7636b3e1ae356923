// Rules of the roles that a spec asks for: what PostgreSQL would refuse, and names that are ours.
import type { Diagnostic } from "../base/result.ts";
import { replicatorName, superuserName } from "../postgres/hba.ts";
import { identifierBytesMax } from "../postgres/identifier.ts";
import { parseScramVerifier } from "../postgres/scram.ts";
import type { DatabaseSpec, DatabaseUserSpec } from "./database-spec.ts";
import { byteLength, checkUnique, problem } from "./problem.ts";

/** Positive forms; each has a negative with NO in front. */
const ATTRIBUTES = [
  "SUPERUSER",
  "CREATEDB",
  "CREATEROLE",
  "INHERIT",
  "LOGIN",
  "REPLICATION",
  "BYPASSRLS",
];
const ALLOWED = ATTRIBUTES.flatMap((attribute) => [attribute, `NO${attribute}`]);

/** Roles of the control plane, and the two words that PostgreSQL never takes as a role's name. */
const RESERVED = new Set([superuserName, replicatorName, "pgedge_superuser", "public", "none"]);
/** A verifier with more iterations would keep a server busy at every login. */
const SCRAM_ITERATIONS_MAX = 1_000_000;
const MD5_HASH = /^md5[0-9a-f]{32}$/;

/** Problems of database_users. */
export function checkUsers(spec: DatabaseSpec): readonly Diagnostic[] {
  const users = spec.database_users ?? [];
  const owners = users.flatMap((user, index) => (user.db_owner ? [index] : []));
  return [
    ...checkUnique(
      users.map(({ username }) => username),
      (index) => `database_users[${index}].username`,
      "user",
    ),
    ...owners.slice(1).map((index) => {
      const message = `the database is already owned by database_users[${owners[0]}]`;
      return problem(`database_users[${index}].db_owner`, "conflict", message);
    }),
    ...users.flatMap((user, index) => checkUser(user, `database_users[${index}]`)),
  ];
}

/** Why a text cannot name something in PostgreSQL; undefined when it can. */
export function nameProblem(name: string): string | undefined {
  if (name === "") return "must not be empty";
  if (/\p{Cc}/u.test(name)) return "must not contain control characters";
  return byteLength(name) > identifierBytesMax
    ? `must not be longer than ${identifierBytesMax} bytes`
    : undefined;
}

function checkUser(user: DatabaseUserSpec, path: string): readonly Diagnostic[] {
  return [
    ...checkUsername(user.username, `${path}.username`),
    ...(user.password === undefined ? [] : checkPassword(user.password, `${path}.password`)),
    ...checkAttributes(user.attributes ?? [], path),
    ...checkRoles(user, path),
  ];
}

function checkUsername(username: string, path: string): readonly Diagnostic[] {
  const wrong = nameProblem(username);
  if (wrong !== undefined) return [problem(path, "malformed", wrong)];
  if (username.startsWith("pg_")) {
    return [problem(path, "reserved", "names that begin with `pg_` belong to PostgreSQL")];
  }
  return RESERVED.has(username) || username.startsWith("pgherd")
    ? [problem(path, "reserved", `the name ${username} is reserved`)]
    : [];
}

function checkPassword(password: string, path: string): readonly Diagnostic[] {
  if (password.includes("\0")) return [problem(path, "malformed", "must not contain NUL")];
  if (MD5_HASH.test(password)) {
    const hint = "give the clear text or a SCRAM-SHA-256 verifier";
    return [problem(path, "unsupported", "is an MD5 hash, which is not accepted", hint)];
  }
  const iterations = parseScramVerifier(password)?.iterations ?? 0;
  return iterations > SCRAM_ITERATIONS_MAX
    ? [problem(path, "unsupported", `has more than ${SCRAM_ITERATIONS_MAX} iterations`)]
    : [];
}

function checkAttributes(attributes: readonly string[], path: string): readonly Diagnostic[] {
  const upper = attributes.map((attribute) => attribute.toUpperCase());
  const subjects = upper.map((attribute) =>
    attribute.startsWith("NO") ? attribute.slice(2) : attribute,
  );
  return upper.flatMap((attribute, index) => {
    const at = `${path}.attributes[${index}]`;
    if (!ALLOWED.includes(attribute)) {
      const hint = `possible are ${ATTRIBUTES.join(", ")} and their NO forms`;
      return [problem(at, "unknown", "is not an attribute that a user can have", hint)];
    }
    const first = subjects.indexOf(subjects[index] ?? "");
    if (first === index) return [];
    const same = upper[first] === attribute;
    const message = same ? `${attribute} is given twice` : `contradicts ${upper[first]}`;
    return [problem(at, same ? "duplicate" : "conflict", message)];
  });
}

function checkRoles(user: DatabaseUserSpec, path: string): readonly Diagnostic[] {
  const roles = user.roles ?? [];
  const pathOf = (index: number) => `${path}.roles[${index}]`;
  return [
    ...checkUnique(roles, pathOf, "role"),
    ...roles.flatMap((role, index) => {
      const wrong = nameProblem(role);
      if (wrong !== undefined) return [problem(pathOf(index), "malformed", wrong)];
      return role === user.username
        ? [problem(pathOf(index), "conflict", "a role cannot be a member of itself")]
        : [];
    }),
  ];
}
