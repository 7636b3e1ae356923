// The life of a database through the API, on every PostgreSQL that the machine has.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import {
  type Body,
  connect,
  eventually,
  freePort,
  installations,
  query,
  Sandbox,
  spec,
} from "./harness.ts";

const password = "s3cret-pass";
const secondsMax = 120_000;

describe.each(installations().map(({ major }) => major))("PostgreSQL %p", (major) => {
  let sandbox: Sandbox;
  let version = "";
  const id = `shop${major}`;
  const make = (overrides: Body = {}) => spec({ postgres_version: version, ...overrides });
  const get = async (name = id): Promise<Body> => (await sandbox.get(`/v1/databases/${name}`)).body;
  const sql = async (text: string, user = "admin", name = id) =>
    query((await get(name)).instances[0], user, password, "shop", text);

  beforeAll(async () => {
    sandbox = await Sandbox.initialised();
    const { body } = await sandbox.get("/v1/hosts");
    const supported = body.hosts[0].supported_pgedge_versions.map(
      (each: Body) => each.postgres_version,
    );
    version = supported.find((each: string) => each.startsWith(`${major}.`));
    expect(version).toBeString();
  }, secondsMax);
  afterAll(() => sandbox.destroy(), secondsMax);

  test(
    "create: described, planned, running, reachable",
    async () => {
      const database = await sandbox.create(
        id,
        make({
          extensions: ["pgcrypto"],
          database_users: [
            { username: "admin", password, db_owner: true, attributes: ["LOGIN", "CREATEDB"] },
            {
              username: "app",
              password: "other-pass",
              attributes: ["LOGIN"],
              roles: ["pg_read_all_data"],
            },
            { username: "group only" },
          ],
          scripts: {
            post_init: ["CREATE ROLE from_script NOLOGIN"],
            post_database_create: [
              "CREATE TABLE made (at timestamptz DEFAULT now())",
              "INSERT INTO made DEFAULT VALUES",
              "GRANT SELECT ON made TO admin",
            ],
          },
        }),
      );
      expect(database.state).toBe("available");
      const [instance] = database.instances;
      expect(instance).toMatchObject({
        state: "available",
        node_name: "n1",
        host_id: "h1",
        postgres: { role: "primary", patroni_state: "running", pending_restart: false },
      });
      expect(instance.postgres.version.startsWith(`${major}.`)).toBe(true);
      expect(instance.id).toMatch(new RegExp(`^${id}-n1-[0-9a-z]{8}$`));
      expect(String((await sql("SHOW server_version"))[0]?.[0])).toStartWith(`${major}`);
      expect(await sql("SELECT count(*)::int FROM made")).toEqual([[1]]);
      expect(
        await sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'"),
      ).toEqual([["admin"]]);
      expect(
        await sql(
          "SELECT rolcanlogin, rolcreatedb, rolsuper FROM pg_roles WHERE rolname = 'admin'",
        ),
      ).toEqual([[true, true, false]]);
      expect(await sql("SELECT pg_has_role('app', 'pg_read_all_data', 'member')")).toEqual([
        [true],
      ]);
      expect(
        await sql(
          "SELECT count(*)::int FROM pg_roles WHERE rolname IN ('from_script', 'group only', 'pgedge_superuser')",
        ),
      ).toEqual([[3]]);
      expect(
        await sql("SELECT count(*)::int FROM pg_extension WHERE extname = 'pgcrypto'"),
      ).toEqual([[1]]);
      expect(
        await sql(
          "SELECT current_setting('data_checksums'), current_setting('server_encoding'), current_setting('ssl')",
        ),
      ).toEqual([["on", "UTF8", "on"]]);
      expect(await sql("SELECT current_setting('max_connections')")).toEqual([["50"]]);
    },
    secondsMax,
  );

  test(
    "no secret is shown, and a fetched spec can be posted back without a change",
    async () => {
      const { spec: shown } = await get();
      expect(JSON.stringify(await get())).not.toContain(password);
      expect(shown.database_users[0].password).toBeUndefined();
      const plan = (await sandbox.post(`/v1/databases/${id}?dry_run=true`, { spec: shown })).body;
      expect(plan.steps).toEqual([]);
      await sandbox.update(id, shown);
      expect(await sql("SELECT 1")).toEqual([[1]]);
    },
    secondsMax,
  );

  test("PostgreSQL never runs as root and shows no secret in its command line", () => {
    const postgres = sandbox.processes("postgres -D").concat(sandbox.processes("bin/postgres"));
    expect(postgres.length).toBeGreaterThan(0);
    for (const { pid } of postgres) {
      const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      if (process.getuid?.() === 0) expect(uid).not.toBe("0");
    }
    expect(
      sandbox
        .processes()
        .map(({ command }) => command)
        .join("\n"),
    ).not.toContain(password);
  });

  test(
    "a setting that needs no restart is reloaded: connections live on",
    async () => {
      const client = await connect((await get()).instances[0], "admin", password, "shop");
      const before = await client.query(
        "SELECT pg_postmaster_start_time()::text AS at, pg_backend_pid() AS pid",
      );
      await sandbox.update(
        id,
        make({ postgresql_conf: { max_connections: 50, shared_buffers: "32MB", work_mem: "7MB" } }),
      );
      const after = await client.query(
        "SELECT pg_postmaster_start_time()::text AS at, pg_backend_pid() AS pid, current_setting('work_mem') AS work_mem",
      );
      expect(after.rows[0]).toEqual({ ...before.rows[0], work_mem: "7MB" });
      await client.end();
    },
    secondsMax,
  );

  test(
    "a setting that needs a restart: the plan says so, and it is effective afterwards",
    async () => {
      const next = make({ postgresql_conf: { max_connections: 60, shared_buffers: "32MB" } });
      const plan = (await sandbox.post(`/v1/databases/${id}?dry_run=true`, { spec: next })).body;
      expect(plan.restarts).toHaveLength(1);
      await sandbox.update(id, next);
      expect(await sql("SELECT current_setting('max_connections')")).toEqual([["60"]]);
      expect((await get()).instances[0].postgres.pending_restart).toBe(false);
    },
    secondsMax,
  );

  test(
    "a setting that PostgreSQL refuses fails the task, names it, and leaves the server as it was",
    async () => {
      const answer = await sandbox.post(`/v1/databases/${id}`, {
        spec: make({ postgresql_conf: { work_mem: "lots" } }),
      });
      expect(answer.status).toBe(200);
      const task = await sandbox.finished(answer.body.task);
      expect(task.status).toBe("failed");
      expect(task.error).toContain("work_mem");
      expect((await get()).state).toBe("failed");
      expect(await sql("SELECT 1")).toEqual([[1]]);
      await sandbox.update(id, make());
      expect((await get()).state).toBe("available");
    },
    secondsMax,
  );

  test(
    "users: added, password changed, attribute dropped, removed ones keep LOGIN unless the spec says otherwise",
    async () => {
      const admin = { username: "admin", password, db_owner: true, attributes: ["LOGIN"] };
      await sandbox.update(
        id,
        make({
          database_users: [
            admin,
            { username: "late", password: "late-pass", attributes: ["LOGIN"] },
          ],
        }),
      );
      const instance = (await get()).instances[0];
      expect(
        await query(instance, "late", "late-pass", "shop", "SELECT current_user::text"),
      ).toEqual([["late"]]);
      expect(await sql("SELECT rolcreatedb FROM pg_roles WHERE rolname = 'admin'")).toEqual([
        [false],
      ]);
      expect(await sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app'")).toEqual([[true]]);
      await sandbox.update(id, make({ database_users: [admin], disable_removed_users: true }));
      expect(await sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'late'")).toEqual([
        [false],
      ]);
      await expect(query(instance, "late", "late-pass", "shop", "SELECT 1")).rejects.toThrow();
    },
    secondsMax,
  );

  test(
    "pg_hba: user lines stand before the catch-all and act by reload",
    async () => {
      await sandbox.update(id, make({ pg_hba_conf: ["host all admin 127.0.0.0/8 reject"] }));
      await expect(sql("SELECT 1")).rejects.toThrow(/reject|no pg_hba/);
      await sandbox.update(id, make());
      expect(await sql("SELECT 1")).toEqual([[1]]);
    },
    secondsMax,
  );

  test(
    "port: a random one stays, a fixed one is taken, none closes it",
    async () => {
      const random = (await get()).instances[0].connection_info.port;
      const fixed = await freePort();
      const moved = await sandbox.update(id, make({ port: fixed }));
      expect(moved.instances[0].connection_info.port).toBe(fixed);
      expect(await sql("SELECT 1")).toEqual([[1]]);
      const { port: _port, ...withoutPort } = make();
      expect((await sandbox.update(id, withoutPort)).instances[0].connection_info).toBeUndefined();
      const back = await sandbox.update(id, make());
      expect(back.instances[0].connection_info.port).toBeGreaterThan(20_999);
      expect(random).toBeGreaterThan(20_999);
      expect(await sql("SELECT 1")).toEqual([[1]]);
    },
    secondsMax,
  );

  test(
    "stop, start, restart",
    async () => {
      const instance = (await get()).instances[0];
      const path = `/v1/databases/${id}/instances/${instance.id}`;
      await sandbox.change("POST", `${path}/stop-instance`);
      expect((await get()).instances[0].state).toBe("stopped");
      await expect(sql("SELECT 1")).rejects.toThrow();
      await sandbox.change("POST", `${path}/start-instance`);
      const [[before]] = (await sql("SELECT pg_postmaster_start_time()::text")) as [[string]];
      await sandbox.change("POST", `${path}/restart`, {});
      const [[after]] = (await sql("SELECT pg_postmaster_start_time()::text")) as [[string]];
      expect(after).not.toBe(before);
      expect((await get()).instances[0].state).toBe("available");
    },
    secondsMax,
  );

  test(
    "a second database and a second node on the same host",
    async () => {
      await sandbox.create(
        `${id}b`,
        make({
          database_name: "shop",
          nodes: [
            { name: "n1", host_ids: ["h1"] },
            { name: "n2", host_ids: ["h1"] },
          ],
        }),
      );
      const database = await get(`${id}b`);
      const ports = database.instances.map((instance: Body) => instance.connection_info.port);
      expect(new Set([...ports, (await get()).instances[0].connection_info.port]).size).toBe(3);
      for (const instance of database.instances) {
        expect(await query(instance, "admin", password, "shop", "SELECT 1")).toEqual([[1]]);
      }
      const reduced = await sandbox.update(`${id}b`, make({ database_name: "shop" }));
      expect(reduced.instances.map((instance: Body) => instance.node_name)).toEqual(["n1"]);
      expect(await sql("SELECT 1", "admin", `${id}b`)).toEqual([[1]]);
    },
    secondsMax,
  );

  test(
    "the keeper answers as Patroni does",
    async () => {
      const keeper = sandbox.processes("keeper");
      expect(keeper.length).toBeGreaterThan(0);
      const listening = await eventually("a REST port answers", async () => {
        for (const port of restPorts(sandbox)) {
          const response = await fetch(`http://127.0.0.1:${port}/patroni`).catch(() => undefined);
          if (response?.ok) return port;
        }
        return undefined;
      });
      for (const [path, status] of [
        ["/primary", 200],
        ["/replica", 503],
        ["/health", 200],
        ["/liveness", 200],
        ["/readiness", 200],
      ] as const) {
        expect((await fetch(`http://127.0.0.1:${listening}${path}`)).status).toBe(status);
      }
      expect(await (await fetch(`http://127.0.0.1:${listening}/metrics`)).text()).toContain(
        "patroni_postgres_running",
      );
    },
    secondsMax,
  );

  test(
    "delete removes what was created and nothing else",
    async () => {
      await sandbox.request("DELETE", `/v1/databases/${id}`).then(async (answer) => {
        expect(answer.status).toBe(200);
        expect((await sandbox.finished(answer.body.task)).status).toBe("completed");
      });
      expect((await sandbox.get(`/v1/databases/${id}`)).status).toBe(404);
      expect(sandbox.processes(`${id}-n1-`)).toEqual([]);
      const left = existsSync(join(sandbox.directory, "pg", String(major)))
        ? readdirSync(join(sandbox.directory, "pg", String(major)))
        : [];
      expect(left.filter((name) => name.startsWith(`${id}-n1-`))).toEqual([]);
      expect(await sql("SELECT 1", "admin", `${id}b`)).toEqual([[1]]);
      const again = await sandbox.create(id, make());
      expect(again.state).toBe("available");
      await expect(sql("SELECT * FROM made")).rejects.toThrow();
    },
    secondsMax,
  );
});

/** Ports that keepers of this sandbox listen on: other tests may run on the same machine. */
function restPorts(sandbox: Sandbox): number[] {
  const sockets = new Set(
    sandbox.processes("keeper --file").flatMap(({ pid }) =>
      readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
        const target = linkTarget(`/proc/${pid}/fd/${fd}`);
        return /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? [];
      }),
    ),
  );
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1);
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === "0A" && sockets.has(inode ?? ""))
    .map(([, local]) => Number.parseInt(local?.split(":")[1] ?? "0", 16));
}

/** Where the link leads; empty when it is gone, as open files of others may be at any time. */
function linkTarget(path: string): string {
  try {
    return readlinkSync(path, { encoding: "utf8" });
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return "";
    throw thrown;
  }
}
