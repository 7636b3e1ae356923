import { expect, test } from "bun:test";
import { checkRole, disableStatements, type PresentRole, roleStatements } from "./roles.ts";
import { scramVerifier } from "./scram.ts";
import { builtInRoleStatements, groupMemberships } from "./sql/built-in-roles.ts";

const verifier = scramVerifier("pencil", new Uint8Array(16), 4096);
const attributes = {
  SUPERUSER: false,
  CREATEDB: false,
  CREATEROLE: false,
  INHERIT: true,
  LOGIN: true,
  REPLICATION: false,
  BYPASSRLS: false,
};
const present: PresentRole = { name: "app", password: verifier, attributes, memberOf: ["readers"] };
const wanted = { name: "app", verifier, attributes: ["LOGIN"], memberOf: ["readers"] };

test("a missing role is made with every attribute spelled out, its password in a statement that is not shown", () => {
  const statements = roleStatements(wanted, undefined, 17);
  expect(statements.map((statement) => statement.shown)).toEqual([
    'CREATE ROLE "app" WITH NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT LOGIN NOREPLICATION NOBYPASSRLS',
    'ALTER ROLE "app" PASSWORD [redacted]',
    'GRANT "readers" TO "app" WITH INHERIT TRUE',
  ]);
  expect(statements[1]?.sql).toContain(verifier);
});

test("a role that is as it should be needs nothing", () => {
  expect(roleStatements(wanted, present, 17)).toEqual([]);
});

test("attributes dropped from the spec go back, a changed password is set, memberships stay", () => {
  const grown = { ...present, attributes: { ...attributes, SUPERUSER: true, INHERIT: false } };
  const changed = {
    ...wanted,
    memberOf: [],
    verifier: scramVerifier("other", new Uint8Array(16), 4096),
  };
  expect(roleStatements(changed, grown, 15).map((statement) => statement.shown)).toEqual([
    'ALTER ROLE "app" WITH NOSUPERUSER INHERIT',
    'ALTER ROLE "app" PASSWORD [redacted]',
  ]);
});

test("membership is granted without options that 15 does not know", () => {
  const member = { ...wanted, memberOf: ["pgedge_superuser"] };
  expect(roleStatements(member, present, 15).map((statement) => statement.sql)).toEqual([
    'GRANT "pgedge_superuser" TO "app"',
  ]);
});

test("every problem of a role is reported at once", () => {
  const codes = checkRole({
    name: "pgedge",
    verifier: "secret",
    attributes: ["login", "NOLOGIN", "SUPERUSER; DROP ROLE x"],
    memberOf: [],
  }).map((problem) => problem.code);
  expect(codes).toEqual(["reserved", "unknown_attribute", "contradiction", "not_a_verifier"]);
  expect(checkRole({ ...wanted, attributes: ["login", "NoSuperuser"] })).toEqual([]);
});

test("disabling takes the login away once", () => {
  expect(disableStatements(present).map((statement) => statement.sql)).toEqual([
    'ALTER ROLE "app" WITH NOLOGIN',
  ]);
  expect(disableStatements({ ...present, attributes: { ...attributes, LOGIN: false } })).toEqual(
    [],
  );
  expect(disableStatements(undefined)).toEqual([]);
});

test("the group gets what the major version has", () => {
  expect(groupMemberships(15)).not.toContain("pg_use_reserved_connections");
  expect(groupMemberships(18)).toContain("pg_signal_autovacuum_worker");
  expect(builtInRoleStatements([], 15).join("\n")).toContain("WITH ADMIN OPTION");
  expect(builtInRoleStatements([], 17).join("\n")).toContain("WITH ADMIN TRUE, INHERIT TRUE");
  expect(builtInRoleStatements(["pgedge_superuser", "patroni_replicator"], 17)).toEqual([]);
});
