// A host's record and status: from a scripted host, from this machine, and through the store.
import { expect, test } from "bun:test";
import { memoryStore } from "../../test/support/sqlite-store.ts";
import { systemClock } from "../base/clock.ts";
import { FakeClock } from "../base/fake-clock.ts";
import { uuidMaker } from "../base/ids.ts";
import { hostReportIntervalMs, hostReportStaleMs } from "../base/limits.ts";
import { silentLogger } from "../base/log.ts";
import { seededRng } from "../base/rng.ts";
import { FakeHost } from "../host/fake.ts";
import { LocalExecutor } from "../host/local.ts";
import { FakeDriver } from "../orchestrator/fake/driver.ts";
import { deleteHost, listHosts } from "../store/hosts.ts";
import { hostStatuses } from "../store/schema.ts";
import { readHostSize } from "./host-facts.ts";
import { type ConfiguredHost, HostReporter, observeHost } from "./host-report.ts";
import { HostComponents } from "./host-status.ts";
import { findInstallations } from "./postgres-installations.ts";
import { StatusWriter } from "./status-writer.ts";

const signal = new AbortController().signal;
const GiB = 1024 ** 3;

const configured: ConfiguredHost = {
  id: "h1",
  data_dir: "/var/lib/pgherd",
  run_dir: "/run/pgherd",
  instance_dir: "/var/lib/pgherd/instances",
  postgres_user: "postgres",
  peer_addresses: ["10.0.0.1"],
  client_addresses: ["10.0.0.1"],
  etcd_mode: "server",
  random_ports: { min: 5432, max: 15432 },
  server_version: "0.1.0",
};

async function scriptedHost(clock = new FakeClock()): Promise<FakeHost> {
  const host = new FakeHost("h1", clock);
  const file = async (path: string, content: string) => {
    await host.mkdir(path.slice(0, path.lastIndexOf("/")), { mode: 0o755 });
    await host.put(path, content, { mode: 0o644 });
  };
  const install = async (bin: string, said: string, share: string) => {
    await file(`${bin}/postgres`, "");
    await file(`${bin}/pg_config`, "");
    host.program(`${bin}/postgres`, () => ({ stdout: `postgres (PostgreSQL) ${said}\n` }));
    host.program(`${bin}/pg_config`, () => ({ stdout: `${share}\n` }));
  };
  await install("/usr/lib/postgresql/15/bin", "15.9 (Debian 15.9-0)", "/usr/share/postgresql/15");
  await install("/usr/lib/postgresql/17/bin", "17.11", "/usr/share/postgresql/17");
  await install("/usr/pgsql-18/bin", "18.2", "/usr/pgsql-18/share");
  await install("/opt/pg/bin", "17.11", "/opt/pg/share");
  const control = "comment = 'x'\ndefault_version = '5.0.4'\n";
  await file("/usr/pgsql-18/share/extension/spock.control", control);
  await host.mkdir("/usr/lib/postgresql/16/bin", { mode: 0o755 });
  await file("/usr/lib/postgresql/14/bin/postgres", "");
  host.program("/usr/lib/postgresql/14/bin/postgres", () => ({ exitCode: 127 }));
  await file("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n");
  await host.mkdir(configured.data_dir, { mode: 0o755 });
  return host
    .program("nproc", () => ({ stdout: "8\n" }))
    .program("df", () => ({ stdout: "   1B-blocks Avail\n 1000 500\n" }));
}

test("finds what packages and the configuration installed, newest first", async () => {
  const found = await findInstallations(await scriptedHost(), ["/opt/pg/bin", "/none"], signal);
  expect(found).toEqual([
    { major: 18, version: "18.2", bin_dir: "/usr/pgsql-18/bin", spock_version: "5.0.4" },
    { major: 17, version: "17.11", bin_dir: "/opt/pg/bin", spock_version: null },
    { major: 15, version: "15.9", bin_dir: "/usr/lib/postgresql/15/bin", spock_version: null },
  ]);
});

test("finds PostgreSQL 15 and the size of this machine", async () => {
  const executor = new LocalExecutor("h1", systemClock);
  const found = await findInstallations(executor, [], signal);
  expect(found.find(({ major }) => major === 15)?.version).toMatch(/^15\.\d+$/);
  const size = await readHostSize(executor, signal);
  expect(size.cpus).toBeGreaterThan(0);
  expect(size.memoryBytes).toBeGreaterThan(GiB / 4);
});

test("in a container its limits count", async () => {
  const host = await scriptedHost();
  expect(await readHostSize(host, signal)).toEqual({ cpus: 8, memoryBytes: 16 * GiB });
  await host.mkdir("/sys/fs/cgroup", { mode: 0o755 });
  await host.put("/sys/fs/cgroup/memory.max", `${2 * GiB}\n`, { mode: 0o444 });
  await host.put("/sys/fs/cgroup/cpu.max", "150000 100000\n", { mode: 0o444 });
  expect(await readHostSize(host, signal)).toEqual({ cpus: 2, memoryBytes: 2 * GiB });
  await host.put("/sys/fs/cgroup/memory.max", "max\n", { mode: 0o444 });
  await host.put("/sys/fs/cgroup/cpu.max", "max 100000\n", { mode: 0o444 });
  expect(await readHostSize(host, signal)).toEqual({ cpus: 8, memoryBytes: 16 * GiB });
});

async function openReporter() {
  const clock = new FakeClock();
  const executor = await scriptedHost(clock);
  const driver = new FakeDriver();
  const store = await memoryStore(clock);
  const host = {
    hostId: "h1",
    dataDir: configured.data_dir,
    runDir: configured.run_dir,
    instanceDir: configured.instance_dir,
    postgresUser: configured.postgres_user,
  };
  const reporter = new HostReporter({
    store,
    clock,
    ownClock: clock,
    ids: uuidMaker(clock, seededRng(1)),
    log: silentLogger,
    driver,
    context: { executor, host },
  });
  const record = await observeHost(configured, [], driver, { executor, signal });
  const status = async () => (await listHosts(store.db, ["h1"]))[0];
  return { clock, executor, driver, host, store, reporter, record, status };
}

test("a host is registered with its record and its first status", async () => {
  const { reporter, record, status, clock } = await openReporter();
  expect(record).toMatchObject({ orchestrator: "fake", cpus: 8, memory_bytes: 16 * GiB });
  expect(record.capabilities).toEqual({
    limits: true,
    survives_server_down: true,
    services: false,
  });
  await reporter.register(record, "new", signal);
  const stored = await status();
  expect(stored?.record).toEqual(record);
  expect(stored?.status?.updatedAtMs).toBe(clock.nowMs());
  const components = stored?.status?.status.components ?? {};
  expect(Object.keys(components).sort()).toEqual([
    "clock",
    "disk",
    "driver",
    "postgresql",
    "store",
  ]);
  expect(Object.values(components).map(({ healthy, error }) => ({ healthy, error }))).toEqual(
    Array.from({ length: 5 }, () => ({ healthy: true, error: "" })),
  );
  expect(components.disk?.details).toEqual({
    "/var/lib/pgherd": { size_bytes: 1000, available_bytes: 500 },
  });
});

test("the status is written again and says what is wrong", async () => {
  const { reporter, record, status, clock, executor, driver } = await openReporter();
  await reporter.register(record, "new", signal);
  const stop = new AbortController();
  const running = reporter.run("h1", stop.signal);
  executor.program("df", () => ({ stdout: " 1B-blocks Avail\n 1000 49\n" }));
  driver.observe = async () => [
    { instanceId: "shop-n1-0f3k2m1q", keeper: "failed", fencer: "running" },
  ];
  const before = (await status())?.status?.updatedAtMs ?? 0;
  await clock.advance(hostReportIntervalMs);
  for (let turn = 0; turn < 50 && (await status())?.status?.updatedAtMs === before; turn++) {
    await clock.advance(1);
  }
  const components = (await status())?.status?.status.components ?? {};
  expect(components.disk).toMatchObject({ healthy: false, error: "almost full: /var/lib/pgherd" });
  expect(components.driver).toMatchObject({
    healthy: false,
    error: "keepers or fencers fail: shop-n1-0f3k2m1q",
  });
  expect(components.store).toMatchObject({ healthy: true });
  stop.abort();
  await running;
});

test("only a status with news wakes those who wait for changes", async () => {
  const { reporter, record, clock, store } = await openReporter();
  await reporter.register(record, "new", signal);
  const status = new StatusWriter({ store, clock, ids: uuidMaker(clock, seededRng(2)) });
  const disk = (error: string, size: number) => ({
    disk: { healthy: error === "", error, details: { size } },
  });
  const news = async (error: string, size: number) => {
    const before = await store.changeVersion();
    await status.write("h1", disk(error, size), signal);
    const [stored] = await listHosts(store.db, ["h1"]);
    expect(stored?.status?.status.components).toEqual(disk(error, size));
    return (await store.changeVersion()) > before;
  };
  expect(await news("", 1)).toBe(true);
  expect(await news("", 2)).toBe(false);
  expect(await news("full", 2)).toBe(true);
  expect(await news("full", 2)).toBe(false);
  await clock.advance(hostReportStaleMs);
  expect(await news("full", 2)).toBe(true);
});

test("a host that was removed does not put itself back into the list", async () => {
  const { reporter, record, status, clock, store, executor } = await openReporter();
  await reporter.register(record, "new", signal);
  await reporter.register({ ...record, peer_port: 7000 }, "known", signal);
  expect((await status())?.record.peer_port).toBe(7000);
  await store.commit({ opId: "gone", guards: [], statements: deleteHost(store.db, "h1") });
  await expect(reporter.register(record, "known", signal)).rejects.toThrow(
    "host h1 is not in the cluster any more",
  );
  let looks = 0;
  executor.program("df", () => {
    looks += 1;
    return { stdout: " 1B-blocks Avail\n 1000 500\n" };
  });
  const stop = new AbortController();
  const running = reporter.run("h1", stop.signal);
  for (let turn = 0; turn < 50 && looks < 2; turn++) await clock.advance(hostReportIntervalMs);
  expect(looks).toBeGreaterThan(1);
  stop.abort();
  await running;
  expect(await status()).toBeUndefined();
  expect(await store.db.select().from(hostStatuses)).toEqual([]);
});

test("a component that cannot be looked at is not healthy, and says why", async () => {
  const { reporter, record, status, executor, driver } = await openReporter();
  executor.program("df", () => ({ exitCode: 1, stderr: "df: no such device\n" }));
  driver.observe = () => Promise.reject(new Error("the service manager does not answer"));
  await reporter.register(record, "new", signal);
  const components = (await status())?.status?.status.components ?? {};
  expect(components.disk).toEqual({ healthy: false, error: "df: no such device" });
  expect(components.driver).toEqual({
    healthy: false,
    error: "the service manager does not answer",
  });
});

test("a clock that differs from the leader's, and a certificate that nobody renews, are named", async () => {
  const { clock, executor, driver, host } = await openReporter();
  const day = 86_400_000;
  const certificate = { issuedAtMs: clock.nowMs(), notAfterMs: clock.nowMs() + 30 * day };
  let leaderBehindMs = 0;
  const told: number[] = [];
  const components = new HostComponents({
    clock,
    driver,
    context: { executor, host },
    askStore: async () => undefined,
    leaderNowMs: async () => clock.nowMs() - leaderBehindMs,
    onLeaderDifference: async (ms) => {
      told.push(ms);
    },
    certificate: () => certificate,
  });
  const look = () => components.look(new AbortController().signal);
  expect(await look()).toMatchObject({
    clock: { healthy: true, details: { leader_difference_ms: 0 } },
    certificate: { healthy: true, details: { age_seconds: 0 } },
  });
  leaderBehindMs = 600_000;
  await clock.advance(25 * day);
  expect(await look()).toMatchObject({
    clock: { healthy: false, error: "the wall clock differs from the leader's by 600000 ms" },
    certificate: { healthy: false, error: "the host's certificate is not renewed in time" },
  });
  expect(told).toEqual([0, 600_000]);
  await clock.advance(5 * day);
  expect((await look()).certificate?.error).toBe("the host's certificate has expired");
});
