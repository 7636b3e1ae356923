// A keeper takes an instance from nothing to a running primary, and does what steps ask of it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { scramVerifier } from "../../src/postgres/scram.ts";
import { KeptInstance } from "../support/kept-instance.ts";

let instance: KeptInstance;
const salt = new Uint8Array(16).fill(7);
const password = "pencil-\u2168\u00ad";
const verifier = scramVerifier(password, salt, 4096);
const app = { name: "app", verifier, attributes: ["LOGIN"], member_of: ["pgedge_superuser"] };

beforeAll(async () => {
  instance = await KeptInstance.prepare();
});
afterAll(() => instance.close());

test("from nothing to a running primary, whichever of fencer and keeper comes first", async () => {
  const config = instance.config();
  await instance.configure(config);
  instance.startKeeper();
  await instance.untilReport((report) => report.postgres_state === "initializing new cluster");
  instance.startFencer();
  const report = await instance.untilReport((r) => r.applied_generation === config.generation);
  expect(report).toMatchObject({
    postgres_state: "running",
    role: "primary",
    pending_restart: false,
    timeline: 1,
  });
  expect(report.postgres_version).toStartWith("15.");
  expect(report.system_identifier).toMatch(/^\d{15,20}$/);
  expect(report.certificate_expires_at_ms).toBeGreaterThan(report.observed_at_ms);
  expect(report.error).toBeUndefined();
  expect(await instance.query("SHOW data_checksums")).toBe("on");
  expect(await instance.query("SHOW server_encoding")).toBe("UTF8");
  expect(
    await instance.query("SELECT datcollate FROM pg_database WHERE datname = 'template1'"),
  ).toBe("C.UTF-8");
}, 30_000);

test("PostgreSQL runs as its own user, without the keeper's environment", async () => {
  const pid = readFileSync(`${instance.file.layout.data_dir}/postmaster.pid`, "utf8").split(
    "\n",
  )[0];
  const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  const names = environment.map((entry) => entry.split("=")[0]).filter((name) => name !== "");
  expect(names.filter((name) => !/^(LANG|LC_ALL|PATH|PG_OOM_ADJUST_.*)$/.test(name ?? ""))).toEqual(
    [],
  );
  expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^NoNewPrivs:\s+1$/m);
});

test("roles are made, and made again without a change", async () => {
  const work = { kind: "roles", roles: [app], disabled: [] } as const;
  const first = await instance.request(work);
  expect(first).toMatchObject({ ok: true });
  expect(first.detail).toContain('ALTER ROLE "app" PASSWORD [redacted]');
  expect(first.detail).not.toContain("SCRAM");
  expect(await instance.request(work)).toEqual({
    ok: true,
    detail: "all roles are as they should be",
  });
  const tcp = ["-h", "127.0.0.1", "-U", "app", "-d", "postgres"];
  expect(await instance.psql(tcp, "SELECT current_user", password)).toBe("app");
  expect(instance.psql(tcp, "SELECT 1", "wrong")).rejects.toThrow("password authentication failed");
  const memberships = await instance.query(
    "SELECT count(*) FROM pg_auth_members WHERE member = 'pgedge_superuser'::regrole AND admin_option",
  );
  expect(memberships).toBe("8");
  const allowed = "SET log_min_messages = debug1; SHOW log_min_messages";
  expect(await instance.psql(tcp, allowed, password)).toBe("debug1");
});

test("what a spec drops goes back, and a user that left can no longer log in", async () => {
  await instance.query("ALTER ROLE app SUPERUSER CREATEDB");
  const work = { kind: "roles", roles: [app], disabled: ["gone", "pgedge"] } as const;
  await instance.query("CREATE ROLE gone LOGIN");
  expect(await instance.request(work)).toMatchObject({ ok: true });
  const flags = "SELECT rolname, rolsuper, rolcreatedb, rolcanlogin FROM pg_roles";
  expect(
    await instance.query(`${flags} WHERE rolname IN ('app', 'gone', 'pgedge') ORDER BY 1`),
  ).toBe("app|f|f|t\ngone|f|f|f\npgedge|t|t|t");
});

test("every bad role is named and none is made", async () => {
  const answer = await instance.request({
    kind: "roles",
    disabled: [],
    roles: [
      { name: "fine", attributes: [], member_of: [] },
      { name: "pgedge_superuser", attributes: [], member_of: [] },
      { name: "odd", attributes: ["SUPERUSER PASSWORD 'x'"], member_of: [] },
    ],
  });
  expect(answer.ok).toBe(false);
  expect(answer.detail).toContain("pgedge_superuser");
  expect(answer.detail).toContain("odd");
  expect(await instance.query("SELECT count(*) FROM pg_roles WHERE rolname = 'fine'")).toBe("0");
});

test("the database, its owner and its extensions", async () => {
  const work = {
    kind: "database",
    name: 'sh"op',
    owner: "app",
    extensions: ["pg_stat_statements"],
  } as const;
  expect(await instance.request(work)).toMatchObject({ ok: true });
  expect(await instance.request(work)).toMatchObject({
    detail: 'database sh"op is as it should be',
  });
  expect(
    await instance.query("SELECT datdba::regrole FROM pg_database WHERE datname = 'sh\"op'"),
  ).toBe("app");
  const where = "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname LIKE 'pg_stat%'";
  expect(await instance.query(where, 'sh"op')).toBe("public");
  const unknown = await instance.request({ ...work, extensions: ["no_such"] });
  expect(unknown.ok).toBe(false);
  expect(unknown.detail).toContain("no_such");
});

test("a script runs once, all of it or nothing", async () => {
  const script = (key: string, ...statements: string[]) =>
    ({ kind: "script", key, database: "postgres", statements }) as const;
  const good = script("post_init", "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1); SELECT 1");
  expect(await instance.request(good)).toMatchObject({ ok: true });
  expect((await instance.request(good)).detail).toContain("was applied before");
  expect(await instance.query("SELECT count(*) FROM public.t")).toBe("1");
  const bad = await instance.request(script("two", "INSERT INTO t VALUES (2)", "SELECT 1/0"));
  expect(bad).toEqual({ ok: false, detail: "statement 2: division by zero" });
  expect((await instance.request(script("three", "COMMIT"))).detail).toContain("transaction");
  expect((await instance.request(script("four", "SELECT 1; COMMIT"))).ok).toBe(false);
  expect(await instance.query("SELECT count(*) FROM public.t")).toBe("1");
  const peeked = instance.query("SET ROLE gone; SELECT key FROM pgherd.applied_scripts");
  expect(peeked).rejects.toThrow("permission denied for schema pgherd");
});

test("neither verifiers nor scripts reach a log, a statistic or a request row", async () => {
  expect(instance.logs()).not.toContain("SCRAM-SHA-256$");
  expect(instance.logs()).not.toContain(password);
  await instance.query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
  const collected = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%SCRAM-SHA%'";
  expect(await instance.query(collected)).toBe("0");
  const left = await instance.read("SELECT count(*) FROM keeper_requests WHERE payload <> ''");
  expect(left?.[0]).toBe(0);
});
