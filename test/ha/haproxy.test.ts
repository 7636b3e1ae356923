// Debian's HAProxy with the configuration that Patroni's documentation gives, in front of a group: writes reach the
// primary, reads the standbys, also after a switchover that was asked for as Patroni's users ask for it.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KeptGroup } from "../support/kept-group.ts";
import { freePorts, type KeptInstance } from "../support/kept-instance.ts";

const haproxy = "/usr/sbin/haproxy";
const missing = existsSync(haproxy) ? "" : " (skipped: haproxy is not installed)";
setDefaultTimeout(120_000);

/** Patroni's own example but for names and ports. */
function configuration(ports: { writes: number; reads: number }, group: KeptGroup): string {
  const servers = group.instances
    .map(
      ({ id, port, restPort }) =>
        `    server ${id} 127.0.0.1:${port} maxconn 100 check port ${restPort}`,
    )
    .join("\n");
  return `global
    maxconn 100

defaults
    log global
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s

listen primary
    bind 127.0.0.1:${ports.writes}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
${servers}

listen replicas
    bind 127.0.0.1:${ports.reads}
    option httpchk GET /replica?lag=16MB&replication_state=streaming
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
${servers}
`;
}

describe.skipIf(missing !== "")(`behind HAProxy${missing}`, () => {
  let group: KeptGroup;
  let proxy: ReturnType<typeof Bun.spawn> | undefined;
  let directory: string | undefined;
  let ports: { writes: number; reads: number };
  let primary: KeptInstance;

  beforeAll(async () => {
    group = await KeptGroup.prepare();
    group.start();
    primary = await group.primary();
    await group.standbys(primary);
    await primary.query("CREATE ROLE app LOGIN PASSWORD 's3cret'");
    await primary.query("CREATE TABLE seen (n int)");
    await primary.query("GRANT ALL ON seen TO app");
    const [writes, reads] = freePorts();
    ports = { writes, reads };
    directory = mkdtempSync(join(tmpdir(), "haproxy-"));
    const file = join(directory, "haproxy.cfg");
    writeFileSync(file, configuration(ports, group));
    proxy = Bun.spawn([haproxy, "-db", "-f", file], { stdout: "ignore", stderr: "ignore" });
  });
  afterAll(async () => {
    // Also where the beginning failed half way.
    proxy?.kill("SIGKILL");
    await proxy?.exited;
    await group.close();
    if (directory) rmSync(directory, { recursive: true, force: true });
  });

  // Answers are checked field by field, whatever their shape.
  type Body = ReturnType<typeof JSON.parse>;
  const get = async (of: KeptInstance, path: string): Promise<Body> =>
    (await fetch(`${of.url}${path}`)).json();

  /** What psql answers through a port of the proxy; undefined when it is refused. */
  async function ask(port: number, sql: string): Promise<string | undefined> {
    const child = Bun.spawn(["psql", "-XAtc", sql, `postgresql://app@127.0.0.1:${port}/postgres`], {
      env: { PATH: process.env.PATH ?? "", PGPASSWORD: "s3cret", PGCONNECT_TIMEOUT: "5" },
      stdout: "pipe",
      stderr: "ignore",
    });
    const text = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? text.trim() : undefined;
  }

  async function eventually(what: () => Promise<boolean>): Promise<void> {
    for (let n = 0; n < 300; n++) {
      if (await what()) return;
      await Bun.sleep(100);
    }
    throw new Error("not within 30 s");
  }
  const port = "SELECT current_setting('port')";

  /** HAProxy takes a server for good until it has been checked, and a failed one until the third check in a row. */
  async function settled(through: number, servers: readonly KeptInstance[]): Promise<void> {
    const good = servers.map((each) => String(each.port));
    let inARow = 0;
    await eventually(async () => {
      inARow = good.includes((await ask(through, port)) ?? "") ? inARow + 1 : 0;
      return inARow >= 6;
    });
  }

  test("writes reach the primary, reads the standbys", async () => {
    await settled(ports.writes, [primary]);
    expect(await ask(ports.writes, "INSERT INTO seen VALUES (1) RETURNING n")).toStartWith("1");
    await settled(ports.reads, [group.at(1), group.at(2)]);
    const readers = new Set<string | undefined>();
    await eventually(async () => {
      readers.add(await ask(ports.reads, port));
      return readers.size === 2;
    });
    expect([...readers].sort()).toEqual(
      [group.at(1), group.at(2)].map((each) => String(each.port)).sort(),
    );
  });

  test("a switchover through the API is followed", async () => {
    const body = JSON.stringify({ leader: primary.id, candidate: group.at(1).id });
    const response = await fetch(`${primary.url}/switchover`, { method: "POST", body });
    expect(await response.text()).toBe(`Successfully switched over to "${group.at(1).id}"`);
    expect(response.status).toBe(200);
    await settled(ports.writes, [group.at(1)]);
    expect(await ask(ports.writes, "INSERT INTO seen VALUES (2) RETURNING n")).toStartWith("2");
    expect(await ask(ports.writes, "SELECT count(*) FROM seen")).toBe("2");
    const history = await get(group.at(1), "/history");
    expect(history.at(-1)?.[4]).toBe(group.at(1).id);
    await eventually(async () => {
      const { members } = await get(primary, "/cluster");
      const roles = members.map(
        ({ name, role, state }: Record<string, string>) => `${name} ${role} ${state}`,
      );
      return (
        roles.includes(`${primary.id} replica streaming`) &&
        roles.includes(`${group.at(1).id} leader running`)
      );
    });
  });

  test("pause and resume as patronictl does; what cannot be is refused", async () => {
    const patch = async (pause: boolean | null) =>
      (await fetch(`${primary.url}/config`, { method: "PATCH", body: JSON.stringify({ pause }) }))
        .status;
    expect(await patch(true)).toBe(200);
    const paused = async () => (await get(primary, "/patroni")).pause === true;
    await eventually(paused);
    expect(await patch(null)).toBe(200);
    await eventually(async () => !(await paused()));
    const wrong = JSON.stringify({ leader: primary.id });
    const refused = await fetch(`${primary.url}/switchover`, { method: "POST", body: wrong });
    expect(refused.status).toBe(412);
  });
});
