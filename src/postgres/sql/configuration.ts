// What PostgreSQL says about its configuration files and about settings that wait for a restart.

/**
 * Problems in the files as they are on disk now: one row each (views: pg_file_settings, pg_hba_file_rules,
 * pg_ident_file_mappings). That a setting waits for a restart is none; of one that is no longer in the files
 * the view tells in a row without file and name. Nor is a line that is read but never matches, such as hostssl
 * without SSL.
 */
export const selectFileProblems = `
SELECT COALESCE('setting ' || COALESCE(quote_ident(f.name), 'line ' || f.sourceline) || ': ', '') || f.error AS problem
  FROM pg_catalog.pg_file_settings f
  LEFT JOIN pg_catalog.pg_settings s ON s.name = f.name
 WHERE f.error IS NOT NULL
   AND NOT (f.error = 'setting could not be applied' AND s.context = 'postmaster')
   AND NOT (f.sourcefile IS NULL AND f.error LIKE 'parameter % cannot be changed without restarting the server')
UNION ALL
SELECT 'pg_hba line ' || line_number || ': ' || error FROM pg_catalog.pg_hba_file_rules
 WHERE error IS NOT NULL AND error NOT LIKE '%record cannot match because%'
UNION ALL
SELECT 'pg_ident line ' || line_number || ': ' || error FROM pg_catalog.pg_ident_file_mappings WHERE error IS NOT NULL`;

/** Asks the postmaster to read its files again. */
export const reload = "SELECT pg_catalog.pg_reload_conf() AS asked";

/** When this session last read the files, as text with microseconds. */
export const selectLoadTime = "SELECT pg_catalog.pg_conf_load_time()::text AS loaded";

/** Settings that wait for a restart, with both values where they are known. */
export const selectPendingRestart = `
SELECT s.name, s.setting AS old_value,
       (SELECT f.setting FROM pg_catalog.pg_file_settings f WHERE f.name = s.name ORDER BY f.seqno DESC LIMIT 1) AS new_value
  FROM pg_catalog.pg_settings s WHERE s.pending_restart ORDER BY s.name`;

/** Settings that ALTER SYSTEM overrides. */
export const selectOverridden = `
SELECT DISTINCT name FROM pg_catalog.pg_file_settings
 WHERE sourcefile LIKE '%/postgresql.auto.conf' AND name IS NOT NULL ORDER BY name`;
