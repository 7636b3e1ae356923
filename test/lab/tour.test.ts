// The tour on a real host: the binary as a service, keepers as units, limits, reboot, journal.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withEvidence } from "./evidence.ts";
import { eventually, Lab, type LabHost } from "./lab.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const root = join(import.meta.dir, "../..");
const secondsMax = 120_000;

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let host: LabHost;

  // Answers are checked field by field, whatever their shape.
  type Body = ReturnType<typeof JSON.parse>;

  const api = async (method: string, path: string, body?: unknown): Promise<Body> => {
    const response = await fetch(`http://${host.address}:3000${path}`, {
      method,
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    return { status: response.status, ...((await response.json().catch(() => ({}))) as object) };
  };
  const change = async (method: string, path: string, body?: unknown): Promise<void> => {
    const answer = await api(method, path, body);
    expect(answer).toMatchObject({ status: 200 });
    const taskPath = `/v1/databases/${answer.task.entity_id}/tasks/${answer.task.task_id}`;
    let task: Body;
    await eventually(
      `task ${answer.task.type}`,
      async () => {
        task = await (await fetch(`http://${host.address}:3000${taskPath}`)).json();
        return ["completed", "failed", "canceled"].includes(task.status);
      },
      90_000,
    );
    expect({ status: task.status, error: task.error }).toEqual({
      status: "completed",
      error: undefined,
    });
  };
  const inHost = async (...argv: string[]): Promise<string> =>
    (await host.exec(argv)).stdout.trim();
  const sql = async (id: string, text: string): Promise<string> => {
    const { instances } = await api("GET", `/v1/databases/${id}`);
    const { addresses, port } = instances[0].connection_info;
    const { stdout } = await host.exec(
      ["psql", "-XAtc", text, `postgresql://admin@${addresses[0]}:${port}/shop`],
      { env: { PGPASSWORD: "s3cret-pass", PGCONNECT_TIMEOUT: "5" } },
    );
    return stdout.trim();
  };
  const serverReady = () =>
    eventually(
      "the server answers",
      async () =>
        (await fetch(`http://${host.address}:3000/livez`).catch(() => undefined))?.status === 200,
      30_000,
    );
  const spec = (overrides: object = {}) => ({
    database_name: "shop",
    port: 0,
    patroni_port: 0,
    nodes: [{ name: "n1", host_ids: ["one"] }],
    database_users: [
      { username: "admin", password: "s3cret-pass", db_owner: true, attributes: ["LOGIN"] },
    ],
    postgresql_conf: { max_connections: 40, shared_buffers: "32MB" },
    ...overrides,
  });

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/tour`, image);
    host = await lab.host("one");
    copyFileSync(
      process.env.PGHERD_BINARY ?? join(root, "dist/pgherd"),
      join(host.root, "usr/local/bin/pgherd"),
    );
    mkdirSync(join(host.root, "etc/pgherd"), { recursive: true });
    copyFileSync(
      join(root, "packaging/pgherd.service"),
      join(host.root, "etc/systemd/system/pgherd.service"),
    );
    writeFileSync(
      join(host.root, "etc/pgherd/pgherd.yaml"),
      `data_dir: /var/lib/pgherd\nhttp:\n  bind_addr: ${host.address}\npeer_addresses: [${host.address}]\nclient_addresses: [${host.address}]\n`,
    );
    await host.start();
    await host.exec(["chmod", "755", "/usr/local/bin/pgherd"]);
    await host.exec(["systemctl", "enable", "--now", "pgherd"]);
    await serverReady();
    expect((await api("POST", "/v1/cluster/init")).status).toBe(200);
  }, secondsMax);
  afterAll(async () => {
    if (process.env.PGHERD_LAB_KEEP_LOG)
      console.log(readFileSync(join(host.directory, "console.err"), "utf8"));
    await lab.down();
  }, secondsMax);

  test(
    "the host record names the service manager and every PostgreSQL it has",
    async () => {
      const { hosts } = await api("GET", "/v1/hosts");
      expect(hosts[0]).toMatchObject({
        id: "one",
        orchestrator: "systemd",
        status: { state: "healthy" },
      });
      const majors = hosts[0].supported_pgedge_versions.map(
        (version: Body) => version.postgres_version.split(".")[0],
      );
      expect(majors).toEqual(expect.arrayContaining(["15", "17", "18"]));
    },
    secondsMax,
  );

  test.each(["15", "16", "17", "18"])(
    "PostgreSQL %s: create and query",
    async (major) => {
      const { hosts } = await api("GET", "/v1/hosts");
      const versions: string[] = hosts[0].supported_pgedge_versions.map(
        (version: Body) => version.postgres_version,
      );
      const version = versions.find((each) => each.startsWith(`${major}.`));
      if (!version) {
        console.log(`skipped: the lab image has no PostgreSQL ${major}`);
        return;
      }
      await change("POST", "/v1/databases", {
        id: `shop${major}`,
        spec: spec({ postgres_version: version }),
      });
      expect(await sql(`shop${major}`, "SHOW server_version_num")).toStartWith(major);
    },
    secondsMax,
  );

  test(
    "keeper and fencer are units; postgres is in the fencer's, under the limits of the spec",
    async () => {
      await change("POST", "/v1/databases/shop17", {
        spec: spec({ cpus: "0.5", memory: "256MB" }),
      });
      const units = await inHost("systemctl", "list-units", "--plain", "--no-legend", "pgherd-*");
      expect(units).toContain("pgherd-keeper-shop17-n1-");
      const fencer = /pgherd-fencer-shop17-n1-\w+\.service/.exec(units)?.[0] ?? "";
      expect(fencer).not.toBe("");
      const shown = await inHost(
        "systemctl",
        "show",
        fencer,
        "-p",
        "MemoryMax",
        "-p",
        "CPUQuotaPerSecUSec",
      );
      expect(shown).toContain("MemoryMax=256000000");
      expect(shown).toContain("CPUQuotaPerSecUSec=500ms");
      const inside = await inHost("systemctl", "status", "--no-pager", fencer);
      expect(inside).toContain("postgres");
      const owners = await inHost(
        "bash",
        "-c",
        "ps -eo user:20,args | grep -E '[b]in/postgres' | awk '{print $1}' | sort -u",
      );
      expect(owners).toBe("postgres");
    },
    secondsMax,
  );

  test(
    "restarting the server, the keeper's unit or the fencer's unit leaves PostgreSQL untouched",
    async () => {
      const started = await sql("shop17", "SELECT pg_postmaster_start_time()");
      const units = (
        await inHost("systemctl", "list-units", "--plain", "--no-legend", "pgherd-*shop17*")
      )
        .split("\n")
        .map((line) => line.split(" ")[0] ?? "");
      expect(units).toHaveLength(2);
      for (const unit of ["pgherd.service", ...units]) {
        await host.exec(["systemctl", "restart", unit]);
        await serverReady();
        await eventually(
          `shop17 after ${unit}`,
          async () =>
            (await api("GET", "/v1/databases/shop17")).instances?.[0]?.connection_info !==
            undefined,
        );
        expect(await sql("shop17", "SELECT pg_postmaster_start_time()")).toBe(started);
      }
    },
    secondsMax,
  );

  test(
    "the journal has the server's and the keeper's lines as JSON",
    async () => {
      const lines = await inHost("journalctl", "-o", "cat", "-u", "pgherd", "--no-pager");
      const parsed = lines
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line));
      expect(parsed.length).toBeGreaterThan(0);
      expect(lines).not.toContain("s3cret-pass");
      expect(
        await inHost(
          "bash",
          "-c",
          "journalctl -o cat --no-pager -u 'pgherd-keeper-shop17*' | head -1",
        ),
      ).toStartWith("{");
    },
    secondsMax,
  );

  test(
    "an orderly reboot and a power loss: everything comes back by itself with its data",
    () =>
      withEvidence(host, async () => {
        await sql("shop17", "CREATE TABLE kept AS SELECT 7 AS n");
        await host.reboot();
        await serverReady();
        await eventually(
          "shop17 answers",
          async () => (await sql("shop17", "SELECT n FROM kept").catch(() => "")) === "7",
          60_000,
        );
        await host.powerOff();
        await host.start();
        await serverReady();
        await eventually(
          "shop17 answers",
          async () => (await sql("shop17", "SELECT n FROM kept").catch(() => "")) === "7",
          60_000,
        );
        await eventually(
          "shop18 is available",
          async () =>
            (await api("GET", "/v1/databases/shop18")).instances?.[0]?.state === "available",
          60_000,
        );
      }),
    // As long as its waits together, so that the one that fails says so.
    360_000,
  );

  test(
    "delete leaves no unit, no process, no directory",
    async () => {
      for (const major of ["15", "17", "18"]) await change("DELETE", `/v1/databases/shop${major}`);
      const pattern = "shop(15|17|18)-n1";
      expect(
        await inHost("bash", "-c", `ls /etc/systemd/system | grep -E '${pattern}' || true`),
      ).toBe("");
      expect(
        await inHost("bash", "-c", `ps -eo args | grep -E '${pattern}' | grep -v grep || true`),
      ).toBe("");
      expect(
        await inHost(
          "bash",
          "-c",
          `find /var/lib/postgresql /run/pgherd -maxdepth 3 2>/dev/null | grep -E '${pattern}' || true`,
        ),
      ).toBe("");
    },
    secondsMax,
  );
}
