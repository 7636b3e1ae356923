// Reads roles as they are.
import { type PresentRole, ROLE_ATTRIBUTES, type RoleAttribute } from "../roles.ts";

/** Roles by name ($1: JSON array of names), with their password verifier and the roles they are members of. */
export const selectRoles = `
SELECT a.rolname::text AS name, a.rolpassword AS password,
       ${ROLE_ATTRIBUTES.map(({ column }) => `a.${column}`).join(", ")},
       COALESCE((SELECT json_agg(g.rolname ORDER BY g.rolname)
                   FROM pg_catalog.pg_auth_members m
                   JOIN pg_catalog.pg_authid g ON g.oid = m.roleid
                  WHERE m.member = a.oid), '[]'::json)::text AS member_of
  FROM pg_catalog.pg_authid a
 WHERE a.rolname IN (SELECT pg_catalog.json_array_elements_text($1::text::json))`;

/** One row of `selectRoles`. */
export function parsePresentRole(row: Readonly<Record<string, unknown>>): PresentRole {
  const flag = (column: string) => row[column] === true;
  const attributes: Record<RoleAttribute, boolean> = {
    SUPERUSER: flag("rolsuper"),
    CREATEDB: flag("rolcreatedb"),
    CREATEROLE: flag("rolcreaterole"),
    INHERIT: flag("rolinherit"),
    LOGIN: flag("rolcanlogin"),
    REPLICATION: flag("rolreplication"),
    BYPASSRLS: flag("rolbypassrls"),
  };
  const memberOf: unknown = JSON.parse(String(row.member_of));
  return {
    name: String(row.name),
    password: typeof row.password === "string" ? row.password : null,
    attributes,
    memberOf: Array.isArray(memberOf) ? memberOf.map(String) : [],
  };
}
