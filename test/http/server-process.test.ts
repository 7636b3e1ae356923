// The server as a process, before and without a cluster: what it prints, what it refuses, how it stops.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MAIN = join(import.meta.dir, "../../src/main.ts");

let directory: string;
const running: Running[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pgherd-server-"));
});
afterEach(async () => {
  for (const server of running.splice(0)) await server.kill();
  rmSync(directory, { recursive: true, force: true });
});

interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs to its end. */
async function run(
  argv: readonly string[],
  environment: Record<string, string> = {},
): Promise<Ended> {
  const child = Bun.spawn([process.execPath, MAIN, ...argv], {
    cwd: directory,
    env: { PATH: process.env.PATH ?? "", ...environment },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

class Running {
  readonly #child;
  readonly #reader;
  #text = "";

  constructor(argv: readonly string[]) {
    this.#child = Bun.spawn([process.execPath, MAIN, "server", "run", ...argv], {
      cwd: directory,
      env: { PATH: process.env.PATH ?? "" },
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#reader = this.#child.stdout.getReader();
    running.push(this);
  }

  /** The first line with this message, parsed. */
  async line(message: string): Promise<Record<string, unknown>> {
    for (;;) {
      const lines = this.#text.split("\n").slice(0, -1).map(parseLine);
      const found = lines.find(({ msg }) => msg === message);
      if (found) return found;
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`ended before "${message}":\n${this.#text}`);
      this.#text += new TextDecoder().decode(value);
    }
  }

  async url(): Promise<string> {
    const { port } = await this.line("listening");
    return `http://127.0.0.1:${port}`;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  exited(): Promise<number> {
    return this.#child.exited;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

function parseLine(text: string): Record<string, unknown> {
  return JSON.parse(text);
}

function start(...more: readonly string[]): Running {
  const flags = ["--data-dir", "data", "--http.port", "0", "--host-id", "h1"];
  return new Running([...flags, "--orchestrator", "detached", ...more]);
}

test("prints its version", async () => {
  const { status, out } = await run(["version"]);
  expect(status).toBe(0);
  expect(out).toMatch(/^pgherd \S+ \(\S+, \S+\), rqlited v\d+\.\d+\.\d+\n$/);
});

describe("the configuration", () => {
  test("is printed with where it comes from", async () => {
    writeFileSync(join(directory, "c.yaml"), "data_dir: /data\nhttp: {port: 4000}\n");
    const argv = ["server", "print-config", "--config", "c.yaml", "--show-origin"];
    const { status, out } = await run(argv, { PGHERD_HOST_ID: "h9", PGHERD_SERVER: "x" });
    expect(status).toBe(0);
    expect(out).toMatch(/^data_dir +\/data +file c\.yaml$/m);
    expect(out).toMatch(/^host_id +h9 +environment PGHERD_HOST_ID$/m);
    expect(out).toMatch(/^http\.port +4000 +file c\.yaml$/m);
    expect(out).toMatch(/^http\.bind_addr +127\.0\.0\.1 +default$/m);
  });

  test("is printed as a file that gives it again", async () => {
    const first = await run(["server", "print-config", "--data-dir", "d", "--host-id", "h1"]);
    writeFileSync(join(directory, "again.yaml"), first.out);
    const second = await run(["server", "print-config", "--config", "again.yaml"]);
    expect(second.out).toBe(first.out);
  });

  test.each(["run", "print-config", "check-config"])(
    "%s says all that is wrong",
    async (command) => {
      const { status, out, err } = await run(["server", command, "--http.prot", "1"]);
      expect(status).toBe(2);
      expect(out).toBe("");
      expect(err).toContain(
        "http.prot: is no key of the configuration (flag --http.prot): did you mean http.port?",
      );
      expect(err).toContain("data_dir: is required");
    },
  );

  test("a file that is not there is an error", async () => {
    const { status, err } = await run(["server", "check-config", "-c", "none.yaml"]);
    expect(status).toBe(2);
    expect(err).toContain("none.yaml");
  });

  test("a right one is said to be right", async () => {
    const argv = ["server", "check-config", "--data-dir", "d", "--host-id", "h1"];
    expect(await run(argv)).toMatchObject({ status: 0, err: "" });
  });
});

describe("running", () => {
  test("answers before it has a cluster, and stops when told to", async () => {
    const server = start();
    const url = await server.url();
    expect((await fetch(`${url}/v1/version`)).status).toBe(200);
    const refused = await fetch(`${url}/v1/databases`);
    expect(refused.headers.get("goa-error")).toBe("cluster_not_initialized");
    expect(statSync(join(directory, "data")).mode & 0o777).toBe(0o755);
    server.signal("SIGTERM");
    expect(await server.exited()).toBe(0);
  });

  test("an idle connection does not hold up the stop", async () => {
    const server = start();
    const { port } = new URL(await server.url());
    const socket = connect(Number(port), "127.0.0.1");
    const answered = new Promise((resolve) => socket.once("data", resolve));
    socket.write("GET /livez HTTP/1.1\r\nHost: x.example\r\n\r\n");
    await answered;
    server.signal("SIGINT");
    expect(await server.exited()).toBe(0);
    socket.destroy();
  });

  test("one directory has one server", async () => {
    await start().line("listening");
    const second = start();
    const { error } = await second.line("the server cannot run");
    expect(error).toContain("data_dir: another server uses");
    expect(await second.exited()).toBe(1);
  });

  test("a directory is free again when its server was killed", async () => {
    const first = start();
    await first.line("listening");
    await first.kill();
    await start().line("listening");
  });

  test("a port that is taken is named", async () => {
    const first = start();
    const { port } = new URL(await first.url());
    const second = start("--data-dir", "other", "--http.port", port);
    const { error } = await second.line("the server cannot run");
    expect(error).toContain(`cannot listen on 127.0.0.1:${port}`);
    expect(await second.exited()).toBe(1);
  });

  test("a host without a store of its own makes no cluster", async () => {
    const url = await start("--etcd-mode", "client").url();
    const response = await fetch(`${url}/v1/cluster/init`, { method: "POST" });
    expect(response.status).toBe(400);
    expect(response.headers.get("goa-error")).toBe("operation_not_supported");
  });

  test("log levels follow the file on SIGHUP; the rest waits for a restart", async () => {
    const file = join(directory, "c.yaml");
    writeFileSync(file, "logging: {level: info}\n");
    const server = start("--config", "c.yaml");
    const url = await server.url();
    writeFileSync(
      file,
      "logging:\n  level: info\n  component_levels: {http: debug}\nstop_grace_period_seconds: 5\n",
    );
    server.signal("SIGHUP");
    expect(await server.line("reloaded the configuration")).toMatchObject({
      components: { http: "debug" },
      needRestart: ["stop_grace_period_seconds"],
    });
    await fetch(`${url}/v1/version`);
    expect(await server.line("request")).toMatchObject({ level: "debug" });
    writeFileSync(file, "logging: {level: loud}\n");
    server.signal("SIGHUP");
    const { problems } = await server.line("the configuration was not reloaded");
    expect(String(problems)).toContain("logging.level: must be one of");
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  test("lines carry the tenant", async () => {
    expect(await start("--tenant-id", "t1").line("listening")).toMatchObject({ tenantId: "t1" });
  });

  test("a cluster is there again after a restart, also after a kill", async () => {
    const first = start();
    const url = await first.url();
    const init = await fetch(`${url}/v1/cluster/init?cluster_id=c1`, { method: "POST" });
    expect(init.status).toBe(200);
    const secrets = readFileSync(join(directory, "data/cluster.key"), "utf8").trim();
    expect(await init.json()).toMatchObject({ recovery_key: secrets });
    await first.kill();
    const second = start();
    expect(await second.line("serving")).toMatchObject({ clusterId: "c1" });
    const cluster = await (await fetch(`${await second.url()}/v1/cluster`)).json();
    expect(cluster).toMatchObject({ id: "c1", hosts: [{ id: "h1" }] });
    const again = await fetch(`${await second.url()}/v1/cluster/init`, { method: "POST" });
    expect(again.headers.get("goa-error")).toBe("cluster_already_initialized");
    second.signal("SIGTERM");
    await second.line("stopped");
    expect(await second.exited()).toBe(0);
    const third = start();
    await third.line("serving");
    third.signal("SIGTERM");
    expect(await third.exited()).toBe(0);
  });
});
