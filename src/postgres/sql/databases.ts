// Statements about databases: existence, owner, grants for the administrators' group, extensions.
import { quoteIdentifier } from "../identifier.ts";
import { groupName } from "../roles.ts";

/** Owner of the database named $1; no row when there is none. */
export const selectDatabase = `
SELECT pg_catalog.pg_get_userbyid(d.datdba)::text AS owner
  FROM pg_catalog.pg_database d WHERE d.datname = $1::text`;

/** Outside of a transaction. */
export function createDatabase(name: string, owner: string | null): string {
  const owned = owner === null ? "" : ` OWNER ${quoteIdentifier(owner)}`;
  return `CREATE DATABASE ${quoteIdentifier(name)}${owned}`;
}

export function alterDatabaseOwner(name: string, owner: string): string {
  return `ALTER DATABASE ${quoteIdentifier(name)} OWNER TO ${quoteIdentifier(owner)}`;
}

/**
 * In the database itself: the administrators' group may use and make everything in schema public, now and later.
 * System catalogs are left out on purpose: the predefined roles give what is needed of them.
 */
export function groupGrants(database: string): readonly string[] {
  const group = quoteIdentifier(groupName);
  return [
    `GRANT ALL ON DATABASE ${quoteIdentifier(database)} TO ${group}`,
    `GRANT USAGE, CREATE ON SCHEMA public TO ${group}`,
    `GRANT ALL ON ALL TABLES IN SCHEMA public TO ${group}`,
    `GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ${group}`,
    `ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO ${group}`,
    `ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO ${group}`,
  ];
}

/** Whether the role named $1 and the schema public exist: one row. */
export const selectGrantTargets = `
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1::text) AS group_exists,
       EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'public') AS public_exists`;

/** Names of installed extensions, one row each. */
export const selectExtensions = "SELECT extname::text AS name FROM pg_catalog.pg_extension";

/** With what it depends on; into schema public unless the extension says otherwise (search_path must name it). */
export function createExtension(name: string): string {
  return `CREATE EXTENSION IF NOT EXISTS ${quoteIdentifier(name)} CASCADE`;
}
