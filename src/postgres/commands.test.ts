import { expect, test } from "bun:test";
import { checkConfigArgv, initdbArgv, parseConfigComplaints, postgresArgv } from "./commands.ts";
import { parseControlFile } from "./controldata.ts";
import { controlsTransaction } from "./sql/scripts.ts";

test("initdb never trusts, always checks pages, and takes the builtin provider where there is one", () => {
  const input = { binDir: "/b", dataDir: "/d", superuser: "pgedge", major: 16 };
  const argv = initdbArgv(input);
  expect(argv).toContain("--data-checksums");
  expect(argv).toContain("--auth-local=peer");
  expect(argv).toContain("--auth-host=scram-sha-256");
  expect(argv.join(" ")).not.toContain("provider");
  expect(initdbArgv({ ...input, major: 17 })).toContain("--locale-provider=builtin");
});

test("postgres gets its data and its configuration file", () => {
  expect(postgresArgv("/b", "/d", "/c/postgresql.conf")).toEqual([
    "/b/postgres",
    "-D",
    "/d",
    "-c",
    "config_file=/c/postgresql.conf",
  ]);
  expect(checkConfigArgv("/b", "/d", "/c/x")).toContain("-C");
});

test("complaints are the lines that name the problem", () => {
  const output = [
    '2026-11-21 06:22:11.308 GMT [3448] LOG:  skipping missing configuration file "/c/postgresql.auto.conf"',
    '2026-11-21 06:22:11.308 GMT [3448] LOG:  unrecognized configuration parameter "nonsense" in file "/c/p.conf" line 7',
    '2026-11-21 06:22:11.308 GMT [3448] FATAL:  configuration file "/c/p.conf" contains errors',
  ].join("\n");
  expect(parseConfigComplaints(output)).toEqual([
    'unrecognized configuration parameter "nonsense" in file "/c/p.conf" line 7',
  ]);
  expect(parseConfigComplaints('x FATAL:  configuration file "/c" contains errors')).toHaveLength(
    1,
  );
});

test("the control file's head", () => {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 18_446_744_073_709_551_615n, true);
  view.setUint32(8, 1_700, true);
  view.setUint32(16, 6, true);
  view.setUint32(48, 3, true);
  expect(parseControlFile(bytes)).toEqual({
    systemIdentifier: "18446744073709551615",
    controlVersion: 1_700,
    catalogVersion: 0,
    state: "in production",
    checkpointTimeline: 3,
  });
  expect(parseControlFile(new Uint8Array(64))).toBeUndefined();
  expect(parseControlFile(bytes.subarray(0, 20))).toBeUndefined();
});

test("statements that would end the transaction of a script are recognised", () => {
  for (const statement of [
    "COMMIT",
    "  -- note\n begin;",
    "/* x */ rollback",
    "END",
    "start  transaction",
    "PREPARE TRANSACTION 'x'",
  ]) {
    expect(controlsTransaction(statement)).toBe(true);
  }
  for (const statement of [
    "ROLLBACK TO SAVEPOINT a",
    "create table commit_log()",
    "SELECT 'commit'",
    "prepare q as select 1",
    "endless",
  ]) {
    expect(controlsTransaction(statement)).toBe(false);
  }
});
