// Hosts come in: with the right token, whatever happens on the way, and nobody without one.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../e2e/harness.ts";
import { TestCluster, TestHost } from "./members.ts";

setDefaultTimeout(60_000);

const HEALTHY_3 = { h1: "healthy", h2: "healthy", h3: "healthy" };

describe("three hosts", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = new TestCluster();
    for (let index = 0; index < 3; index++) await cluster.add();
  });
  afterAll(() => cluster.destroy());

  test("before init nothing but init, join and version answers", async () => {
    const host = cluster.host(1);
    for (const path of ["/v1/hosts", "/v1/cluster", "/v1/cluster/join-token"]) {
      const { status, headers } = await host.get(path);
      expect([path, status]).toEqual([path, 409]);
      expect(headers.get("goa-error")).toBe("cluster_not_initialized");
    }
    expect((await host.get("/v1/version")).status).toBe(200);
  });

  test("init answers when the host is healthy, and a second one is refused", async () => {
    await cluster.init();
    expect(await cluster.host(1).hosts()).toEqual({ h1: "healthy" });
    const again = await cluster.host(1).post("/v1/cluster/init");
    expect([again.status, again.body.name]).toEqual([409, "cluster_already_initialized"]);
  });

  test("tokens that are none, mistyped, of another cluster, expired or revoked let nobody in", async () => {
    const [first, second] = [cluster.host(1), cluster.host(2)];
    const { token, server_urls } = cluster.token;
    const tokens = "/v1/cluster/join-tokens";
    const short = await first.post(tokens, { expires_in_seconds: 1 });
    const spare = await first.post(tokens, {});
    const revoked = await first.request("DELETE", `${tokens}/${spare.body.id}`);
    expect(revoked.body.state).toBe("revoked");
    await eventually("the short token expired", async () => {
      const { body } = await first.get(tokens);
      const found = body.tokens.find(({ id }: { id: string }) => id === short.body.id);
      return found.state === "expired" ? true : undefined;
    });
    const mistyped = token.replace(/.$/, token.endsWith("0") ? "1" : "0");
    const otherCa = token.replace(/^PGEDGE-./, token[7] === "0" ? "PGEDGE-1" : "PGEDGE-0");
    const wrong = ["secret", mistyped, otherCa, short.body.token, spare.body.token];
    for (const text of wrong) {
      const answer = await second.post("/v1/cluster/join", { token: text, server_urls });
      expect([answer.status, answer.body.name]).toEqual([401, "invalid_join_token"]);
      expect(answer.headers.get("goa-error")).toBe("invalid_join_token");
      expect(JSON.stringify(answer.body)).not.toContain(text.slice(-32));
    }
    expect((await second.get("/v1/hosts")).status).toBe(409);
    expect(await first.hosts()).toEqual({ h1: "healthy" });
  });

  test("a token's text is not in the list, nor in the log of the member", async () => {
    const { body } = await cluster.host(1).get("/v1/cluster/join-tokens");
    const secret = cluster.token.token.slice(-32);
    expect(body.tokens.length).toBe(3);
    expect(JSON.stringify(body)).not.toContain(secret);
    expect(cluster.host(1).log()).not.toContain(secret);
    expect(existsSync(join(cluster.host(2).dataDir, "cluster.key"))).toBe(false);
  });

  test("servers that cannot be reached and addresses that are none are named", async () => {
    const { token } = cluster.token;
    const dead = await cluster.host(2).post("/v1/cluster/join", {
      token,
      server_urls: ["http://127.0.0.1:1"],
    });
    expect(dead.status).toBe(400);
    expect(dead.body.message).toContain("http://127.0.0.1:1");
    const none = await cluster.host(2).post("/v1/cluster/join", { token, server_urls: ["h1"] });
    expect([none.status, none.body.name]).toEqual([400, "invalid_input"]);
  });

  test("join answers when the host is healthy everywhere; unreachable servers are passed over", async () => {
    const { token, server_urls } = cluster.token;
    const urls = ["http://127.0.0.1:1", ...server_urls];
    const second = await cluster.host(2).post("/v1/cluster/join", { token, server_urls: urls });
    expect(second.status).toBe(204);
    // As older clients send it, and through a member that is not the first.
    const body = { token, server_url: cluster.host(2).url };
    expect((await cluster.host(3).post("/v1/cluster/join", body)).status).toBe(204);
    for (const host of cluster.hosts) expect(await host.hosts()).toEqual(HEALTHY_3);
  });

  test("all of them vote, and each shows what another has just written", async () => {
    const { body } = await cluster.host(1).store("/nodes?nonvoters&ver=2");
    const voters = body.nodes.map(({ id, voter }: { id: string; voter: boolean }) => [id, voter]);
    expect(voters.sort()).toEqual(cluster.hosts.map(({ id }) => [id, true]));
    for (const writer of cluster.hosts) {
      const { body: made } = await writer.post("/v1/cluster/join-tokens", {});
      for (const reader of cluster.hosts) {
        const { body: list } = await reader.get("/v1/cluster/join-tokens");
        expect(list.tokens.map(({ id }: { id: string }) => id)).toContain(made.id);
      }
    }
  });

  test("who belongs to the cluster neither joins nor begins another", async () => {
    const { body: token } = await cluster.host(2).get("/v1/cluster/join-token");
    expect(token.token).toBe(cluster.token.token);
    const joined = await cluster.host(3).post("/v1/cluster/join", token);
    expect([joined.status, joined.body.name]).toEqual([409, "cluster_already_initialized"]);
    expect((await cluster.host(2).post("/v1/cluster/init")).status).toBe(409);
  });

  test("a host id that is taken is refused, and nothing happens to its owner", async () => {
    const twin = new TestHost(join(cluster.directory, "twin"), 4, { host_id: "h2" });
    await twin.start();
    try {
      const answer = await twin.post("/v1/cluster/join", cluster.token);
      expect([answer.status, answer.body.name]).toEqual([400, "invalid_input"]);
      expect(answer.body.message).toContain("h2");
      expect(await cluster.host(1).hosts()).toEqual(HEALTHY_3);
    } finally {
      await twin.kill();
    }
  });

  test("the store answers nobody without the cluster's certificate", async () => {
    const { members } = cluster.host(1).membership();
    for (const { url, raft } of members) {
      const asked = fetch(`${url}/readyz`, { tls: { rejectUnauthorized: false } });
      expect(await asked.catch(() => "refused")).toBe("refused");
      const raftPort = fetch(`https://${raft}/`, { tls: { rejectUnauthorized: false } });
      expect(await raftPort.catch(() => "refused")).toBe("refused");
      const clear = fetch(`${url.replace("https:", "http:")}/readyz`);
      expect(await clear.then(({ status }) => status).catch(() => 400)).toBe(400);
    }
  });
});

describe("half way", () => {
  test("a server killed at any moment of join comes in by a repetition", async () => {
    const cluster = new TestCluster();
    try {
      await cluster.add();
      await cluster.init();
      for (const delayMs of [30, 150, 300, 600]) {
        const host = await cluster.add();
        const lost = host.post("/v1/cluster/join", cluster.token).catch(() => undefined);
        await Bun.sleep(delayMs);
        await host.kill();
        await lost;
        await host.start();
        await eventually(
          `${host.id}, killed after ${delayMs} ms, is in`,
          async () => {
            const { status } = await host.post("/v1/cluster/join", cluster.token);
            return status === 204 || status === 409 ? true : undefined;
          },
          60_000,
        );
        // A host that had come in before it was killed says so (409), and its start registers it meanwhile.
        await eventually(`${host.id} is healthy`, async () =>
          (await cluster.host(1).hosts())[host.id] === "healthy" ? true : undefined,
        );
      }
      // A host is healthy as soon as it serves; its vote is given to it after that.
      await eventually("all five vote", async () => {
        const { body } = await cluster.host(1).store("/nodes?nonvoters&ver=2");
        const votes = body.nodes.filter(({ voter }: { voter: boolean }) => voter);
        return votes.length === 5 && body.nodes.length === 5 ? true : undefined;
      });
    } finally {
      await cluster.destroy();
    }
  }, 180_000);
});
