// Sessions of users, and how they are ended.

/** Process ids of client sessions of others than these two roles: $1, $2. */
export const clientBackends = `
SELECT pid FROM pg_catalog.pg_stat_activity
 WHERE backend_type = 'client backend' AND usename NOT IN ($1::text, $2::text)`;

/** Ends the session with the process id $1. */
export const endBackend = "SELECT pg_catalog.pg_terminate_backend($1::int) AS ended";
