// Tables of the workload and its statements. Each write is one statement, so it is there as a whole or not at all.

export const ACCOUNT_BALANCE = 1_000;

/** A client that is no superuser. */
export const APP = { user: "rig_app", password: "rig-app-pass" } as const;

const timeline = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline";

/** Makes the tables; `writers` clients get two accounts each. */
export function schema(writers: number): readonly string[] {
  return [
    // Samplers of standbys are refused many times a second.
    "ALTER ROLE CURRENT_USER SET log_min_messages = 'log'",
    `CREATE ROLE ${APP.user} LOGIN PASSWORD '${APP.password}'`,
    "CREATE EXTENSION IF NOT EXISTS amcheck",
    "CREATE SCHEMA rig",
    "CREATE TABLE rig.ledger (client text, n bigint, PRIMARY KEY (client, n))",
    "CREATE TABLE rig.lists (key int PRIMARY KEY, ids text[] NOT NULL)",
    "CREATE TABLE rig.accounts (id int PRIMARY KEY, balance bigint NOT NULL)",
    `INSERT INTO rig.accounts SELECT id, ${ACCOUNT_BALANCE} FROM generate_series(0, ${2 * writers - 1}) id`,
  ];
}

/** Only the row: what the sampler of a node commits. Values: client, n. */
export const SAMPLE = `INSERT INTO rig.ledger VALUES ($1, $2) RETURNING ${timeline}`;

/** The row, a move between two accounts, an append to a shared list. Values: client, n, account, list. */
export const WRITE = `
  WITH moved AS (
    UPDATE rig.accounts SET balance = balance + CASE id WHEN $3::int THEN -1 ELSE 1 END
    WHERE id IN ($3::int, $3::int + 1)
  ), appended AS (
    INSERT INTO rig.lists VALUES ($4::int, ARRAY[$1::text || ':' || $2::bigint])
    ON CONFLICT (key) DO UPDATE SET ids = lists.ids || EXCLUDED.ids
  )
  INSERT INTO rig.ledger VALUES ($1::text, $2::bigint) RETURNING ${timeline}`;

/** Newest row of each client. Values: client names. */
export const NEWEST = `
  SELECT client, (SELECT max(n) FROM rig.ledger l WHERE l.client = c.client)::text AS n
  FROM unnest($1::text[]) AS c (client)`;
