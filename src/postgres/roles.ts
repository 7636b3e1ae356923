// Which statements make a role be as it should. Attributes come from a closed list, names are quoted.
import type { Diagnostic } from "../base/result.ts";
import { replicatorName, superuserName } from "./hba.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { parseScramVerifier } from "./scram.ts";

/** The group that may do most of what a superuser may; users become members of it. */
export const groupName = "pgedge_superuser";

/** Attribute, its column of pg_authid, and what CREATE ROLE takes when nothing is said. */
export const ROLE_ATTRIBUTES = [
  { name: "SUPERUSER", column: "rolsuper", fallback: false },
  { name: "CREATEDB", column: "rolcreatedb", fallback: false },
  { name: "CREATEROLE", column: "rolcreaterole", fallback: false },
  { name: "INHERIT", column: "rolinherit", fallback: true },
  { name: "LOGIN", column: "rolcanlogin", fallback: false },
  { name: "REPLICATION", column: "rolreplication", fallback: false },
  { name: "BYPASSRLS", column: "rolbypassrls", fallback: false },
] as const;
export type RoleAttribute = (typeof ROLE_ATTRIBUTES)[number]["name"];

/** A role that should exist. */
export interface WantedRole {
  readonly name: string;
  readonly verifier?: string;
  readonly attributes: readonly string[];
  readonly memberOf: readonly string[];
}

/** A role as pg_authid and pg_auth_members show it. */
export interface PresentRole {
  readonly name: string;
  readonly password: string | null;
  readonly attributes: Readonly<Record<RoleAttribute, boolean>>;
  readonly memberOf: readonly string[];
}

/** One statement and whether it may be shown; a statement with a verifier may not. */
export interface RoleStatement {
  readonly sql: string;
  readonly shown: string;
}

/** What is wrong with a wanted role: unknown attributes, contradictions, names of the control plane, no verifier. */
export function checkRole(role: WantedRole): readonly Diagnostic[] {
  const found: Diagnostic[] = [];
  const report = (code: string, message: string) =>
    found.push({ path: `roles[${role.name}]`, code, message });
  if ([superuserName, replicatorName, groupName].includes(role.name) || /^pg_/.test(role.name)) {
    report("reserved", `role name ${JSON.stringify(role.name)} is reserved`);
  }
  for (const attribute of role.attributes) {
    if (parseAttribute(attribute) === undefined) {
      report("unknown_attribute", `unknown role attribute ${JSON.stringify(attribute)}`);
    }
  }
  const wanted = new Map<RoleAttribute, boolean>();
  for (const parsed of role.attributes.map(parseAttribute)) {
    if (!parsed) continue;
    if ((wanted.get(parsed.name) ?? parsed.value) !== parsed.value) {
      report("contradiction", `${parsed.name} and NO${parsed.name} at once`);
    }
    wanted.set(parsed.name, parsed.value);
  }
  if (role.verifier !== undefined && !parseScramVerifier(role.verifier)) {
    report("not_a_verifier", "the password is not a SCRAM-SHA-256 verifier");
  }
  return found;
}

/** Statements that turn what is there into what is wanted, attributes not named going back to their default; empty when nothing differs. */
export function roleStatements(
  role: WantedRole,
  present: PresentRole | undefined,
  major: number,
): readonly RoleStatement[] {
  const name = quoteIdentifier(role.name);
  const statements: RoleStatement[] = [];
  const differing = wantedAttributes(role).filter(
    (wanted) => !present || present.attributes[wanted.name] !== wanted.value,
  );
  if (!present || differing.length > 0) {
    const words = differing.map((wanted) => (wanted.value ? wanted.name : `NO${wanted.name}`));
    const verb = present ? "ALTER" : "CREATE";
    statements.push(plain(`${verb} ROLE ${name} WITH ${words.join(" ")}`));
  }
  if (role.verifier !== undefined && present?.password !== role.verifier) {
    const sql = `ALTER ROLE ${name} PASSWORD ${quoteLiteral(role.verifier)}`;
    statements.push({ sql, shown: `ALTER ROLE ${name} PASSWORD [redacted]` });
  }
  for (const group of role.memberOf.filter((other) => !present?.memberOf.includes(other))) {
    statements.push(plain(grantMembership(group, role.name, major)));
  }
  return statements;
}

/** Takes the right to log in away, if it is there. */
export function disableStatements(present: PresentRole | undefined): readonly RoleStatement[] {
  if (!present?.attributes.LOGIN) return [];
  return [plain(`ALTER ROLE ${quoteIdentifier(present.name)} WITH NOLOGIN`)];
}

function grantMembership(group: string, member: string, major: number): string {
  const options = major >= 16 ? " WITH INHERIT TRUE" : "";
  return `GRANT ${quoteIdentifier(group)} TO ${quoteIdentifier(member)}${options}`;
}

function wantedAttributes(role: WantedRole): readonly { name: RoleAttribute; value: boolean }[] {
  const named = new Map(
    role.attributes
      .map(parseAttribute)
      .filter((parsed) => parsed !== undefined)
      .map((parsed) => [parsed.name, parsed.value]),
  );
  return ROLE_ATTRIBUTES.map(({ name, fallback }) => ({
    name,
    value: named.get(name) ?? fallback,
  }));
}

function parseAttribute(text: string): { name: RoleAttribute; value: boolean } | undefined {
  const word = text.trim().toUpperCase();
  for (const { name } of ROLE_ATTRIBUTES) {
    if (word === name) return { name, value: true };
    if (word === `NO${name}`) return { name, value: false };
  }
  return undefined;
}

function plain(sql: string): RoleStatement {
  return { sql, shown: sql };
}
