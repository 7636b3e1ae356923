// Keeper, fencer and PostgreSQL die; what must hold, holds.
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { systemClock } from "../../src/base/clock.ts";
import { asUser } from "../../src/host/account.ts";
import { KeptInstance, until } from "../support/kept-instance.ts";

let instance: KeptInstance;
beforeEach(async () => {
  instance = await KeptInstance.prepare();
  await instance.configure(instance.config());
}, 30_000);
afterEach(() => instance.close());

const running = () => instance.untilReport((report) => report.applied_generation > 0);
const dataDir = () => instance.file.layout.data_dir;
const postmaster = () => Number(readFileSync(`${dataDir()}/postmaster.pid`, "utf8").split("\n")[0]);

test("a killed keeper leaves PostgreSQL alone, and the next one takes it over", async () => {
  instance.startFencer();
  instance.startKeeper();
  const before = await running();
  const pid = postmaster();
  await instance.killKeeper();
  expect(await instance.query("SELECT 1")).toBe("1");
  instance.startKeeper();
  const after = await instance.untilReport(
    (report) => report.incarnation !== before.incarnation && report.postgres_state === "running",
  );
  expect(after).toMatchObject({
    applied_generation: before.applied_generation,
    postmaster_start_time: before.postmaster_start_time,
  });
  expect(postmaster()).toBe(pid);
}, 30_000);

test("a keeper that ends in order leaves PostgreSQL running too", async () => {
  instance.startFencer();
  instance.startKeeper();
  await running();
  instance.keeper?.kill("SIGTERM");
  expect(await instance.keeper?.exited).toBe(0);
  expect(await instance.query("SELECT 1")).toBe("1");
}, 30_000);

test("a keeper killed again and again while it makes the data directory still makes one", async () => {
  instance.startFencer();
  for (const ms of [150, 300, 450, 600]) {
    instance.startKeeper();
    await systemClock.sleep(ms);
    await instance.killKeeper();
    const complete = existsSync(dataDir());
    expect(complete).toBe(complete && existsSync(`${dataDir()}/pgherd.json`));
  }
  instance.startKeeper();
  const report = await running();
  expect(report.postgres_state).toBe("running");
  await until("leftovers to go", async () =>
    readdirSync(instance.file.layout.base_dir).some((name) => name.startsWith("data.new-"))
      ? undefined
      : true,
  );
}, 60_000);

test("PostgreSQL that dies is reported and comes back by itself", async () => {
  instance.startFencer();
  instance.startKeeper();
  const before = await running();
  await instance.query("CREATE TABLE kept AS SELECT 1 AS n; CHECKPOINT");
  const startedMs = systemClock.monotonicMs();
  process.kill(postmaster(), "SIGKILL");
  const after = await instance.untilReport(
    (report) =>
      report.postgres_state === "running" &&
      report.postmaster_start_time !== before.postmaster_start_time,
  );
  console.log(`back after ${Math.round(systemClock.monotonicMs() - startedMs)} ms`);
  expect(after.error).toBeUndefined();
  expect(instance.logs()).toContain("PostgreSQL ended by itself");
  expect(await instance.query("SELECT n FROM kept")).toBe("1");
}, 30_000);

test("a lock that somebody still holds does not blame the configuration, nor keep a stop from its end", async () => {
  instance.startFencer();
  instance.startKeeper();
  await running();
  await instance.apply(instance.config({ run: "stopped" }));
  const owner = instance.file.postgres_user;
  const holder = Bun.spawn([...asUser(["/bin/sleep", "60"], owner)]);
  try {
    const pidFile = [holder.pid, dataDir(), 1, 1, "", "", "", "stopping"].join("\n");
    const lock = `${instance.file.layout.run_dir}/.s.PGSQL.${instance.port}.lock`;
    writeFileSync(lock, `${pidFile}\n`);
    const owned = statSync(dataDir());
    chownSync(lock, owned.uid, owned.gid);
    const parameters = { work_mem: "7MB" };
    await instance.configure(instance.config({ parameters }));
    const locked = await instance.untilReport((r) => r.error?.includes("lock file") ?? false);
    expect(locked).toMatchObject({ postgres_state: "start failed" });
    expect(locked.refused_generation).toBeUndefined();
    await instance.apply(instance.config({ run: "stopped", parameters }));
    await instance.configure(instance.config({ parameters }));
    await instance.untilReport((r) => r.error?.includes("lock file") ?? false);
  } finally {
    holder.kill("SIGKILL");
    await holder.exited;
  }
  const report = await instance.untilReport((r) => r.postgres_state === "running");
  expect(report.refused_generation).toBeUndefined();
  expect(await instance.query("SHOW work_mem")).toBe("7MB");
}, 30_000);

test("a fencer that dies does not take PostgreSQL along; the next one is found", async () => {
  instance.startFencer();
  instance.startKeeper();
  const before = await running();
  instance.fencer?.kill("SIGKILL");
  await instance.fencer?.exited;
  expect(await instance.query("SELECT 1")).toBe("1");
  instance.startFencer();
  const answer = await instance.request({ kind: "restart", reason: "to prove the connection" });
  expect(answer.ok).toBe(true);
  expect((await running()).system_identifier).toBe(before.system_identifier ?? "");
}, 30_000);

test("a script interrupted by kill -9 of the keeper is applied exactly once", async () => {
  instance.startFencer();
  instance.startKeeper();
  await running();
  await instance.query("CREATE TABLE counted (n int)");
  const statements = [
    "INSERT INTO counted VALUES (1)",
    "SELECT pg_sleep(0.15)",
    "INSERT INTO counted VALUES (2)",
  ];
  const id = await instance.ask({ kind: "script", key: "once", database: "postgres", statements });
  for (const ms of [120, 200, 260, 330]) {
    await systemClock.sleep(ms);
    await instance.killKeeper();
    instance.startKeeper();
  }
  expect(await instance.answerTo(id)).toMatchObject({ ok: true });
  expect(await instance.query("SELECT string_agg(n::text, ',' ORDER BY n) FROM counted")).toBe(
    "1,2",
  );
}, 30_000);

test("a data directory that vanished is never replaced by an empty one", async () => {
  instance.startFencer();
  instance.startKeeper();
  await running();
  await instance.apply(instance.config({ run: "stopped" }));
  renameSync(dataDir(), `${dataDir()}.hidden`);
  rmSync(`${instance.file.layout.base_dir}/pgherd.json`);
  await instance.configure(instance.config());
  const report = await instance.untilReport((r) => r.error?.includes("had data") ?? false);
  expect(report.system_identifier).toMatch(/^\d+$/);
  await instance.killKeeper();
  instance.startKeeper();
  await instance.untilReport(
    (r) => r.incarnation !== report.incarnation && (r.error?.includes("had data") ?? false),
  );
  expect(report.postgres_state).toBe("stopped");
  expect(existsSync(dataDir())).toBe(false);
  renameSync(`${dataDir()}.hidden`, dataDir());
  await instance.untilReport((r) => r.postgres_state === "running" && r.error === undefined);
}, 30_000);

test("foreign files in the place of the data directory are left alone", async () => {
  mkdirSync(dataDir());
  writeFileSync(`${dataDir()}/precious`, "data");
  instance.startFencer();
  instance.startKeeper();
  await instance.untilReport((r) => r.error?.includes("not of this instance") ?? false);
  expect(readdirSync(dataDir())).toEqual(["precious"]);
}, 30_000);

test("a store that is away does not touch a running PostgreSQL, and a keeper starts without it", async () => {
  instance.startFencer();
  instance.startKeeper();
  const before = await running();
  await instance.rqlited.rqlited.stop();
  await instance.killKeeper();
  process.kill(postmaster(), "SIGKILL");
  instance.startKeeper();
  await until("PostgreSQL to be back without the store", async () => {
    const answer = await fetch(`${instance.url}/primary`).catch(() => undefined);
    return answer?.status === 200 ? true : undefined;
  });
  expect(await instance.query("SELECT system_identifier FROM pg_control_system()")).toBe(
    before.system_identifier ?? "",
  );
}, 30_000);
