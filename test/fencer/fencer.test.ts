// The fencer beside a real PostgreSQL: whatever happens to either, nothing that could write is left
// behind, and nothing that is healthy is disturbed.
import { afterAll, afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { FencerClient } from "../../agents/fencer/client.ts";
import type { Fenced, PostgresExit } from "../../agents/fencer/protocol.ts";
import { membersOf } from "../../agents/fencer/territory.ts";
import { systemBootClock } from "../../src/base/boot-clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { accountByName, asUser, ownUid } from "../../src/host/account.ts";
import { listProcesses, readArguments, readProcess, sendSignal } from "../../src/host/process.ts";
import { FencedInstance, postgresUser, removeTemplate } from "../support/fenced-instance.ts";

let instance: FencedInstance;
let client: FencerClient;
const boot = systemBootClock();

beforeEach(async () => {
  instance = new FencedInstance();
  client = await instance.openFencer();
}, 30_000);
afterEach(() => instance.close(), 30_000);
afterAll(removeTemplate);

/** Living processes of the instance, found without the fencer. */
function left(): readonly string[] {
  const uid = postgresUser ? accountByName(postgresUser).uid : ownUid();
  return membersOf({ dataDir: instance.dataDir, uid, ancestorPid: -1 }).map(
    ({ pid, name, state }) => `${pid} ${name} ${state}`,
  );
}

async function start(): Promise<number> {
  const started = await client.start(instance.start);
  if (!started.ok) throw new Error(started.error.message);
  await instance.ready();
  return started.value.pid;
}

function nextExit(): Promise<PostgresExit> {
  return new Promise((resolve) => client.onExit(resolve));
}

/** A backend that commits in a loop on the server side and never looks at its connection. */
async function busyBackend(): Promise<void> {
  await instance.query("create table ticks (at timestamptz)");
  const busy =
    "do $$ begin loop insert into ticks values (clock_timestamp()); commit; end loop; end $$";
  instance.psql(busy);
  while (Number(await instance.query("select count(*) from ticks")) < 100)
    await systemClock.sleep(10);
}

test("starts postgres in its own session as its user, and refuses to start a second", async () => {
  const pid = await start();
  expect(await client.status()).toMatchObject({
    postgres: { state: "running", pid, adopted: false },
    armed: null,
    last_exit: null,
  });
  expect(Number(readFileSync(`${instance.dataDir}/postmaster.pid`, "utf8").split("\n")[0])).toBe(
    pid,
  );
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  expect(fields.slice(1, 4)).toEqual([String(instance.fencer?.pid), String(pid), String(pid)]);
  if (postgresUser) {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(new RegExp(`Uid:\\t${accountByName(postgresUser).uid}\\t`));
    expect(status).toContain("NoNewPrivs:\t1");
    expect(status).toMatch(/CapEff:\t0+\n/);
  }
  const second = await client.start(instance.start);
  expect(second).toMatchObject({ ok: false, error: { refusal: "already_running", pid } });
  expect(statSync(instance.socket).mode & 0o777).toBe(0o600);
});

test("a lock file whose number another process of its user has since a boot does not stop it", async () => {
  const pid = await start();
  await client.kill();
  // Signals from its user reach it, as they would reach the server of another instance.
  const other = Bun.spawn([...asUser(["/bin/sleep", "60"], postgresUser)], { detached: true });
  try {
    const path = `${instance.dataDir}/postmaster.pid`;
    const lines = readFileSync(path, "utf8").split("\n");
    expect(lines[0]).toBe(String(pid));
    writeFileSync(path, [other.pid, ...lines.slice(1)].join("\n"));
    expect(await start()).toBeGreaterThan(0);
    expect(other.exitCode).toBe(null);
  } finally {
    other.kill("SIGKILL");
  }
});

test("a fast stop ends it cleanly and says so at once", async () => {
  await start();
  const exit = nextExit();
  const stopped = await client.stop("fast", 20_000);
  expect(stopped).toEqual({ ok: true, value: { forced: false, killed: 0, remaining: 0 } });
  expect(await exit).toMatchObject({ code: 0, signal: null, leftovers_killed: 0, remaining: 0 });
  expect(left()).toEqual([]);
  expect(await client.stop("fast", 1_000)).toMatchObject({
    ok: false,
    error: { refusal: "not_running" },
  });
  await start();
});

test("the death of the postmaster is known within 100 ms, and no backend goes on without it", async () => {
  const pid = await start();
  await busyBackend();
  const exit = nextExit();
  const killedAtMs = boot.bootMs();
  sendSignal(pid, "SIGKILL");
  const seen = await exit;
  expect(seen).toMatchObject({ pid, code: null, signal: "SIGKILL", remaining: 0 });
  expect(seen.at_boottime_ms - killedAtMs).toBeLessThan(100);
  expect(left()).toEqual([]);
  expect((await client.status()).postgres).toEqual({ state: "stopped" });
  await start();
  const after = await instance.query("select count(*) from ticks");
  await systemClock.sleep(200);
  expect(await instance.query("select count(*) from ticks")).toBe(after);
});

test("a failed start is an exit with the log to read", async () => {
  const exit = nextExit();
  const { argv, ...rest } = instance.start;
  await client.start({ ...rest, argv: [...argv, "-c", "no_such_setting=1"] });
  expect(await exit).toMatchObject({ code: 1, signal: null });
  expect(readFileSync(instance.logFile, "utf8")).toContain("no_such_setting");
  const bad = await client.start({ ...rest, argv: ["/no/such/program"] });
  if (!bad.ok) expect(bad.error.refusal).toBe("spawn_failed");
  else expect((await nextExit()).code).not.toBe(0);
});

test("kills a frozen postmaster with backends that do not listen, and proves it", async () => {
  const pid = await start();
  await busyBackend();
  sendSignal(pid, "SIGSTOP");
  const exit = nextExit();
  const beganMs = boot.bootMs();
  const proof = await client.kill();
  expect(boot.bootMs() - beganMs).toBeLessThan(2_000);
  expect(left()).toEqual([]);
  expect(proof.remaining).toBe(0);
  // Postmaster, checkpointer, writer, walwriter, launchers, the busy backend.
  expect(proof.killed).toBeGreaterThanOrEqual(6);
  expect(await exit).toMatchObject({ pid, signal: "SIGKILL" });
  expect(await client.kill()).toEqual({ killed: 0, remaining: 0 });
});

test("a stop that takes too long becomes a kill", async () => {
  const pid = await start();
  sendSignal(pid, "SIGSTOP");
  const stopped = await client.stop("fast", 200);
  expect(stopped).toMatchObject({ ok: true, value: { forced: true, remaining: 0 } });
  expect(left()).toEqual([]);
});

test("what an archive command leaves in a session of its own is killed too", async () => {
  const { argv, ...rest } = instance.start;
  const mark = `${40_000 + (process.pid % 1_000)}.5`;
  const command = `setsid sh -c 'cd /; sleep ${mark}' & sleep ${mark}`;
  await client.start({
    ...rest,
    argv: [...argv, "-c", "archive_mode=on", "-c", `archive_command=${command}`],
  });
  await instance.ready();
  await instance.query("create table t (); select pg_switch_wal()");
  const sleepers = () =>
    listProcesses().filter(
      // One that ends between the list and this look has no arguments any more.
      ({ pid, name }) => name === "sleep" && readArguments(pid).join(" ").includes(mark),
    );
  while (sleepers().length < 2) await systemClock.sleep(20);
  await client.kill();
  expect(sleepers()).toEqual([]);
});

test("a killed fencer leaves postgres running, and the next one adopts it", async () => {
  const pid = await start();
  instance.fencer?.kill("SIGKILL");
  await instance.fencer?.exited;
  await client.closed;
  expect(await instance.query("select 1")).toBe("1");
  client = await instance.openFencer();
  expect((await client.status()).postgres).toEqual({ state: "running", pid, adopted: true });
  const refused = await client.start(instance.start);
  expect(refused).toMatchObject({ ok: false, error: { refusal: "already_running", pid } });
  const exit = nextExit();
  const killedAtMs = boot.bootMs();
  sendSignal(pid, "SIGKILL");
  const seen = await exit;
  expect(seen).toMatchObject({ pid, code: null, signal: null, remaining: 0 });
  expect(seen.at_boottime_ms - killedAtMs).toBeLessThan(500);
  expect(left()).toEqual([]);
});

test("a fencer that is asked to end leaves postgres running and says so by its status", async () => {
  const pid = await start();
  instance.fencer?.kill("SIGTERM");
  expect(await instance.fencer?.exited).toBe(75);
  expect(readProcess(pid)?.state).not.toBe("Z");
  client = await instance.openFencer();
  expect((await client.stop("fast", 20_000)).ok).toBe(true);
  instance.fencer?.kill("SIGTERM");
  expect(await instance.fencer?.exited).toBe(0);
});

test("backends whose postmaster died together with the fencer are ended by the next one", async () => {
  const pid = await start();
  await busyBackend();
  instance.fencer?.kill("SIGKILL");
  await instance.fencer?.exited;
  sendSignal(pid, "SIGKILL");
  while (left().some((line) => line.startsWith(`${pid} `))) await systemClock.sleep(5);
  client = await instance.openFencer();
  expect(left()).toEqual([]);
  expect((await client.status()).postgres).toEqual({ state: "stopped" });
});

test("a postmaster whose data directory is gone is still found and killed", async () => {
  await start();
  instance.fencer?.kill("SIGKILL");
  await instance.fencer?.exited;
  rmSync(instance.dataDir, { recursive: true });
  client = await instance.openFencer();
  expect((await client.kill()).remaining).toBe(0);
  expect(left()).toEqual([]);
});

test("a second fencer of the same instance ends at once and disturbs nothing", async () => {
  const pid = await start();
  expect(await instance.spawnFencer().exited).toBe(3);
  expect((await client.status()).postgres).toMatchObject({ state: "running", pid });
});

test("the deadline kills everything, also a frozen postmaster; renewing it in time does not", async () => {
  const pid = await start();
  await busyBackend();
  expect(await client.arm(7, boot.bootMs() + 300)).toEqual({ ok: true, value: null });
  expect(await client.arm(7, boot.bootMs() + 60_000)).toEqual({ ok: true, value: null });
  expect(await client.arm(6, boot.bootMs() + 60_000)).toMatchObject({
    ok: false,
    error: { refusal: "stale_epoch" },
  });
  await systemClock.sleep(600);
  expect((await client.status()).postgres).toMatchObject({ state: "running", pid });
  sendSignal(pid, "SIGSTOP");
  const fenced = new Promise<Fenced>((resolve) => client.onFenced(resolve));
  const deadlineMs = boot.bootMs() + 300;
  await client.arm(8, deadlineMs);
  const seen = await fenced;
  expect(seen).toMatchObject({ epoch: 8, remaining: 0 });
  expect(seen.at_boottime_ms).toBeGreaterThanOrEqual(deadlineMs);
  expect(seen.at_boottime_ms - deadlineMs).toBeLessThan(1_000);
  expect(left()).toEqual([]);
  expect((await client.status()).armed).toBeNull();
});

test("a start for an epoch is refused without its deadline, and after it", async () => {
  const refused = { ok: false, error: { refusal: "stale_epoch" } };
  const forEpoch = { ...instance.start, epoch: 5 };
  expect(await client.start(forEpoch)).toMatchObject(refused);
  await client.arm(5, boot.bootMs() + 100);
  await systemClock.sleep(300);
  expect(await client.start(forEpoch)).toMatchObject(refused);
  await client.arm(6, boot.bootMs() + 60_000);
  expect(await client.start(forEpoch)).toMatchObject(refused);
  expect(left()).toEqual([]);
  expect(await client.start({ ...instance.start, epoch: 6 })).toMatchObject({ ok: true });
  await instance.ready();
});

test("a deadline outlives the fencer that was given it", async () => {
  await start();
  const deadlineMs = boot.bootMs() + 1_500;
  await client.arm(3, deadlineMs);
  instance.fencer?.kill("SIGKILL");
  await instance.fencer?.exited;
  client = await instance.openFencer();
  expect((await client.status()).armed).toEqual({ epoch: 3, deadline_boottime_ms: deadlineMs });
  const exit = await nextExit();
  expect(exit.at_boottime_ms).toBeGreaterThanOrEqual(deadlineMs);
  expect(left()).toEqual([]);
});

test("disarming ends the deadline", async () => {
  const pid = await start();
  await client.arm(1, boot.bootMs() + 200);
  await client.disarm();
  await systemClock.sleep(500);
  expect((await client.status()).postgres).toMatchObject({ state: "running", pid });
});

test("--stop ends postgres cleanly, with and without a fencer that answers", async () => {
  await start();
  expect(await instance.spawnFencer("--stop").exited).toBe(0);
  expect(left()).toEqual([]);
  await start();
  instance.fencer?.kill("SIGKILL");
  await instance.fencer?.exited;
  expect(await instance.spawnFencer("--stop").exited).toBe(0);
  expect(left()).toEqual([]);
  expect(existsSync(`${instance.dataDir}/postmaster.pid`)).toBe(false);
});

test("ending an instance after a boot leaves its directories open to PostgreSQL, whatever the umask", async () => {
  instance.fencer?.kill("SIGKILL");
  await instance.fencer?.exited;
  rmSync(instance.runDir, { recursive: true });
  const before = process.umask(0o077);
  const ending = instance.spawnFencer("--kill");
  process.umask(before);
  expect(await ending.exited).toBe(0);
  expect(statSync(instance.runDir).mode & 0o777).toBe(0o755);
});
