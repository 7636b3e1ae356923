// Runs the driver suite against the driver in memory, detached processes of this machine, and units of
// a modelled service manager; and what each of them promises beyond it.
import { expect, test } from "bun:test";
import { existsSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { superviseIntervalMs } from "../../src/base/limits.ts";
import { seededRng } from "../../src/base/rng.ts";
import type { Executor } from "../../src/host/executor.ts";
import { FakeHost } from "../../src/host/fake.ts";
import type { StepContext } from "../../src/orchestrator/driver.ts";
import { FakeDriver } from "../../src/orchestrator/fake/driver.ts";
import { driverByName, openDriver } from "../../src/orchestrator/registry.ts";
import {
  launcher,
  openDetached,
  postgresUser,
  registryDeps,
  until,
} from "../support/detached-bench.ts";
import { FakeSystemctl } from "../support/fake-systemctl.ts";
import { type DriverBench, driverContract, fileOf, made, supervisionContract } from "./driver.ts";

driverContract("fake", openFake);
driverContract("detached processes", async () => openDetached());
driverContract("units", async () => openUnits());
supervisionContract("detached processes", async () => openDetached());
supervisionContract("units", async () => openUnits());

test("a new server adopts what the old one started", async () => {
  const bench = await openDetached();
  try {
    const [directories, keeper] = made(bench);
    await bench.driver.ensure(directories, bench.context);
    await bench.driver.ensure(keeper, bench.context, fileOf(bench));
    const before = [bench.identity("keeper", keeper.id), bench.identity("fencer", keeper.id)];
    const { context } = bench;
    const next = driverByName("detached", registryDeps(context), false);
    const records = join(context.host.dataDir, "keepers", keeper.id);
    rmSync(join(records, "keeper.process.json"));
    await next?.ensure(keeper, context, fileOf(bench));
    expect([bench.identity("keeper", keeper.id), bench.identity("fencer", keeper.id)]).toEqual(
      before,
    );
    expect(existsSync(join(records, "keeper.process.json"))).toBe(true);
    await next?.remove(keeper, context);
    expect(bench.identity("fencer", keeper.id)).toBeUndefined();
  } finally {
    await bench.close();
  }
}, 30_000);

test("supervision starts nothing again of what is being removed", async () => {
  const bench = await openDetached();
  const { driver, context } = bench;
  const [directories, keeper] = made(bench);
  await driver.ensure(directories, context);
  await driver.ensure(keeper, context, fileOf(bench));
  const stop = new AbortController();
  const supervised = driver.supervise({ ...context, signal: stop.signal }, () => [keeper.id]);
  const { executor } = context;
  const slow: Executor = {
    hostId: executor.hostId,
    run: (command, options) => executor.run(command, options),
    put: (path, content, options) => executor.put(path, content, options),
    get: (path, options) => executor.get(path, options),
    stat: (path, signal) => executor.stat(path, signal),
    mkdir: (path, options) => executor.mkdir(path, options),
    list: (path, signal) => executor.list(path, signal),
    async remove(path, signal) {
      await systemClock.sleep(3 * superviseIntervalMs);
      return executor.remove(path, signal);
    },
  };
  await driver.remove(keeper, { ...context, executor: slow });
  await systemClock.sleep(2 * superviseIntervalMs);
  stop.abort();
  await supervised;
  expect(bench.identity("fencer", keeper.id)).toBeUndefined();
  expect(bench.identity("keeper", keeper.id)).toBeUndefined();
  await bench.close();
}, 30_000);

test("a log that grew too long is begun anew", async () => {
  const bench = await openDetached();
  try {
    const [directories, keeper] = made(bench);
    await bench.driver.ensure(directories, bench.context);
    await bench.driver.ensure(keeper, bench.context, fileOf(bench));
    const log = join(fileOf(bench).layout.log_dir, "fencer.log");
    truncateSync(log, 64 * 1024 * 1024);
    const stop = new AbortController();
    const signal = stop.signal;
    const supervised = bench.driver.supervise({ ...bench.context, signal }, () => [keeper.id]);
    await bench.until(() => statSync(log).size < 1024 && existsSync(`${log}.1`));
    stop.abort();
    await supervised;
  } finally {
    await bench.close();
  }
}, 30_000);

test("another host's processes cannot be started from here", async () => {
  const bench = await openDetached();
  const [, keeper] = made(bench);
  const executor = new FakeHost("h2", systemClock);
  const elsewhere = { ...bench.context, executor };
  await expect(bench.driver.ensure(keeper, elsewhere, fileOf(bench))).rejects.toThrow(
    "only the server",
  );
  await bench.close();
});

test("directories are removed only below the place of instances", async () => {
  const { driver, context, close } = await openDetached();
  const [directories] = driver.resources(
    {
      instanceId: "a-n1-00000000",
      databaseId: "a",
      nodeName: "n1",
      hostId: "h1",
      postgresMajor: 15,
    },
    context.host,
  );
  for (const base_dir of [
    "/etc",
    "/etc/a-n1-00000000",
    `${context.host.instanceDir}/15/b-n1-00000000`,
  ]) {
    const wrong = { ...directories, inputs: { ...directories?.inputs, base_dir } };
    await expect(driver.remove(Object.assign({}, directories, wrong), context)).rejects.toThrow(
      "refusing",
    );
  }
  await close();
});

test("a socket path that does not fit is refused before anything is made", async () => {
  const { driver, context, close } = await openDetached();
  const instanceId = `${"d".repeat(36)}-n1-00000000`;
  const long = { ...context.host, runDir: `/run/${"x".repeat(60)}` };
  const placement = {
    instanceId,
    databaseId: "d",
    nodeName: "n1",
    hostId: "h1",
    postgresMajor: 15,
  };
  expect(() => driver.layout(placement, long)).toThrow("too long");
  expect(driver.layout(placement, { ...long, runDir: "/run/pgherd" }).run_dir).toContain(
    instanceId,
  );
  await close();
});

test("changed limits reach a running unit without a restart of PostgreSQL's unit", async () => {
  const bench = await openUnits();
  const { driver, context, systemctl } = bench;
  const [directories, keeper] = made(bench);
  await driver.ensure(directories, context);
  await driver.ensure(keeper, context, fileOf(bench));
  systemctl.calls.length = 0;
  const limited = { ...keeper, inputs: { ...keeper.inputs, cpus: 1.5, memory_bytes: 1024 ** 3 } };
  await driver.ensure(limited, context, fileOf(bench));
  const fencer = `pgherd-fencer-${keeper.id}.service`;
  expect(systemctl.calls).toContain("daemon-reload");
  expect(systemctl.calls).toContain(
    `set-property --runtime ${fencer} CPUQuota=150% MemoryMax=1073741824`,
  );
  expect(systemctl.calls.filter((call) => /^(re)?start .*fencer|^stop/.test(call))).toEqual([
    `start ${fencer} pgherd-keeper-${keeper.id}.service`,
  ]);
  expect(systemctl.units.get(fencer)?.text).toContain("MemoryMax=1073741824\n");
});

test("a unit that someone edited is put right", async () => {
  const bench = await openUnits();
  const { driver, context, systemctl } = bench;
  const [directories, keeper] = made(bench);
  await driver.ensure(directories, context);
  await driver.ensure(keeper, context, fileOf(bench));
  const unit = `/etc/systemd/system/pgherd-fencer-${keeper.id}.service`;
  const right = await context.executor.get(unit);
  await context.executor.put(unit, "[Service]\n", { mode: 0o644 });
  const stop = new AbortController();
  const supervised = driver.supervise({ ...context, signal: stop.signal }, () => [keeper.id]);
  await bench.until(() => systemctl.calls.at(-1)?.startsWith("enable") === true);
  stop.abort();
  await supervised;
  expect(await context.executor.get(unit)).toEqual(right);
});

test("a unit that is removed while it is being put right stays removed", async () => {
  const bench = await openUnits();
  const { driver, context } = bench;
  const [directories, keeper] = made(bench);
  await driver.ensure(directories, context);
  await driver.ensure(keeper, context, fileOf(bench));
  const { executor } = context;
  const units = async () =>
    (await executor.list("/etc/systemd/system", context.signal)).filter((name) =>
      name.includes(keeper.id),
    );
  await executor.remove(`/etc/systemd/system/pgherd-keeper-${keeper.id}.service`, context.signal);
  const put = executor.put.bind(executor);
  let removed: Promise<void> | undefined;
  executor.put = async (...file) => {
    // The removal passes the one who has seen that a unit is missing and is about to write it.
    removed ??= driver.remove(keeper, context);
    await removed;
    await put(...file);
  };
  const stop = new AbortController();
  const supervised = driver.supervise({ ...context, signal: stop.signal }, () => [keeper.id]);
  while (removed === undefined || (await units()).length > 0) await Bun.sleep(5);
  stop.abort();
  await supervised;
  expect(await units()).toEqual([]);
});

test("the host decides which driver it has, unless it is told", async () => {
  const plain = new FakeHost("h1", systemClock);
  const booted = new FakeHost("h1", systemClock).program("systemctl", () => ({
    stdout: "Version=252",
  }));
  await booted.mkdir("/run/systemd/system", { mode: 0o755 });
  await booted.mkdir("/sys/fs/cgroup", { mode: 0o755 });
  await booted.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n", {
    mode: 0o444,
  });
  const signal = new AbortController().signal;
  const open = (executor: FakeHost, choice: "baremetal" | "systemd" | "detached") =>
    openDriver(choice, { clock: systemClock, rng: seededRng(1), launcher, executor }, signal);
  const shown = async (executor: FakeHost, choice: "baremetal" | "systemd" | "detached") => {
    const { id, capabilities } = await open(executor, choice);
    return `${id} limits=${capabilities.limits} survives=${capabilities.survivesServerDown}`;
  };
  expect(await shown(plain, "baremetal")).toBe("detached limits=false survives=false");
  expect(await shown(booted, "baremetal")).toBe("systemd limits=true survives=true");
  expect(await shown(booted, "detached")).toBe("detached limits=false survives=false");
  await expect(open(plain, "systemd")).rejects.toThrow("did not boot");
  await booted.put("/sys/fs/cgroup/cgroup.controllers", "hugetlb\n", { mode: 0o444 });
  expect(await shown(booted, "baremetal")).toBe("systemd limits=false survives=true");
});

async function openFake(): Promise<DriverBench> {
  const driver = new FakeDriver();
  const host = new FakeHost("h1", systemClock);
  const context: StepContext = {
    executor: host,
    host: {
      hostId: "h1",
      dataDir: "/var/lib/pgherd",
      runDir: "/run/pgherd",
      instanceDir: "/var/lib/postgresql",
      postgresUser,
    },
    signal: new AbortController().signal,
    log: () => undefined,
  };
  return {
    driver,
    context,
    identity: (_, instanceId) =>
      driver.world.keepers.get(instanceId)?.state === "running" ? instanceId : undefined,
    crash: async () => undefined,
    exists: async (path) => driver.world.directories.has(`h1:${path}`),
    until,
    close: async () => undefined,
  };
}

async function openUnits(): Promise<DriverBench & { readonly systemctl: FakeSystemctl }> {
  const host = new FakeHost("h1", systemClock);
  const systemctl = new FakeSystemctl(host);
  await host.mkdir("/etc/systemd/system", { mode: 0o755 });
  host.program(process.execPath, () => ({ stdout: "" }));
  const { context } = await openFake();
  const onHost = { ...context, executor: host };
  const driver = driverByName("systemd", registryDeps(onHost), true);
  if (!driver) throw new Error("no driver");
  const unit = (role: string, instanceId: string) => `pgherd-${role}-${instanceId}.service`;
  return {
    driver,
    context: onHost,
    systemctl,
    identity: (role, instanceId) => systemctl.runOf(unit(role, instanceId))?.toString(),
    crash: async (role, instanceId) => systemctl.crash(unit(role, instanceId)),
    exists: async (path) => (await host.stat(path)) !== undefined,
    until,
    close: async () => undefined,
  };
}
