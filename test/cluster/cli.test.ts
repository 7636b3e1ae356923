// The cluster from the command line, with real servers.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { binary, spec } from "../e2e/harness.ts";
import { TestCluster, type TestHost } from "./members.ts";

setDefaultTimeout(60_000);

let cluster: TestCluster;
beforeAll(async () => {
  cluster = new TestCluster();
  for (let index = 0; index < 3; index++) await cluster.add();
});
afterAll(() => cluster.destroy());

async function pgherd(host: TestHost, ...words: readonly string[]) {
  const child = Bun.spawn([binary, ...words], {
    env: { PATH: process.env.PATH ?? "", HOME: cluster.directory, PGHERD_SERVER: host.url },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, out, err };
}

test("init, join-token and join make a cluster", async () => {
  const [first, second] = [cluster.host(1), cluster.host(2)];
  expect((await pgherd(first, "cluster", "init", "--cluster-id", "lab")).code).toBe(0);
  const { out } = await pgherd(first, "-o", "json", "cluster", "join-token");
  const { token, server_urls } = JSON.parse(out);
  const wrong = `${token.slice(0, -1)}${token.endsWith("0") ? "1" : "0"}`;
  const refused = await pgherd(second, "cluster", "join", wrong, ...server_urls);
  expect(refused.code).toBe(5);
  expect(refused.err).toContain("invalid_join_token");
  expect((await pgherd(second, "cluster", "join", token, ...server_urls)).code).toBe(0);
  expect((await pgherd(second, "-o", "name", "host", "list")).out).toBe("h1\nh2\n");
});

test("further tokens are created, listed, used and revoked", async () => {
  const first = cluster.host(1);
  const words = ["cluster", "join-token", "create", "--expires-in", "1h"];
  const made = JSON.parse((await pgherd(first, "-o", "json", ...words)).out);
  expect(made.expires_at).toBeString();
  const joined = await pgherd(cluster.host(3), "cluster", "join", made.token, first.url);
  expect([joined.code, joined.err]).toEqual([0, "joined\n"]);
  expect((await pgherd(first, "cluster", "join-token", "revoke", made.id)).code).toBe(0);
  const { out } = await pgherd(first, "cluster", "join-token", "list");
  expect(out).toMatch(new RegExp(`${made.id} +voter +revoked`));
  expect(out).not.toContain(made.token);
});

test("a database leaves a host that is gone, and the store is brought back", async () => {
  const [first, third] = [cluster.host(1), cluster.host(3)];
  const nodes = [
    { name: "n1", host_ids: ["h2"] },
    { name: "n2", host_ids: ["h3"] },
  ];
  const { body } = await first.post("/v1/databases", { id: "shop", spec: spec({ nodes }) });
  expect((await first.finished(body.task)).status).toBe("completed");
  await third.kill();
  const left = spec({ nodes: [nodes[0]] });
  const { status, body: shrunk } = await first.post("/v1/databases/shop?remove_host=h3", {
    spec: left,
  });
  expect([status, shrunk.message]).toEqual([200, undefined]);
  expect((await first.finished(shrunk.task)).status).toBe("completed");
  const { body: shop } = await cluster.host(2).get("/v1/databases/shop");
  expect(shop.instances.map((each: { host_id: string }) => each.host_id)).toEqual(["h2"]);

  const file = join(cluster.directory, "store.sqlite");
  expect((await pgherd(first, "cluster", "backup", file)).code).toBe(0);
  expect(existsSync(file)).toBe(true);
  const removed = await pgherd(first, "--wait", "--yes", "host", "remove", "h3");
  expect([removed.code, removed.err.includes("removed host")]).toEqual([0, true]);
  expect((await pgherd(first, "cluster", "restore", file)).code).toBe(2);
  expect((await pgherd(first, "--yes", "cluster", "restore", file)).code).toBe(0);
  // A backup brings back no hosts.
  expect((await pgherd(first, "-o", "name", "host", "list")).out).toBe("h1\nh2\n");
  expect((await pgherd(first, "-o", "name", "db", "list")).out).toBe("shop\n");
});

test("rotate-certs and recover-quorum", async () => {
  const [first, second] = [cluster.host(1), cluster.host(2)];
  expect((await pgherd(second, "cluster", "rotate-certs")).code).toBe(0);
  const early = await pgherd(second, "--yes", "cluster", "recover-quorum");
  expect([early.code, early.err.includes("has a leader")]).toEqual([2, true]);
  await first.kill();
  const { code, out } = await pgherd(second, "--yes", "-o", "json", "cluster", "recover-quorum");
  expect(code).toBe(0);
  expect(existsSync(JSON.parse(out).copy)).toBe(true);
  expect((await pgherd(second, "-o", "name", "db", "list")).out).toBe("shop\n");
});
