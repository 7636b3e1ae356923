// What steps ask of a keeper. Secrets and statements come from the spec that the plan was made from,
// never from the plan; digests prove that it is that spec.
import { createHash } from "node:crypto";
import { assert, must } from "../base/assert.ts";
import type {
  DatabaseSpec,
  DatabaseUserSpec,
  RestAuthenticationSpec,
} from "../spec/database-spec.ts";
import type { KeeperRequest, RestAuthentication } from "../spec/instance-config.ts";
import {
  databaseInputs,
  instanceInputs,
  type RoleInputs,
  rolesInputs,
  scriptInputs,
  slotsInputs,
} from "./inputs.ts";
import type { Resource } from "./resource.ts";

/** The request of a database.roles step; `spec` holds verifiers in the place of passwords. */
export function rolesRequest(resource: Resource, spec: DatabaseSpec): KeeperRequest {
  const { roles, disabled } = rolesInputs(resource);
  const users = new Map((spec.database_users ?? []).map((user) => [user.username, user]));
  return {
    kind: "roles",
    disabled,
    roles: roles.map(({ name, attributes, member_of, verifier_digest }) => {
      const verifier = must(users.get(name), `user ${name} in the spec`).password;
      const known = verifier === undefined ? undefined : digestOf(verifier);
      assert(known === verifier_digest, `the plan knows user ${name} of another spec`);
      return { name, attributes, member_of, ...(verifier === undefined ? {} : { verifier }) };
    }),
  };
}

/** The request of a database.postgres_database step. */
export function databaseRequest(resource: Resource): KeeperRequest {
  return { kind: "database", ...databaseInputs(resource) };
}

/** Who may change things through the REST API of an instance, where that is asked for. */
export function restAuthentication(resource: Resource, spec: DatabaseSpec): RestAuthentication {
  const inputs = instanceInputs(resource);
  const { node_name } = inputs;
  const wanted = must(inputs.rest_authentication, "user of the REST API");
  const node = spec.nodes.find(({ name }) => name === node_name);
  const given = node?.patroni_authentication ?? spec.patroni_authentication;
  const verifier = must(given?.password, `password of ${wanted.username}`);
  const same = digestOf(verifier) === wanted.verifier_digest;
  assert(same, `the plan knows ${wanted.username} of another spec`);
  return { username: wanted.username, verifier };
}

/** The same as an input of a plan. */
export function restAuthenticationInputs({ username, password }: RestAuthenticationSpec) {
  const verifier = must(password, `password of ${username}`);
  assert(isVerifier(verifier), `${username} has no verifier`);
  return { username, verifier_digest: digestOf(verifier) };
}

/** The request of a database.slots step. */
export function slotsRequest(resource: Resource): KeeperRequest {
  return { kind: "slots", ...slotsInputs(resource) };
}

/** The request of a database.script step. Its key makes it run once, however often it is asked for. */
export function scriptRequest(resource: Resource, spec: DatabaseSpec): KeeperRequest {
  const { script, database, digest } = scriptInputs(resource);
  const statements = spec.scripts?.[script] ?? [];
  assert(scriptDigest(statements) === digest, `the plan knows ${script} of another spec`);
  return { kind: "script", key: script, database, statements };
}

/** A user as an input of a plan. Neither the case of attributes nor the order of granted roles matters. */
export function roleInputs(user: DatabaseUserSpec): RoleInputs {
  const { username, password, attributes = [], roles = [] } = user;
  assert(password === undefined || isVerifier(password), `user ${username} has no verifier`);
  return {
    name: username,
    attributes: [...new Set(attributes.map((word) => word.trim().toUpperCase()))],
    member_of: [...new Set(roles)].sort(),
    ...(password === undefined ? {} : { verifier_digest: digestOf(password) }),
  };
}

/** A digest of a clear text could be guessed; only verifiers, which are salted, get that far. */
function isVerifier(password: string): boolean {
  return password.startsWith("SCRAM-SHA-256$");
}

export function scriptDigest(statements: readonly string[]): string {
  return digestOf(JSON.stringify(statements));
}

/** Recognises a text that is too long, or too random, to be guessed from it. */
function digestOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;
}
