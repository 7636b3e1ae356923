// What a client may believe after each kind of answer, asked from a real PostgreSQL.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, installations } from "../../e2e/harness.ts";
import { type Endpoint, Session } from "./session.ts";
import { SAMPLE } from "./statements.ts";

const [installed] = installations();
const login = { user: "rig", password: "", database: "postgres" };
const asPostgres =
  process.getuid?.() === 0
    ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    : [];

let directory = "";
let endpoint: Endpoint;
let other: Session;

function pg(program: string, ...args: readonly string[]): void {
  const [first = "", ...rest] = [...asPostgres, join(installed?.binDir ?? "", program), ...args];
  execFileSync(first, rest, { stdio: ["ignore", "ignore", "inherit"], cwd: "/" });
}

const open = () => Session.open(endpoint, login, 5_000);

/** Does `what` to the backends that wait for a standby, as soon as there is one. */
async function toWaiting(what: "pg_cancel_backend" | "pg_terminate_backend"): Promise<void> {
  for (;;) {
    const sql = `SELECT ${what}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`;
    if ((await other.rows(sql)).length > 0) return;
    await Bun.sleep(10);
  }
}

async function setting(name: string, value: string): Promise<void> {
  await other.rows(`ALTER SYSTEM SET ${name} = '${value}'`);
  await other.rows("SELECT pg_reload_conf()");
  for (;;) {
    const [row] = await other.rows("SELECT current_setting($1) AS now", [name]);
    if (row?.now === value) return;
    await Bun.sleep(10);
  }
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "pgherd-rig-"));
  if (asPostgres.length > 0) execFileSync("chown", ["postgres:", directory]);
  const data = join(directory, "data");
  pg("initdb", "-D", data, "-U", "rig", "-A", "trust", "-N", "--no-locale");
  endpoint = { host: "here", address: "127.0.0.1", port: await freePort() };
  appendFileSync(
    join(data, "postgresql.conf"),
    `port = ${endpoint.port}\nunix_socket_directories = ''\nlisten_addresses = '127.0.0.1'\n`,
  );
  pg("pg_ctl", "-D", data, "-l", join(directory, "log"), "-w", "start");
  other = await open();
  await other.rows("CREATE SCHEMA rig");
  await other.rows("CREATE TABLE rig.ledger (client text, n bigint, PRIMARY KEY (client, n))");
});

afterAll(() => {
  other.drop();
  pg("pg_ctl", "-D", join(directory, "data"), "-m", "immediate", "stop");
  rmSync(directory, { recursive: true, force: true });
});

test("a commit is acknowledged with its timeline", async () => {
  const session = await open();
  const result = await session.write("sample", SAMPLE, ["plain", 1]);
  expect(result).toEqual({ outcome: "acked", timeline: 1, reason: "" });
  session.drop();
});

test("what the server refuses has failed", async () => {
  const session = await open();
  expect(await session.write("sample", SAMPLE, ["plain", 1])).toMatchObject({ outcome: "failed" });
  await session.rows("SET default_transaction_read_only = on");
  const refused = await session.write("sample", SAMPLE, ["plain", 2]);
  expect(refused).toMatchObject({ outcome: "failed", reason: expect.stringContaining("25006") });
  session.drop();
  const never = await session.write("sample", SAMPLE, ["plain", 3]);
  expect(never).toMatchObject({ outcome: "failed" });
});

test("a commit whose wait for a standby was given up is not acknowledged", async () => {
  // Otherwise the sessions of this test would wait as well.
  await other.rows("SET synchronous_commit = local");
  await setting("synchronous_standby_names", "nobody");
  const cancelled = await open();
  const write = cancelled.write("sample", SAMPLE, ["waiting", 1]);
  await toWaiting("pg_cancel_backend");
  expect(await write).toMatchObject({
    outcome: "unknown",
    reason: expect.stringContaining("synchronous replication"),
  });
  const terminated = await open();
  const lost = terminated.write("sample", SAMPLE, ["waiting", 2]);
  await toWaiting("pg_terminate_backend");
  expect(await lost).toMatchObject({ outcome: "unknown" });
  const impatient = await open();
  const dropped = impatient.write("sample", SAMPLE, ["waiting", 3]);
  await Bun.sleep(50);
  impatient.drop();
  expect(await dropped).toMatchObject({ outcome: "unknown" });
  // All three are there: that is why nobody may call them failed.
  const rows = await other.rows("SELECT n FROM rig.ledger WHERE client = 'waiting' AND n <= 2");
  expect(rows).toHaveLength(2);
  cancelled.drop();
  terminated.drop();
  await setting("synchronous_standby_names", "");
});
