// A host that only has sshd: added, given a database, looked after, removed without a trace. The sshd and the
// host's directories are this machine's own, apart from those of the server.
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeUser, sshdMissing, startSshd, type TestSshd } from "../support/sshd.ts";
import { type Body, binary, connect, eventually, installations, Sandbox } from "./harness.ts";

const missing = sshdMissing();
if (missing) test.skip(`hosts without a server: ${missing}`, () => undefined);
setDefaultTimeout(120_000);

describe.skipIf(missing !== undefined)("a host without a server", () => {
  let sandbox: Sandbox;
  let sshd: TestSshd;
  let key: string;
  const at = (path: string) => join(sandbox.directory, "far", path);
  const request = (ssh: Body = {}, more: Body = {}): Body => ({
    id: "far",
    ssh: {
      address: "127.0.0.1",
      port: sshd.port,
      private_key: key,
      host_key: sshd.hostKeys.ed25519,
      ...ssh,
    },
    data_dir: at("data"),
    run_dir: at("run"),
    bin_dirs: installations().map(({ binDir }) => binDir),
    random_ports: { min: 29_100, max: 29_900 },
    ...more,
  });
  const ended = (task: Body): Promise<Body> =>
    eventually(
      `task ${task.type}`,
      async () => {
        const path = `/v1/hosts/${task.entity_id}/tasks/${task.task_id}`;
        const { body } = await sandbox.get(path);
        return ["completed", "failed"].includes(body.status) ? body : undefined;
      },
      90_000,
    );
  const log = async (task: Body): Promise<string> => {
    const path = `/v1/hosts/${task.entity_id}/tasks/${task.task_id}/logs`;
    const { body } = await sandbox.get(path);
    return (body.entries ?? []).map((entry: Body) => entry.message).join("\n");
  };
  const host = async (id: string): Promise<Body> => (await sandbox.get(`/v1/hosts/${id}`)).body;
  const codes = async (body: Body): Promise<Body> => {
    const answer = await sandbox.post("/v1/hosts", body);
    const errors = (answer.body.errors ?? []).map(({ path, code }: Body) => `${path} ${code}`);
    return { status: answer.status, errors };
  };

  beforeAll(async () => {
    sandbox = await Sandbox.initialised();
    sshd = await startSshd();
    key = sshd.authorise("far", "-t", "ed25519").reveal();
    mkdirSync(at(""), { recursive: true });
  });
  afterAll(async () => {
    await sandbox?.destroy();
    await sshd?.stop();
  });

  test("mistakes of the request are told all at once", async () => {
    const wrong = await codes(
      request(
        { private_key: "no key", agent: "/run/agent", host_key: "SHA256:short", address: "a..b" },
        { id: "Far", data_dir: "/x", random_ports: { min: 9_000, max: 8_000 } },
      ),
    );
    expect(wrong.status).toBe(400);
    expect(wrong.errors.sort()).toEqual([
      "data_dir malformed",
      "id malformed",
      "random_ports.min malformed",
      "ssh conflict",
      "ssh.address malformed",
      "ssh.host_key malformed",
      "ssh.private_key malformed",
    ]);
    const { errors } = await codes({ ...request(), id: "far", more: 1 });
    expect(errors).toEqual(["body.more unknown_field"]);
  });

  test("a machine that does not let us in is refused with the reason, and nothing is changed", async () => {
    const other = Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at("other")]);
    expect(other.exitCode).toBe(0);
    const stranger = readFileSync(at("other"), "utf8");
    const strange = readFileSync(at("other.pub"), "utf8").trim();
    expect((await codes(request({ private_key: stranger }))).errors).toEqual([
      "ssh.private_key login_refused",
    ]);
    expect((await codes(request({ host_key: strange }))).errors).toEqual([
      "ssh.host_key wrong_host_key",
    ]);
    expect((await codes(request({ user: "nobody-of-that-name", sudo: false }))).errors).toEqual([
      "ssh.private_key login_refused",
    ]);
    expect((await codes(request({ port: 1 }))).errors).toEqual(["ssh.address host_unreachable"]);
    expect((await codes(request({}, { postgres_user: "no-such-user" }))).errors).toEqual([
      " missing_user",
    ]);
    const { body } = await sandbox.get("/v1/hosts");
    expect(body.hosts.map(({ id }: Body) => id)).toEqual(["h1"]);
    expect(readdirSync(at(""))).not.toContain("data");
    expect(sandbox.log()).not.toContain(stranger.split("\n")[2] ?? "?");
  });

  test("it is added with a key that is learned, and is healthy at once", async () => {
    const answer = await sandbox.post("/v1/hosts", request({ host_key: "learn" }));
    expect(answer.body).toMatchObject({ task: { type: "add_host", host_id: "far" } });
    const [learned] = answer.body.learned_host_keys;
    expect([sshd.hostKeys.ed25519, sshd.hostKeys.rsa].map((each) => each.split(" ")[1])).toContain(
      learned.key.split(" ")[1],
    );
    const task = await ended(answer.body.task);
    expect({ status: task.status, log: task.status === "failed" ? await log(task) : "" }).toEqual({
      status: "completed",
      log: "",
    });
    expect(await host("far")).toMatchObject({
      status: { state: "healthy" },
      ssh: { address: "127.0.0.1", port: sshd.port, user: "root", host_key: learned.key },
      data_dir: at("data"),
    });
    const components = Object.keys((await host("far")).status.components).sort();
    expect(components).toEqual(expect.arrayContaining(["certificate", "clock", "disk", "store"]));
    expect((await codes(request())).errors).toEqual(["id taken"]);
    expect((await codes(request({}, { id: "again" }))).errors).toEqual(["ssh.address taken"]);
  });

  test("the doctor finds nothing, and then what was put wrong, with its remedy", async () => {
    const doctor = async () => (await sandbox.get("/v1/hosts/far/doctor")).body;
    await eventually("nothing is wrong", async () => {
      const { healthy, findings: wrong } = await doctor();
      return healthy && wrong.length === 0 ? true : undefined;
    });
    expect((await sandbox.get("/v1/hosts/h1/doctor")).body.host_id).toBe("h1");
    mkdirSync(at("data/keepers/strange-n1-abcdefgh"), { recursive: true });
    const { findings } = await doctor();
    rmSync(at("data/keepers/strange-n1-abcdefgh"), { recursive: true });
    const leftover = findings.find(({ code }: Body) => code === "leftover");
    expect(leftover?.remedy).toContain(at("data/keepers/strange-n1-abcdefgh"));
    expect((await sandbox.get("/v1/hosts/nobody/doctor")).status).toBe(404);
  });

  test("a database runs there like anywhere", async () => {
    const major = installations().at(-1)?.major;
    const { body } = await sandbox.get("/v1/hosts/far");
    const version = body.supported_pgedge_versions.find(({ postgres_version: each }: Body) =>
      each.startsWith(`${major}.`),
    );
    const spec = {
      database_name: "shop",
      port: 0,
      postgres_version: version.postgres_version,
      nodes: [{ name: "n1", host_ids: ["far"] }],
      database_users: [
        { username: "admin", password: "s3cret-pass", db_owner: true, attributes: ["LOGIN"] },
      ],
      postgresql_conf: { max_connections: 40, shared_buffers: "32MB" },
    };
    const database = await sandbox.create("shop", spec);
    expect(database).toMatchObject({ state: "available" });
    const [instance] = database.instances;
    expect(instance).toMatchObject({ host_id: "far", state: "available" });
    const client = await connect(instance, "admin", "s3cret-pass", "shop");
    await client.query("CREATE TABLE kept (n int)");
    await client.end();
    const changed = await sandbox.update("shop", {
      ...spec,
      postgresql_conf: { ...spec.postgresql_conf, max_connections: 50 },
    });
    expect(changed).toMatchObject({ state: "available" });
    const restart = `/v1/databases/shop/instances/${instance.id}/restart`;
    const restarted = await sandbox.post(restart, {});
    expect(await sandbox.finished(restarted.body.task)).toMatchObject({
      status: "completed",
    });
    const taken = await sandbox.post("/v1/databases", {
      id: "second",
      spec: { ...spec, port: instance.connection_info.port },
    });
    expect(taken.status).toBe(400);
  });

  test("a keeper that dies there is started again", async () => {
    const keepers = () => sandbox.processes(" keeper --file").filter(isFar);
    const isFar = ({ command }: { readonly command: string }) => command.includes(at("data"));
    const [keeper] = keepers();
    if (!keeper) throw new Error("no keeper");
    process.kill(keeper.pid, "SIGKILL");
    await eventually(
      "another keeper",
      () => (keepers().some(({ pid }) => pid !== keeper.pid) ? true : undefined),
      30_000,
    );
    expect(keepers()).toHaveLength(1);
  });

  test("its database is deleted like any other", async () => {
    const answer = await sandbox.request("DELETE", "/v1/databases/shop");
    expect(await sandbox.finished(answer.body.task)).toMatchObject({ status: "completed" });
    expect(readdirSync(at("data/keepers"))).toEqual([]);
    expect(sandbox.processes(at("data"))).toEqual([]);
  });

  test("removed, it has no trace of pgherd, and the credentials are forgotten", async () => {
    const answer = await sandbox.request("DELETE", "/v1/hosts/far");
    const task = await ended(answer.body.task);
    expect({ status: task.status, error: task.error }).toEqual({
      status: "completed",
      error: undefined,
    });
    const left = ["data", "run"].filter((name) => existsSync(at(name)));
    expect({ left, log: left.length > 0 ? await log(task) : "" }).toEqual({ left: [], log: "" });
    expect(sandbox.processes(at("data"))).toEqual([]);
    expect((await sandbox.get("/v1/hosts/far")).status).toBe(404);
    const copy = await fetch(`http://127.0.0.1:${sandbox.port}/v1/cluster/backup`);
    await Bun.write(at("store.sqlite"), await copy.bytes());
    const store = new Database(at("store.sqlite"));
    const kept = store
      .query("SELECT record AS text FROM hosts UNION ALL SELECT plan FROM tasks")
      .all()
      .map((row) => JSON.stringify(row));
    store.close();
    expect(kept.length).toBeGreaterThan(3);
    expect(kept.filter((text) => text.includes("sealed"))).toEqual([]);
  });

  test("through a jump host, by sudo, with a key that has a passphrase", async () => {
    const user = makeUser({ sudo: true });
    try {
      const locked = sshd.authorise("locked", "-t", "ed25519", "-N", "open sesame").reveal();
      const way = {
        user: user.name,
        private_key: locked,
        passphrase: "open sesame",
        jump: { address: "127.0.0.1", port: sshd.port, private_key: key, host_key: "learn" },
      };
      const barred = await codes(request({ ...way, passphrase: "shut" }));
      expect(barred.errors).toEqual(["ssh.private_key login_refused"]);
      const answer = await sandbox.post("/v1/hosts", request(way));
      expect(answer.body.learned_host_keys).toMatchObject([{ address: "127.0.0.1" }]);
      const task = await ended(answer.body.task);
      expect({ status: task.status, error: task.error }).toEqual({
        status: "completed",
        error: undefined,
      });
      expect(await host("far")).toMatchObject({
        status: { state: "healthy" },
        ssh: { user: user.name, jump: `root@127.0.0.1:${sshd.port}` },
      });
      const removal = await sandbox.request("DELETE", "/v1/hosts/far");
      expect(await ended(removal.body.task)).toMatchObject({ status: "completed" });
      expect(existsSync(at("data"))).toBe(false);
    } finally {
      user.remove();
    }
  });

  test("the command line adds it, tells the key that it learned, and removes it", async () => {
    await Bun.write(at("key"), key);
    const cli = async (...words: string[]) => {
      const server = `http://127.0.0.1:${sandbox.port}`;
      const child = Bun.spawn([binary, "host", ...words, "--server", server], {
        env: { PATH: process.env.PATH ?? "", HOME: at("") },
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      return { status: await child.exited, out, err };
    };
    const place = `root@127.0.0.1:${sshd.port}`;
    const way = ["-i", at("key"), "--data-dir", at("by-cli")];
    const dirs = installations().flatMap(({ binDir }) => ["--bin-dir", binDir]);
    const unsure = await cli("add", place, "--id", "cli", ...way);
    expect({ status: unsure.status, err: unsure.err.includes("--learn-host-key") }).toEqual({
      status: 2,
      err: true,
    });
    const learn = ["--learn-host-key", "--label", "zone=a", "--wait"];
    const added = await cli("add", place, "--id", "cli", ...way, ...dirs, ...learn);
    expect({ status: added.status, err: added.err }).toMatchObject({ status: 0 });
    expect(added.err).toContain("learned the key of 127.0.0.1: SHA256:");
    expect(await host("cli")).toMatchObject({ labels: { zone: "a" } });
    const doctor = await cli("doctor", "cli");
    expect(doctor).toMatchObject({ status: 0, err: "nothing is wrong\n" });
    expect((await cli("remove", "cli", "--yes", "--wait")).status).toBe(0);
    expect(existsSync(at("by-cli"))).toBe(false);
  });
});
