// Statements that run a user's script exactly once: its marker row commits together with its effects.

/** Owner of the marker schema; no row when there is none yet. */
export const selectMarkerSchema = `
SELECT pg_catalog.pg_get_userbyid(nspowner)::text AS owner, current_user::text AS self
  FROM pg_catalog.pg_namespace WHERE nspname = 'pgherd'`;

/** Only when the schema is missing. Nobody but its owner may look inside. */
export const createMarkerSchema = [
  "CREATE SCHEMA pgherd",
  "REVOKE ALL ON SCHEMA pgherd FROM PUBLIC",
  `CREATE TABLE pgherd.applied_scripts (
    key text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT pg_catalog.now())`,
] as const;

/** One row when the script $1 was applied. */
export const selectMarker = "SELECT 1 AS applied FROM pgherd.applied_scripts WHERE key = $1::text";

/** $1: the script's key. */
export const insertMarker = "INSERT INTO pgherd.applied_scripts (key) VALUES ($1::text)";

/** The transaction that the session is in, as text. */
export const selectTransaction = "SELECT pg_catalog.pg_current_xact_id()::text AS id";

const TRANSACTION_CONTROL =
  /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*(begin|commit|end|rollback|abort|start\s+transaction|prepare\s+transaction)\b/i;

/** Whether the statement begins with a word that would end the script's only transaction. `ROLLBACK TO` a savepoint is fine. */
export function controlsTransaction(statement: string): boolean {
  const match = TRANSACTION_CONTROL.exec(statement);
  if (!match) return false;
  return !/^\s+(?:work\s+|transaction\s+)?to\b/i.test(statement.slice(match[0].length));
}
