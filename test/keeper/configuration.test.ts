// A keeper follows its configuration: by reload, by an ordered restart, and not at all when it is wrong.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { KeptInstance, makeCertificate, until } from "../support/kept-instance.ts";

let instance: KeptInstance;
beforeAll(async () => {
  instance = await KeptInstance.prepare();
  instance.startFencer();
  instance.startKeeper();
  await instance.apply(instance.config());
}, 30_000);
afterAll(() => instance.close());

const started = () => instance.query("SELECT pg_postmaster_start_time()");

test("a setting that can be reloaded is reloaded, and nothing restarts", async () => {
  const before = await started();
  const report = await instance.apply(instance.config({ parameters: { work_mem: "7MB" } }));
  expect(report.pending_restart).toBe(false);
  expect(await instance.query("SHOW work_mem")).toBe("7MB");
  expect(await started()).toBe(before);
});

test("a new generation with the same content does not even reload", async () => {
  await instance.apply(instance.config({ parameters: { work_mem: "7MB" } }));
  const loaded = await instance.query("SELECT pg_conf_load_time()");
  await instance.apply(instance.config({ parameters: { work_mem: "7MB" } }));
  expect(await instance.query("SELECT pg_conf_load_time()")).toBe(loaded);
});

test("settings that need a restart wait for the generation that orders it", async () => {
  const before = await started();
  const waiting = await instance.apply(instance.config({ parameters: { max_connections: "25" } }));
  expect(waiting.pending_restart_settings).toEqual(["max_connections"]);
  expect(await started()).toBe(before);
  const status: unknown = await (await fetch(`${instance.url}/patroni`)).json();
  expect(status).toMatchObject({
    pending_restart_reason: { max_connections: { old_value: "20", new_value: "25" } },
  });
  const ordered = instance.config({ parameters: { max_connections: "25" } });
  const report = await instance.apply({ ...ordered, restart_generation: ordered.generation });
  expect(report.pending_restart).toBe(false);
  expect(await instance.query("SHOW max_connections")).toBe("25");
  expect(await started()).not.toBe(before);
});

test("a setting that needs a restart can also be taken out of the configuration", async () => {
  const parameters = { max_connections: "25" };
  const given = instance.config({ parameters: { ...parameters, max_prepared_transactions: "7" } });
  await instance.apply({ ...given, restart_generation: given.generation });
  expect(await instance.query("SHOW max_prepared_transactions")).toBe("7");
  const waiting = await instance.apply(instance.config({ parameters }));
  expect(waiting.pending_restart_settings).toEqual(["max_prepared_transactions"]);
  const taken = instance.config({ parameters });
  const report = await instance.apply({ ...taken, restart_generation: taken.generation });
  expect(report.pending_restart).toBe(false);
  expect(await instance.query("SHOW max_prepared_transactions")).toBe("0");
});

test("lines for connections that cannot come, such as hostssl without SSL, refuse nothing", async () => {
  const parameters = { max_connections: "25", ssl: "off" };
  const off = await instance.apply(instance.config({ parameters }));
  expect(off.error).toBeUndefined();
  const next = await instance.apply(
    instance.config({ parameters, hba: ["hostssl all all 127.0.0.1/32 scram-sha-256"] }),
  );
  expect(next.error).toBeUndefined();
  await instance.apply(instance.config({ parameters: { max_connections: "25" } }));
  expect(await instance.query("SHOW ssl")).toBe("on");
});

for (const [what, change, named] of [
  ["a setting of the wrong type", { parameters: { work_mem: "plenty" } }, "work_mem"],
  ["an unknown setting", { parameters: { no_such_setting: "1" } }, "no_such_setting"],
  [
    "a value that only a loaded library knows",
    { parameters: { "pg_stat_statements.track": "x" } },
    "pg_stat_statements.track",
  ],
  [
    "a restart-only setting of the wrong size",
    { parameters: { max_connections: "-1" } },
    "max_connections",
  ],
  [
    "a line that pg_hba.conf cannot have",
    { hba: ["local all pgedge peer map=pgherd", "host all all nonsense"] },
    "pg_hba",
  ],
  ["a name that is no name", { parameters: { "a b": "1" } }, "not a name of a setting"],
] as const) {
  test(`${what} is refused, named, and leaves everything as it was`, async () => {
    const good = await instance.apply(instance.config({ parameters: { max_connections: "25" } }));
    const loaded = await instance.query("SELECT pg_conf_load_time()");
    const bad = instance.config(change);
    await instance.configure(bad);
    const report = await instance.untilReport((r) => r.error?.includes(named) ?? false);
    expect(report.applied_generation).toBe(good.applied_generation);
    expect(report.refused_generation).toBe(bad.generation);
    expect(report.postgres_state).toBe("running");
    expect(await instance.query("SELECT pg_conf_load_time()")).toBe(loaded);
    expect(await instance.query("SELECT count(*) FROM pg_hba_file_rules WHERE error <> ''")).toBe(
      "0",
    );
    expect(await instance.query("SELECT count(*) FROM pg_file_settings WHERE error <> ''")).toBe(
      "0",
    );
    const better = await instance.apply(instance.config({ parameters: { max_connections: "25" } }));
    expect(better.error).toBeUndefined();
    expect(better.refused_generation).toBeUndefined();
  });
}

test("a restart that fails goes back to what ran, and says why", async () => {
  const bad = instance.config({ parameters: { shared_preload_libraries: "no_such_library" } });
  await instance.configure({ ...bad, restart_generation: bad.generation });
  const report = await instance.untilReport(
    (r) => r.postgres_state === "running" && (r.error?.includes("no_such_library") ?? false),
  );
  expect(report.applied_generation).toBeLessThan(bad.generation);
  expect(await instance.query("SHOW shared_preload_libraries")).toBe("pg_stat_statements");
  await instance.apply(instance.config());
}, 30_000);

test("files that somebody changed come back", async () => {
  await instance.apply(instance.config({ parameters: { work_mem: "9MB" } }));
  writeFileSync(join(instance.file.layout.config_dir, "postgresql.conf"), "work_mem = '1MB'\n");
  await until("the change to be undone", async () => {
    const lines = "SELECT setting FROM pg_file_settings WHERE name = 'work_mem'";
    return (await instance.query(lines)) === "9MB" ? true : undefined;
  });
  expect(await instance.query("SHOW work_mem")).toBe("9MB");
}, 30_000);

test("new certificates are loaded and their end is reported", async () => {
  const before = (await instance.report())?.certificate_expires_at_ms ?? 0;
  const loaded = await instance.query("SELECT pg_conf_load_time()");
  makeCertificate(instance.file.layout.certificate_dir, 60);
  const report = await instance.untilReport((r) => (r.certificate_expires_at_ms ?? 0) > before);
  expect((report.certificate_expires_at_ms ?? 0) - before).toBeGreaterThan(20 * 86_400_000);
  await until("a reload", async () =>
    (await instance.query("SELECT pg_conf_load_time()")) === loaded ? undefined : true,
  );
}, 30_000);

test("stop, decline, and start again", async () => {
  await instance.apply(instance.config({ run: "stopped" }));
  expect((await instance.report())?.postgres_state).toBe("stopped");
  expect(await instance.request({ kind: "reload" })).toEqual({
    ok: false,
    detail: "the instance is stopped",
  });
  const report = await instance.apply(instance.config());
  expect(report).toMatchObject({ postgres_state: "running", role: "primary" });
}, 30_000);

test("restart and reload on request", async () => {
  const before = await started();
  const answer = await instance.request({ kind: "restart", reason: "asked by the test" });
  expect(answer.ok).toBe(true);
  expect(answer.detail).toMatch(/^restarted in \d+ ms$/);
  expect(await started()).not.toBe(before);
  const loaded = await instance.query("SELECT pg_conf_load_time()");
  expect(await instance.request({ kind: "reload" })).toMatchObject({ ok: true });
  expect(await instance.query("SELECT pg_conf_load_time()")).not.toBe(loaded);
}, 30_000);

test("what ALTER SYSTEM overrides is told, and a changed port is found before and after its restart", async () => {
  await instance.query("ALTER SYSTEM SET work_mem = '3MB'");
  await instance.untilReport((r) => r.decision.includes("ALTER SYSTEM overrides work_mem"));
  await instance.query("ALTER SYSTEM RESET ALL");
  await instance.untilReport((r) => !r.decision.includes("ALTER SYSTEM"));
  const moved = instance.config({ port: instance.restPort + 1 });
  await instance.apply(moved);
  await instance.killKeeper();
  instance.startKeeper();
  const ordered = instance.config({ port: instance.restPort + 1 });
  const report = await instance.apply({ ...ordered, restart_generation: ordered.generation });
  expect(report.pending_restart).toBe(false);
  const back = instance.config();
  await instance.apply({ ...back, restart_generation: back.generation });
  expect(await instance.query("SHOW port")).toBe(String(instance.port));
}, 40_000);

test("a library that is not there refuses everybody but the keeper, who can take the setting back", async () => {
  await instance.apply(instance.config({ parameters: { session_preload_libraries: "nothing" } }));
  await expect(instance.query("SELECT 1")).rejects.toThrow();
  await instance.killKeeper();
  instance.startKeeper();
  await instance.apply(instance.config({ parameters: { local_preload_libraries: "nothing" } }));
  await instance.apply(instance.config());
  expect(await instance.query("SELECT 1")).toBe("1");
});
