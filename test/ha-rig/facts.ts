// Asks the nodes what is true of them: who streams, what rows they hold, which past they tell. Reads only.
import type { LabHost } from "../lab/lab.ts";
import type { NodeData } from "./checks/equality.ts";
import { holdsFew, type NodeLeftovers } from "./checks/leaks.ts";
import { type NodeTimelines, parseHistory } from "./checks/timelines.ts";
import { find, orphans } from "./faults/processes.ts";
import type { Setup, System } from "./system.ts";
import { Session } from "./workload/session.ts";

const connectMs = 2_000;
const queryMs = 30_000;

/** Runs something with a session of its own. */
export async function ask<T>(
  system: System,
  host: LabHost,
  body: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await Session.open(system.endpoint(host), system.login, connectMs);
  try {
    return await body(session);
  } finally {
    session.drop();
  }
}

const REPLICATION = `
  SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline,
    pg_current_wal_insert_lsn()::text AS lsn,
    (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming') AS streaming,
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS synchronous`;
const STANDBY = `
  SELECT pg_is_in_recovery() AS standby, coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false) AS caught_up,
    (SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming') AS timeline`;

/** Undefined when every instance streams, on the primary's timeline, up to a position of just now; else what is missing. */
export async function missingRedundancy(
  system: System,
  primaryName: string | undefined,
  { mode }: Setup,
): Promise<string | undefined> {
  const primary = system.hosts.find(({ name }) => name === primaryName);
  if (!primary) return "no primary";
  try {
    const [facts] = await ask(system, primary, (session) => session.rows(REPLICATION));
    const standbys = system.hosts.filter((host) => host !== primary);
    if (Number(facts?.streaming) !== standbys.length) return `${facts?.streaming} standbys stream`;
    if (mode !== "async" && Number(facts?.synchronous) < 1) return "no synchronous standby";
    const timeline = Number.parseInt(String(facts?.timeline), 16);
    for (const host of standbys) {
      const [row] = await ask(system, host, (session) => session.rows(STANDBY, [facts?.lsn]));
      if (row?.standby !== true) return `${host.name} is no standby`;
      if (Number(row.timeline) !== timeline) return `${host.name} is on timeline ${row.timeline}`;
      if (row.caught_up !== true) return `${host.name} lags`;
    }
    return mode === "async" ? undefined : await system.recordLacks?.();
  } catch (thrown) {
    if (thrown instanceof Error) return thrown.message;
    throw thrown;
  }
}

/** Every row of the ledger on a node, as the checks name rows. */
export function ledgerOf(system: System, host: LabHost): Promise<Set<string>> {
  return ask(system, host, async (session) => {
    const rows = await session.rows(
      "SELECT client, string_agg(n::text, ',') AS ns FROM rig.ledger GROUP BY client",
      [],
      queryMs,
    );
    return new Set(
      rows.flatMap(({ client, ns }) =>
        String(ns)
          .split(",")
          .map((n) => `${client}:${n}`),
      ),
    );
  });
}

/** Elements of each shared list, in order. */
export function listsOf(system: System, host: LabHost): Promise<Map<number, string[]>> {
  return ask(system, host, async (session) => {
    const rows = await session.rows("SELECT key, array_to_string(ids, ',') AS ids FROM rig.lists");
    return new Map(rows.map(({ key, ids }) => [Number(key), String(ids).split(",")]));
  });
}

const TABLES = ["ledger", "lists", "accounts"] as const;
const HEAPS = `
  SELECT c.oid::regclass::text || ': ' || v.msg AS problem
  FROM pg_class c CROSS JOIN LATERAL verify_heapam(c.oid) v
  WHERE c.relkind IN ('r', 't', 'm') AND c.relpersistence = 'p'`;
const INDEXES = `
  SELECT count(bt_index_check(i.indexrelid, true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND i.indisvalid AND c.relpersistence = 'p'`;

/** Checksums of the tables, the accounts' total, and what amcheck says of heaps and indexes. */
export function dataOf(system: System, host: LabHost): Promise<NodeData> {
  return ask(system, host, async (session) => {
    const checksums = new Map<string, string>();
    for (const table of TABLES) {
      const [row] = await session.rows(
        `SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS sum FROM rig.${table} t`,
        [],
        queryMs,
      );
      checksums.set(table, String(row?.sum));
    }
    const [total] = await session.rows("SELECT sum(balance) AS total FROM rig.accounts");
    const corruption = (await session.rows(HEAPS, [], queryMs)).map(({ problem }) =>
      String(problem),
    );
    try {
      await session.rows(INDEXES, [], queryMs);
    } catch (thrown) {
      if (!(thrown instanceof Error)) throw thrown;
      corruption.push(thrown.message);
    }
    return { node: host.name, checksums, balance: Number(total?.total), corruption };
  });
}

/** Current timeline and the history files of a node. */
export async function timelinesOf(system: System, host: LabHost): Promise<NodeTimelines> {
  const current = await ask(system, host, async (session) => {
    const [row] = await session.rows(`
      SELECT CASE WHEN pg_is_in_recovery()
        THEN (SELECT received_tli FROM pg_stat_wal_receiver)::text
        ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END AS timeline, pg_is_in_recovery() AS standby`);
    return Number.parseInt(String(row?.timeline), row?.standby === true ? 10 : 16);
  });
  const { stdout } = await host.exec([
    "bash",
    "-c",
    'cd "$1" && for f in *.history; do [ -e "$f" ] && echo "== $f" && cat "$f"; done; true',
    "histories",
    `${system.dataDirectory(host)}/pg_wal`,
  ]);
  const histories = new Map<number, string>();
  for (const part of stdout.split("== ").slice(1)) {
    const [name = "", ...lines] = part.split("\n");
    histories.set(Number.parseInt(name, 16), parseHistory(lines.join("\n")));
  }
  return { node: host.name, current, histories };
}

/** Effective settings of a node, without those that name places, hosts or clients, or only say how to log. */
export function settingsOf(system: System, host: LabHost): Promise<Map<string, string>> {
  return ask(system, host, async (session) => {
    const rows = await session.rows(
      "SELECT name, reset_val FROM pg_settings WHERE context IN ('postmaster', 'sighup', 'user', 'superuser', 'backend')",
    );
    const named =
      /_(file|dir|directory|directories|addresses|conninfo|command|name|names)$|^(port|cluster_name|log_|lc_|ssl|unix_|primary_)|TimeZone|DateStyle|application_name|client_/;
    return new Map(
      rows.flatMap(({ name, reset_val }) =>
        named.test(String(name)) ? [] : [[String(name), String(reset_val)] as const],
      ),
    );
  });
}

/** Settings in which two systems differ, in words. */
export function differingSettings(
  ours: ReadonlyMap<string, string> | undefined,
  theirs: ReadonlyMap<string, string> | undefined,
): string[] {
  if (!ours || !theirs) return [];
  const names = [...new Set([...ours.keys(), ...theirs.keys()])].sort();
  return names
    .filter((name) => ours.get(name) !== theirs.get(name))
    .map((name) => `${name} ${ours.get(name) ?? "absent"} / ${theirs.get(name) ?? "absent"}`);
}

/** What is left on a node that should not be. */
export async function leftoversOf(system: System, host: LabHost): Promise<NodeLeftovers> {
  const idle = await ask(system, host, (session) =>
    session.rows(
      "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active AND NOT pg_is_in_recovery()",
    ),
  );
  return {
    node: host.name,
    postmasters: find(system, host, "postmaster").length,
    orphans: orphans(host),
    idleSlots: idle.map(({ slot_name }) => String(slot_name)),
    heldTransactions: await heldBy(system, host),
    keptAside: await system.keptAside(host),
  };
}

/** The former primary's slots are looked after every ten seconds, and it tells the new one what it sees as often. */
const releaseMs = 40_000;

/** Transactions since the oldest one that a slot of a primary keeps rows of, once nobody has more to tell. */
async function heldBy(system: System, host: LabHost): Promise<number> {
  const endMs = performance.now() + releaseMs;
  for (;;) {
    const [row] = await ask(system, host, (session) =>
      session.rows(
        "SELECT COALESCE(max(age(xmin)), 0) AS held FROM pg_replication_slots WHERE NOT pg_is_in_recovery()",
      ),
    );
    const heldTransactions = Number(row?.held);
    if (holdsFew({ heldTransactions }) || performance.now() > endMs) return heldTransactions;
    await Bun.sleep(500);
  }
}
