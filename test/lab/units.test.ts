// The driver's units under a real service manager: what may be stopped without PostgreSQL noticing, and
// what stops it cleanly. Without server, store or keeper: those have the tour.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, Lab, type LabHost } from "./lab.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const timeoutMs = 60_000;
const program = "/usr/local/bin/agents";
const bin = "/usr/lib/postgresql/15/bin";
const fencer = "pgherd-fencer-shop-n1-0f3k2m1q.service";
const keeper = "pgherd-keeper-shop-n1-0f3k2m1q.service";
const dataDir = "/var/lib/postgresql/15/shop-n1-0f3k2m1q/data";

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let host: LabHost;
  const run = async (...argv: string[]) => (await host.exec(argv)).stdout.trim();
  const driver = (...args: string[]) => run(program, "driver", ...args);
  const property = (unit: string, name: string) =>
    run("systemctl", "show", "--value", `--property=${name}`, unit);
  const postmaster = async () => (await run("head", "-1", `${dataDir}/postmaster.pid`)).trim();
  const sql = (text: string) =>
    run("psql", "-XAt", "-U", "postgres", "-h", "/run/pgherd/shop-n1-0f3k2m1q", "-c", text);
  const answers = () =>
    eventually("postgres answers", async () => {
      const asked = await host.exec(
        ["psql", "-XAt", "-U", "postgres", "-h", "/run/pgherd/shop-n1-0f3k2m1q", "-c", "select 1"],
        { check: false },
      );
      return asked.exitCode === 0;
    });
  const shutDownCleanly = async () =>
    (await run(`${bin}/pg_controldata`, dataDir)).includes(
      "cluster state:               shut down\n",
    );

  beforeAll(async () => {
    lab = await Lab.up(join(directory, "units"), image);
    host = await lab.host("h1");
    const source = join(import.meta.dir, "../support/agents-process.ts");
    const outfile = join(host.root, program);
    const flags = ["--compile", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
    const built = Bun.spawnSync(
      [process.execPath, "build", ...flags, source, "--outfile", outfile],
      { stdout: "ignore", stderr: "pipe" },
    );
    if (built.exitCode !== 0) throw new Error(built.stderr.toString());
    await host.start();
    await driver("ensure");
    await driver("start", bin);
    await answers();
  }, timeoutMs);
  afterAll(() => lab.down(), timeoutMs);

  test(
    "the driver knows its service manager and what the kernel can limit",
    async () => {
      const found = JSON.parse(await driver("capabilities"));
      expect(found).toMatchObject({ id: "systemd", survivesServerDown: true });
      expect(JSON.parse(await driver("observe"))).toEqual([
        { instanceId: "shop-n1-0f3k2m1q", keeper: "running", fencer: "running" },
      ]);
    },
    timeoutMs,
  );

  test(
    "postgres is in the fencer's unit, as its user, and not in the keeper's",
    async () => {
      const pid = await postmaster();
      expect(await run("cat", `/proc/${pid}/cgroup`)).toContain(`/${fencer}`);
      expect(await run("ps", "-o", "user=", "-p", pid)).toBe("postgres");
    },
    timeoutMs,
  );

  test.each([
    ["a restart of the keeper's unit", ["systemctl", "restart", keeper]],
    ["a stop of the keeper's unit", ["systemctl", "stop", keeper]],
    ["a restart of the fencer's unit", ["systemctl", "restart", fencer]],
    ["the death of the fencer", ["systemctl", "kill", "--kill-who=main", "-s", "KILL", fencer]],
    ["the end of the fencer", ["systemctl", "kill", "--kill-who=main", "-s", "TERM", fencer]],
    ["a fencer that freezes", ["systemctl", "kill", "--kill-who=main", "-s", "STOP", fencer]],
  ])(
    "%s does not touch postgres",
    async (_, argv) => {
      const before = await postmaster();
      const fencerBefore = await property(fencer, "MainPID");
      await run(...argv);
      if (argv.includes(fencer)) {
        await eventually("another fencer adopts", async () => {
          if ((await property(fencer, "MainPID")) === fencerBefore) return false;
          const asked = await host.exec([program, "driver", "status"], { check: false });
          return asked.stdout.includes('"adopted":true');
        });
        expect(await property(fencer, "ActiveState")).toBe("active");
      }
      expect(await postmaster()).toBe(before);
      expect(await sql("select 1")).toBe("1");
      await driver("ensure");
    },
    timeoutMs,
  );

  test(
    "changed limits hold at once, and postgres does not notice",
    async () => {
      const before = await postmaster();
      await driver("ensure", "0.5", String(512 * 1024 ** 2));
      expect(await property(fencer, "MemoryMax")).toBe(String(512 * 1024 ** 2));
      expect(await property(fencer, "CPUQuotaPerSecUSec")).toBe("500ms");
      expect(await postmaster()).toBe(before);
      await driver("ensure");
      expect(await property(fencer, "MemoryMax")).toBe("infinity");
      expect(await property(fencer, "CPUQuotaPerSecUSec")).toBe("infinity");
      await eventually("a fencer answers", async () => {
        const asked = await host.exec([program, "driver", "status"], { check: false });
        return asked.stdout.includes(`"pid":${before}`);
      });
      expect(await sql("select 1")).toBe("1");
    },
    timeoutMs,
  );

  test(
    "a stop of the fencer's unit stops postgres cleanly",
    async () => {
      await run("systemctl", "stop", fencer);
      expect(await shutDownCleanly()).toBe(true);
      expect(await property(fencer, "ActiveState")).toBe("inactive");
      const left = await host.exec(["pgrep", "-x", "postgres"], { check: false });
      expect(left.stdout).toBe("");
      await run("systemctl", "start", fencer, keeper);
    },
    timeoutMs,
  );

  test(
    "a reboot stops postgres cleanly, and keeper and fencer come back by themselves",
    async () => {
      await run("rm", "-rf", dataDir);
      await run("install", "-d", "-o", "postgres", "-m", "700", dataDir);
      await driver("start", bin);
      await answers();
      await host.reboot();
      expect(await shutDownCleanly()).toBe(true);
      expect(await property(fencer, "ActiveState")).toBe("active");
      expect(await property(keeper, "ActiveState")).toBe("active");
      expect(JSON.parse(await driver("status"))).toMatchObject({ postgres: { state: "stopped" } });
    },
    timeoutMs,
  );

  test(
    "a removal leaves nothing",
    async () => {
      await run("rm", "-rf", dataDir);
      await run("install", "-d", "-o", "postgres", "-m", "700", dataDir);
      await driver("start", bin);
      await answers();
      await driver("remove");
      const units = await run(
        "systemctl",
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "pgherd-*",
      );
      expect(units).toBe("");
      for (const path of ["/etc/systemd/system", "/run/pgherd", "/var/lib/pgherd/keepers"]) {
        expect(await run("find", path, "-name", "*shop-n1*")).toBe("");
      }
      expect(await run("find", "/var/lib/postgresql", "-name", "shop-n1*")).toBe("");
      expect((await host.exec(["pgrep", "-x", "postgres"], { check: false })).stdout).toBe("");
      await driver("remove");
    },
    timeoutMs,
  );

  test(
    "the server is started again however often it failed",
    async () => {
      const unit = "etc/systemd/system/pgherd.service";
      copyFileSync(join(import.meta.dir, "../../packaging/pgherd.service"), join(host.root, unit));
      const place = join(host.root, "usr/local/bin/pgherd");
      writeFileSync(place, "#!/bin/sh\nexit 1\n", { mode: 0o755 });
      await run("systemctl", "daemon-reload");
      await run("systemctl", "start", "--no-block", "pgherd.service");
      // Five within ten seconds are the service manager's own limit.
      await eventually(
        "the sixth restart",
        async () => Number(await property("pgherd.service", "NRestarts")) >= 6,
      );
      await run("systemctl", "stop", "pgherd.service");
    },
    timeoutMs,
  );
}
