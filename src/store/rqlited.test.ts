// Supervision of the real rqlited: what survives, what is replaced, what is refused.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFile,
  chmod,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { clientOf, rqlitedDeps, rqlitedOptions } from "../../test/support/rqlited.ts";
import { rqlitedLogBytesMax } from "../base/limits.ts";
import { systemRng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import * as processes from "../host/process.ts";
import { isNode, verifiesPeers } from "./capabilities.ts";
import {
  type Rqlited,
  type RqlitedDeps,
  type RqlitedOptions,
  superviseRqlited,
} from "./rqlited.ts";
import { rqlitedAsset } from "./rqlited-asset.ts";
import { ensureBinary } from "./rqlited-binary.ts";
import { rqlitedPaths } from "./rqlited-files.ts";
import { boundLog, findByDataDirectory } from "./rqlited-process.ts";
import { StoreError } from "./store-error.ts";

let dataDir: string;
let started: Rqlited[];
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "pgherd-rqlited-"));
  started = [];
});
afterEach(async () => {
  for (const rqlited of started) await rqlited.stop();
  const left = findByDataDirectory(processes, rqlitedPaths(dataDir).data);
  for (const identity of left) processes.signalProcess(identity, "SIGKILL");
  await rm(dataDir, { recursive: true, force: true });
  expect(left).toEqual([]);
});

async function supervise(
  options: Partial<RqlitedOptions> = {},
  deps: Partial<RqlitedDeps> = {},
): Promise<Rqlited> {
  const rqlited = await superviseRqlited(
    { ...rqlitedOptions(dataDir), ...options },
    { ...rqlitedDeps, ...deps },
  );
  started.push(rqlited);
  return rqlited;
}

function pidOf(rqlited: Rqlited): number {
  return rqlited.identity()?.pid ?? 0;
}

async function insertRow(rqlited: Rqlited, id: number): Promise<void> {
  const create = {
    sql: "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY) STRICT",
    params: [],
  };
  await clientOf(rqlited).request([create, { sql: "INSERT INTO t VALUES (?)", params: [id] }]);
}

async function rowsOf(rqlited: Rqlited): Promise<unknown> {
  const [result] = await clientOf(rqlited).request([{ sql: "SELECT id FROM t", params: [] }]);
  return result?.rows;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(10_000);
  while (!(await condition())) await rqlitedDeps.clock.sleep(5, deadline);
}

describe("a run", () => {
  test("starts ready, keeps its files private, and ends", async () => {
    const rqlited = await supervise();
    expect(rqlited.adopted).toBe(false);
    expect(rqlited.capabilities.version).toBe(rqlitedAsset.version);
    await insertRow(rqlited, 1);
    const paths = rqlitedPaths(dataDir);
    const modes = await Promise.all(
      [paths.directory, paths.data, paths.auth, paths.state, paths.log].map(
        async (path) => (await stat(path)).mode & 0o077,
      ),
    );
    expect(modes).toEqual([0, 0, 0, 0, 0]);
    const identity = rqlited.identity();
    await rqlited.stop();
    expect(identity && processes.isAlive(identity)).toBe(false);
    expect(rqlited.identity()).toBeUndefined();
  });

  test("after a stop everything is found again: data, ports, passwords", async () => {
    const first = await supervise();
    await insertRow(first, 1);
    await first.stop();
    const second = await supervise();
    expect(second.url).toBe(first.url);
    expect(second.users.server.password.reveal()).toBe(first.users.server.password.reveal());
    expect(await rowsOf(second)).toEqual([[1]]);
  });

  test("passwords are no arguments, and the environment of the server is not passed on", async () => {
    const rqlited = await supervise();
    const pid = pidOf(rqlited);
    const password = rqlited.users.server.password.reveal();
    expect(password).toHaveLength(43);
    expect(processes.readArguments(pid).join(" ")).not.toContain(password);
    const environment = (await readFile(`/proc/${pid}/environ`, "utf8")).split("\0");
    // Where it comes before all others, it leaves them half of the processors.
    const processors = Math.max(1, Math.floor(availableParallelism() / 2));
    const own = ["PATH=/usr/bin:/bin", "HOME=/", `GOMAXPROCS=${processors}`];
    expect(environment.filter((entry) => entry !== "")).toEqual(own);
  });

  test("real-time priority is asked for, for every run", async () => {
    const asked: number[] = [];
    const makeRealtime = (pid: number) => asked.push(pid) > 0;
    const rqlited = await supervise({}, { makeRealtime });
    const first = pidOf(rqlited);
    expect(asked).toContain(first);
    process.kill(first, "SIGKILL");
    await until(() => ![0, first].includes(pidOf(rqlited)));
    expect(asked).toContain(pidOf(rqlited));
  });

  test("the keeper's user reads and writes, and does nothing else", async () => {
    const rqlited = await supervise();
    await insertRow(rqlited, 1);
    const [result] = await clientOf(rqlited, "keeper").request([
      { sql: "SELECT id FROM t", params: [] },
    ]);
    expect(result?.rows).toEqual([[1]]);
    await clientOf(rqlited, "keeper").request([{ sql: "INSERT INTO t VALUES (2)", params: [] }]);
    const { username, password } = rqlited.users.keeper;
    const pair = Buffer.from(`${username}:${password.reveal()}`).toString("base64");
    const headers = { authorization: `Basic ${pair}` };
    for (const path of ["/db/backup", "/status", "/nodes", "/snapshot", "/remove"]) {
      const method = path === "/remove" ? "DELETE" : path === "/snapshot" ? "POST" : "GET";
      const response = await fetch(rqlited.url + path, { method, headers });
      expect([path, response.status]).toEqual([path, 401]);
    }
    const stranger = { username, password: new Secret("wrong") };
    const asked = isNode(
      "ready",
      { url: rqlited.url, credentials: stranger },
      AbortSignal.timeout(1_000),
    );
    expect(await asked.catch((thrown: unknown) => thrown)).toBeInstanceOf(StoreError);
  });
});

describe("the server restarts", () => {
  test("a running rqlited is taken over and still watched", async () => {
    const first = await supervise();
    await insertRow(first, 1);
    const pid = pidOf(first);
    await first.release();
    const second = await supervise();
    expect([second.adopted, pidOf(second)]).toEqual([true, pid]);
    process.kill(pid, "SIGKILL");
    await until(() => pidOf(second) !== pid && pidOf(second) !== 0);
    expect(await rowsOf(second)).toEqual([[1]]);
  });

  test("one that was not remembered yet is found by its data directory", async () => {
    const first = await supervise();
    const pid = pidOf(first);
    await first.release();
    const { state } = rqlitedPaths(dataDir);
    const { http, raft } = JSON.parse(await readFile(state, "utf8"));
    await writeFile(state, JSON.stringify({ http, raft }));
    expect(pidOf(await supervise())).toBe(pid);
  });

  test("a remembered pid that is another's by now is left alone", async () => {
    const first = await supervise();
    await first.stop();
    const { state } = rqlitedPaths(dataDir);
    const { http, raft } = JSON.parse(await readFile(state, "utf8"));
    const other = Bun.spawn(["sleep", "60"]);
    const identity = { ...processes.identify(other.pid), startTicks: "1" };
    await writeFile(state, JSON.stringify({ http, raft, process: identity }));
    expect((await supervise()).adopted).toBe(false);
    expect(other.exitCode).toBeNull();
    other.kill();
    await other.exited;
  });

  test("one with other arguments is replaced, with its data", async () => {
    const first = await supervise();
    await insertRow(first, 1);
    const old = first.identity();
    await first.release();
    const timing = { heartbeatMs: 100, electionMs: 100, leaderLeaseMs: 80 };
    const second = await supervise({ timing });
    expect(second.adopted).toBe(false);
    expect(old && processes.isAlive(old)).toBe(false);
    expect(await rowsOf(second)).toEqual([[1]]);
  });

  test("one that is frozen is replaced", async () => {
    const first = await supervise();
    await insertRow(first, 1);
    const pid = pidOf(first);
    await first.release();
    process.kill(pid, "SIGSTOP");
    const second = await supervise();
    expect([second.adopted, pidOf(second) === pid]).toEqual([false, false]);
    expect(await rowsOf(second)).toEqual([[1]]);
  }, 20_000);
});

test("it is started again when it is killed, and clients go on", async () => {
  const rqlited = await supervise();
  await insertRow(rqlited, 1);
  for (let round = 0; round < 2; round++) {
    const pid = pidOf(rqlited);
    process.kill(pid, "SIGKILL");
    await until(() => pidOf(rqlited) !== pid && pidOf(rqlited) !== 0);
    expect(await rowsOf(rqlited)).toEqual([[1]]);
  }
});

test("a port that is taken is an error that quotes rqlited", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", () => resolve()));
  const address = taken.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const failed = superviseRqlited(
    { ...rqlitedOptions(dataDir), raft: { host: "127.0.0.1", port } },
    rqlitedDeps,
  );
  const message = await failed.then(() => "", String);
  taken.close();
  expect(message).toContain("exit code 1");
  expect(message).toContain("address already in use");
});

test("an aborted start leaves nothing running", async () => {
  const signal = AbortSignal.timeout(60);
  const failed = superviseRqlited(rqlitedOptions(dataDir), rqlitedDeps, signal);
  expect(await failed.then(() => "started", String)).toContain("TimeoutError");
});

describe("the binary", () => {
  test("is written once, verified, repaired, and alone", async () => {
    const bin = join(dataDir, "bin");
    const path = await ensureBinary(rqlitedAsset, bin, systemRng);
    expect(path).toEndWith(`rqlited-${rqlitedAsset.version}-${rqlitedAsset.sha256.slice(0, 8)}`);
    const first = await stat(path);
    await ensureBinary(rqlitedAsset, bin, systemRng);
    expect((await stat(path)).ino).toBe(first.ino);
    await appendFile(path, "x");
    await ensureBinary(rqlitedAsset, bin, systemRng);
    const repaired = await stat(path);
    expect([repaired.size, repaired.mode & 0o777]).toEqual([first.size, 0o755]);
    await chmod(path, 0o777);
    await ensureBinary(rqlitedAsset, bin, systemRng);
    expect((await stat(path)).mode & 0o777).toBe(0o755);
    await writeFile(join(bin, "rqlited-v1.2.3-00000000"), "");
    await supervise();
    expect(await readdir(bin)).toEqual([path.slice(bin.length + 1)]);
  });

  test("of another checksum is not run", async () => {
    const wrong = { ...rqlitedAsset, sha256: "0".repeat(64) };
    const made = ensureBinary(wrong, join(dataDir, "bin"), systemRng);
    expect(await made.catch(String)).toContain("expected checksum");
    expect(await readdir(join(dataDir, "bin"))).toEqual([]);
  });

  test("that does not verify its peers stays on loopback addresses", async () => {
    const asset = { ...rqlitedAsset, version: "v8.26.8" };
    const raft = { host: "10.0.0.1", port: 4002 };
    const failed = superviseRqlited({ ...rqlitedOptions(dataDir), asset, raft }, rqlitedDeps);
    expect(await failed.then(() => "", String)).toContain("only listen on loopback addresses");
    const versions = ["v8.26.8", "8.43.2", "unknown", "", "v8.43.3", "v9.4.5", "v10.2.7"];
    const expected = [false, false, false, false, true, true, true];
    expect(versions.map(verifiesPeers)).toEqual(expected);
  });
});

test("the log is bounded while it is held open", async () => {
  const path = join(dataDir, "x.log");
  const writer = Bun.spawn(["sh", "-c", 'exec >>"$0"; echo first; read _; echo later', path], {
    stdin: "pipe",
  });
  await until(async () => (await Bun.file(path).exists()) && Bun.file(path).size > 0);
  await boundLog(path);
  expect(await readdir(dataDir)).toEqual(["x.log"]);
  await appendFile(path, Buffer.alloc(rqlitedLogBytesMax));
  await boundLog(path);
  writer.stdin.write("\n");
  await writer.stdin.end();
  await writer.exited;
  expect(await readFile(path, "utf8")).toBe("later\n");
  expect((await stat(`${path}.1`)).size).toBe(rqlitedLogBytesMax + 6);
  expect((await stat(`${path}.1`)).mode & 0o777).toBe(0o600);
});
