// Members are lost: one of three, two of three, for a while and for good.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, query, spec } from "../e2e/harness.ts";
import { TestCluster, type TestHost } from "./members.ts";

setDefaultTimeout(120_000);

async function createOn(cluster: TestCluster, id: string, host: TestHost): Promise<void> {
  const body = { id, spec: spec({ nodes: [{ name: "n1", host_ids: [host.id] }] }) };
  const { status, body: answer } = await cluster.host(1).post("/v1/databases", body);
  if (status !== 200) throw new Error(`create ${id}: ${status} ${JSON.stringify(answer)}`);
  const task = await cluster.host(1).finished(answer.task);
  if (task.status !== "completed") throw new Error(`create ${id}: ${task.error}`);
}

async function writeRow(host: TestHost, id: string): Promise<void> {
  const { body } = await host.get(`/v1/databases/${id}`);
  const sql = "CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)";
  for (const statement of sql.split(";")) {
    await query(body.instances[0], "admin", "s3cret-pass", "shop", statement);
  }
}

async function rows(host: TestHost, id: string): Promise<unknown[][]> {
  const { body } = await host.get(`/v1/databases/${id}`);
  return query(body.instances[0], "admin", "s3cret-pass", "shop", "SELECT n FROM kept");
}

/** Milliseconds until a write through this host succeeds; how often it was refused, and as what. */
async function untilWritten(host: TestHost) {
  const startMs = performance.now();
  const refusals: number[] = [];
  for (;;) {
    const { status } = await host.post("/v1/cluster/join-tokens", {});
    if (status === 200) return { ms: performance.now() - startMs, refusals };
    refusals.push(status);
  }
}

describe("three members", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.of(3);
    for (const host of cluster.hosts) await createOn(cluster, `on-${host.id}`, host);
    await writeRow(cluster.host(1), "on-h1");
  });
  afterAll(() => cluster.destroy());

  test("any of them creates databases on any, and all show them", async () => {
    for (const host of cluster.hosts) {
      const { body } = await host.get("/v1/databases");
      const states = body.databases.map((each: { id: string; state: string }) => [
        each.id,
        each.state,
      ]);
      expect(states.sort()).toEqual(cluster.hosts.map(({ id }) => [`on-${id}`, "available"]));
    }
  });

  test("reads, whoever is asked, leave nothing in the log of the store", async () => {
    const leader = await cluster.leader();
    const newest = async () => {
      const { body } = await leader.store("/status?key=store.raft.last_log_index");
      return Number(String(body).replaceAll('"', ""));
    };
    const reads = 100;
    for (const host of cluster.hosts) {
      const before = await newest();
      for (let turn = 0; turn < reads; turn++) {
        expect((await host.get("/v1/cluster/join-tokens")).status).toBe(200);
      }
      // Reports are written meanwhile.
      expect((await newest()) - before).toBeLessThan(reads / 2);
    }
  });

  test("the loss of the leader costs at most three seconds, and no wrong answer", async () => {
    const leader = await cluster.leader();
    const [survivor] = cluster.hosts.filter((host) => host !== leader);
    if (!survivor) throw new Error("nobody is left");
    await leader.kill();
    const { ms, refusals } = await untilWritten(survivor);
    console.log(
      `leader lost: ${Math.round(ms)} ms until the next write, refused ${refusals.length} times`,
    );
    expect(ms).toBeLessThan(3_000);
    expect(refusals.every((status) => status === 503)).toBe(true);
    await leader.start();
    await leader.ready();
    const { body } = await leader.get("/v1/databases");
    expect(body.databases.length).toBe(3);
  });

  test("clients that hop between members while the leader is lost hear at most that they may try again", async () => {
    const leader = await cluster.leader();
    const others = cluster.hosts.filter((host) => host !== leader);
    const ending = performance.now() + 6_000;
    const written: string[] = [];
    const gaps = { read: 0, write: 0 };
    let refused = 0;
    const hop = async (kind: "read" | "write") => {
      let goodMs = performance.now();
      for (let turn = 0; performance.now() < ending; turn++) {
        const host = others[turn % others.length];
        if (!host) throw new Error("nobody is left");
        const expected = written.at(-1);
        const answer = await (kind === "write"
          ? host.post("/v1/cluster/join-tokens", {})
          : host.get("/v1/cluster/join-tokens"));
        if (answer.status !== 200) {
          refused += 1;
          expect([answer.status, answer.headers.get("retry-after") !== null]).toEqual([503, true]);
        } else {
          gaps[kind] = Math.max(gaps[kind], performance.now() - goodMs);
          goodMs = performance.now();
          if (kind === "write") written.push(answer.body.id);
          else if (expected !== undefined) {
            const ids = answer.body.tokens.map(({ id }: { id: string }) => id);
            expect(ids).toContain(expected);
          }
        }
        await Bun.sleep(20);
      }
    };
    const hopping = [hop("read"), hop("write")];
    await Bun.sleep(1_000);
    await leader.kill();
    await Promise.all(hopping);
    const [readMs, writeMs] = [gaps.read, gaps.write].map(Math.round);
    console.log(
      `leader killed: without reads ${readMs} ms, without writes ${writeMs} ms, refused ${refused}`,
    );
    expect(Math.max(gaps.read, gaps.write)).toBeLessThan(3_000);
    await leader.start();
    await leader.ready();
    const { body } = await leader.get("/v1/cluster/join-tokens");
    const ids = body.tokens.map(({ id }: { id: string }) => id);
    for (const id of written) expect(ids).toContain(id);
  });

  test("a server that is killed takes nothing with it", async () => {
    const host = cluster.host(2);
    await host.killServer();
    expect((await untilWritten(cluster.host(3))).ms).toBeLessThan(3_000);
    await host.start();
    await host.ready();
    expect((await cluster.host(1).hosts()).h2).toBe("healthy");
  });

  test("certificates are replaced on demand, and nothing is interrupted", async () => {
    const file = (host: TestHost) => join(host.dataDir, "certificates/host.crt");
    const before = cluster.hosts.map((host) => readFileSync(file(host), "utf8"));
    expect((await cluster.host(2).post("/v1/cluster/rotate-certs")).status).toBe(200);
    await eventually("all certificates were replaced", () => {
      const now = cluster.hosts.map((host) => readFileSync(file(host), "utf8"));
      return now.every((text, index) => text !== before[index]) ? true : undefined;
    });
    expect((await untilWritten(cluster.host(3))).refusals).toEqual([]);
    // rqlited presents the new one to who asks it next.
    for (const host of cluster.hosts) expect((await host.store("/readyz")).status).toBe(200);
    const [first] = await rows(cluster.host(3), "on-h1");
    expect(first).toEqual([1]);
  });

  test("a backup brings back what was deleted, and leaves members and tokens alone", async () => {
    const host = cluster.host(2);
    const backup = await fetch(`${host.url}/v1/cluster/backup`).then((answer) => answer.bytes());
    expect(new TextDecoder().decode(backup.slice(0, 15))).toBe("SQLite format 3");
    const { body: made } = await host.post("/v1/cluster/join-tokens", {});
    const restored = await fetch(`${cluster.host(3).url}/v1/cluster/restore`, {
      method: "POST",
      body: backup,
    });
    expect([restored.status, await restored.text()]).toEqual([204, ""]);
    const { body } = await cluster.host(1).get("/v1/cluster/join-tokens");
    expect(body.tokens.map(({ id }: { id: string }) => id)).toContain(made.id);
    expect(await cluster.host(1).hosts()).toEqual({ h1: "healthy", h2: "healthy", h3: "healthy" });
    const broken = await host.request("POST", "/v1/cluster/restore", { not: "a backup" });
    expect([broken.status, broken.body.name]).toEqual([400, "invalid_input"]);
  });

  test("work that waits after the loss of the leader's server is begun by another host", async () => {
    const leader = await cluster.leader();
    const [survivor] = cluster.hosts.filter((host) => host !== leader);
    if (!survivor) throw new Error("nobody is left");
    await leader.killServer();
    const startMs = performance.now();
    const { status, body } = await survivor.post("/v1/databases", {
      id: "unattended",
      spec: spec({ nodes: [{ name: "n1", host_ids: [survivor.id] }] }),
    });
    expect([status, body.message]).toEqual([200, undefined]);
    expect((await survivor.finished(body.task)).status).toBe("completed");
    console.log(`begun without the leader's server: ${Math.round(performance.now() - startMs)} ms`);
    expect(await leader.leads()).toBe(true);
    await leader.start();
    await leader.ready();
    const { body: gone } = await leader.request("DELETE", "/v1/databases/unattended");
    expect((await leader.finished(gone.task)).status).toBe("completed");
  });

  test("a leader that is cut off from all others refuses changes within two seconds", async () => {
    const leader = await cluster.leader();
    const others = cluster.hosts.filter((host) => host !== leader);
    for (const host of others) host.signalStore("SIGSTOP");
    try {
      const startMs = performance.now();
      const refused = await leader.post("/v1/cluster/join-tokens", {});
      const ms = performance.now() - startMs;
      console.log(`cut off as the leader: a change is refused after ${Math.round(ms)} ms`);
      expect([refused.status, refused.body.name]).toEqual([503, "no_quorum"]);
      expect(refused.headers.get("retry-after")).not.toBeNull();
      expect(ms).toBeLessThan(2_000);
      const readMs = performance.now();
      expect((await leader.get("/v1/databases")).status).toBe(503);
      expect(performance.now() - readMs).toBeLessThan(1_000);
    } finally {
      for (const host of others) host.signalStore("SIGCONT");
    }
    expect((await untilWritten(leader)).ms).toBeLessThan(5_000);
  });

  test("a leader that is frozen is followed, and whoever asks another hears of it soon", async () => {
    const leader = await cluster.leader();
    const [survivor] = cluster.hosts.filter((host) => host !== leader);
    if (!survivor) throw new Error("nobody is left");
    leader.signalStore("SIGSTOP");
    try {
      const { ms, refusals } = await untilWritten(survivor);
      console.log(`leader frozen: ${Math.round(ms)} ms until the next write, refused ${refusals}`);
      expect(ms).toBeLessThan(3_500);
      expect(refusals.every((status) => status === 503)).toBe(true);
    } finally {
      leader.signalStore("SIGCONT");
    }
    await eventually("the thawed host answers", async () =>
      (await leader.post("/v1/cluster/join-tokens", {})).status === 200 ? true : undefined,
    );
  });

  test("recovery is refused while there is a leader", async () => {
    const { status, body } = await cluster.host(1).post("/v1/cluster/recover-quorum");
    expect([status, body.name]).toEqual([400, "operation_not_supported"]);
  });

  test("without a majority writes are refused quickly, reads say so, databases run", async () => {
    await cluster.host(2).kill();
    await cluster.host(3).kill();
    const survivor = cluster.host(1);
    await eventually("the loss is known", async () =>
      (await survivor.get("/readyz")).status === 503 ? true : undefined,
    );
    const startMs = performance.now();
    const refused = await survivor.post("/v1/cluster/join-tokens", {});
    const ms = performance.now() - startMs;
    console.log(`no majority: a write is refused after ${Math.round(ms)} ms`);
    expect([refused.status, refused.body.name]).toEqual([503, "no_quorum"]);
    expect(refused.headers.get("retry-after")).not.toBeNull();
    expect(ms).toBeLessThan(2_000);
    const again = performance.now();
    expect((await survivor.post("/v1/cluster/join-tokens", {})).status).toBe(503);
    expect(performance.now() - again).toBeLessThan(1_500);
    const { status, body } = await survivor.get("/v1/cluster");
    expect([status, body.status.state, body.hosts.length]).toEqual([200, "error", 3]);
    expect((await survivor.get("/v1/databases")).status).toBe(503);
  });

  test("a survivor goes on alone: all databases are listed and its own are untouched", async () => {
    const survivor = cluster.host(1);
    const startMs = performance.now();
    const { status, body } = await survivor.post("/v1/cluster/recover-quorum");
    console.log(`recovered after ${Math.round(performance.now() - startMs)} ms`);
    expect([status, body.name]).toEqual([200, undefined]);
    expect(existsSync(body.copy)).toBe(true);
    const { body: list } = await survivor.get("/v1/databases");
    expect(list.databases.map(({ id }: { id: string }) => id).sort()).toEqual([
      "on-h1",
      "on-h2",
      "on-h3",
    ]);
    expect(await rows(survivor, "on-h1")).toEqual([[1]]);
    await createOn(cluster, "after", survivor);
  });

  test("a lost host that comes back follows the survivor", async () => {
    const back = cluster.host(2);
    await back.start();
    await back.ready();
    await eventually("it has its vote again", async () => {
      const { body } = await cluster.host(1).store("/nodes?nonvoters&ver=2");
      const found = body.nodes.find(({ id }: { id: string }) => id === "h2");
      return found?.voter ? true : undefined;
    });
    const { body } = await back.get("/v1/databases");
    expect(body.databases.map(({ id }: { id: string }) => id)).toContain("after");
    await eventually(
      "its database runs",
      async () => {
        const { body: found } = await back.get("/v1/databases/on-h2");
        return found.instances[0].state === "available" ? true : undefined;
      },
      40_000,
    );
  });

  test("a host does not remove itself, nor one with instances unless told to", async () => {
    const [first, second] = [cluster.host(1), cluster.host(2)];
    const self = await first.request("DELETE", "/v1/hosts/h1");
    expect([self.status, self.body.name]).toEqual([400, "invalid_input"]);
    const unknown = await first.request("DELETE", "/v1/hosts/h9");
    expect([unknown.status, unknown.body.name]).toEqual([404, "not_found"]);
    const busy = await second.request("DELETE", "/v1/hosts/h3");
    expect(busy.status).toBe(400);
    expect(busy.body.message).toContain("on-h3");
  });

  test("a dead host is removed with what is on it", async () => {
    const first = cluster.host(1);
    const { status, body } = await first.request("DELETE", "/v1/hosts/h3?force=true");
    expect([status, body.message]).toEqual([200, undefined]);
    expect([body.task.type, body.task.scope, body.task.entity_id]).toEqual([
      "remove_host",
      "host",
      "h3",
    ]);
    expect(body.update_database_tasks.length).toBe(1);
    expect(body.update_database_tasks[0].parent_id).toBe(body.task.task_id);
    expect((await first.finished(body.task)).status).toBe("completed");
    expect(Object.keys(await cluster.host(2).hosts())).toEqual(["h1", "h2"]);
    expect((await first.get("/v1/databases/on-h3")).status).toBe(404);
    const log = await first.get(`/v1/hosts/h3/tasks/${body.task.task_id}/logs`);
    expect(log.body.entries.map(({ message }: { message: string }) => message)).toContain(
      "removed host",
    );
  });

  test("the removed host comes back as none of the cluster's, and may join again", async () => {
    const back = cluster.host(3);
    await back.start();
    await eventually("it belongs to no cluster", async () =>
      (await back.get("/v1/hosts")).status === 409 ? true : undefined,
    );
    await cluster.join(back);
    expect((await cluster.host(1).hosts()).h3).toBe("healthy");
  });

  test("a living host that is removed notices it", async () => {
    const { body } = await cluster.host(1).request("DELETE", "/v1/hosts/h3");
    expect((await cluster.host(1).finished(body.task)).status).toBe("completed");
    await eventually("it belongs to no cluster", async () =>
      (await cluster.host(3).get("/v1/hosts")).status === 409 ? true : undefined,
    );
    // Whoever joins as soon as it says so must not lose the new store to the end of the old one.
    const left = ["cluster.key", "rqlited"].map((name) => join(cluster.host(3).dataDir, name));
    expect(left.filter((path) => existsSync(path))).toEqual([]);
    await cluster.join(cluster.host(3));
    expect((await cluster.host(1).hosts()).h3).toBe("healthy");
  });
});

const NOTICED = "the cluster went on without this host";

describe("a recovery while the others are only out of reach", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.of(3);
    await createOn(cluster, "before", cluster.host(2));
  });
  afterAll(() => cluster.destroy());

  test("hosts whose servers never stopped notice it, say so, and follow the survivor", async () => {
    const [first, second, third] = [cluster.host(1), cluster.host(2), cluster.host(3)];
    for (const host of [second, third]) host.signalStore("SIGSTOP");
    const recovered = await eventually(
      "the survivor has no leader any more",
      async () => {
        const answer = await first.post("/v1/cluster/recover-quorum");
        return answer.status === 200 ? answer : undefined;
      },
      30_000,
    );
    expect(existsSync(recovered.body.copy)).toBe(true);
    const { body: made } = await first.post("/v1/cluster/join-tokens", {});
    // The two have a majority of the old cluster: they elect a leader, and must not undo what the survivor did.
    for (const host of [second, third]) host.signalStore("SIGCONT");
    const startMs = performance.now();
    for (const host of [second, third]) {
      await eventually(
        `${host.id} follows the survivor`,
        async () => {
          const { status, body } = await host.get("/v1/cluster/join-tokens").catch(() => ({
            status: 0,
            body: {},
          }));
          if (status !== 200 || !host.log().includes(NOTICED)) return undefined;
          return body.tokens.some(({ id }: { id: string }) => id === made.id) ? true : undefined;
        },
        60_000,
      );
    }
    console.log(`both followed after ${Math.round(performance.now() - startMs)} ms`);
    const { body: tokens } = await first.get("/v1/cluster/join-tokens");
    expect(tokens.tokens.map(({ id }: { id: string }) => id)).toContain(made.id);
    await eventually("all three vote", async () => {
      const { body } = await first.store("/nodes?nonvoters&ver=2");
      return body.nodes.filter(({ voter }: { voter: boolean }) => voter).length === 3
        ? true
        : undefined;
    }).catch(async (thrown: unknown) => {
      const evidence = await Promise.all(cluster.hosts.map((host) => host.storeEvidence()));
      throw new Error(`${thrown}\n${evidence.join("\n")}`);
    });
    await eventually("all are healthy", async () =>
      Object.values(await second.hosts()).join() === "healthy,healthy,healthy" ? true : undefined,
    );
    await createOn(cluster, "after", third);
  });
});
