// Hosts with and without a vote, witnesses, and hosts that change their address or vote.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually, spec } from "../e2e/harness.ts";
import { TestCluster, type TestHost } from "./members.ts";

setDefaultTimeout(120_000);

async function nodes(host: TestHost): Promise<Record<string, [boolean, string]>> {
  const { body } = await host.store("/nodes?nonvoters&ver=2");
  return Object.fromEntries(
    body.nodes.map(({ id, voter, addr }: { id: string; voter: boolean; addr: string }) => [
      id,
      [voter, addr.replace(/:\d+$/, "")],
    ]),
  );
}

describe("two hosts, a witness and one without a vote", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = new TestCluster();
    await cluster.add();
    await cluster.init();
    await cluster.join(await cluster.add());
    await cluster.join(await cluster.add({}, ["--witness"]));
  });
  afterAll(() => cluster.destroy());

  test("a token for hosts without a vote lets in no others", async () => {
    const { body: token } = await cluster
      .host(2)
      .post("/v1/cluster/join-tokens", { role: "non_voter" });
    const body = { token: token.token, server_urls: token.server_urls };
    const fourth = await cluster.add();
    const refused = await fourth.post("/v1/cluster/join", body);
    expect([refused.status, refused.body.name]).toEqual([400, "invalid_input"]);
    await fourth.stopServer();
    fourth.configure({ etcd_mode: "client" });
    await fourth.start();
    expect((await fourth.post("/v1/cluster/join", body)).status).toBe(204);
    expect(await nodes(cluster.host(1))).toMatchObject({
      h1: [true, "127.0.0.1"],
      h2: [true, "127.0.0.2"],
      h3: [true, "127.0.0.3"],
      h4: [false, "127.0.0.4"],
    });
    const { body: host } = await cluster.host(1).get("/v1/hosts/h4");
    expect([host.etcd_mode, host.status.state]).toEqual(["client", "healthy"]);
    expect((await fourth.get("/v1/hosts")).body.hosts.length).toBe(4);
  });

  test("init is refused where no vote is wanted", async () => {
    const host = await cluster.add({ etcd_mode: "client" });
    const { status, body } = await host.post("/v1/cluster/init");
    expect([status, body.name]).toEqual([400, "operation_not_supported"]);
    await host.stopServer();
  });

  test("a witness votes, offers no PostgreSQL, and refuses databases", async () => {
    const { body: host } = await cluster.host(1).get("/v1/hosts/h3");
    expect([host.status.state, host.supported_pgedge_versions]).toEqual(["healthy", []]);
    const body = { id: "shop", spec: spec({ nodes: [{ name: "n1", host_ids: ["h3"] }] }) };
    const { status, body: answer } = await cluster.host(2).post("/v1/databases", body);
    expect(status).toBe(400);
    expect(answer.message).toContain("witness");
  });

  test("another mode at the next start converts the host in place, both ways", async () => {
    const fourth = cluster.host(4);
    for (const [mode, voter] of [
      ["server", true],
      ["client", false],
    ] as const) {
      await fourth.stopServer();
      fourth.configure({ etcd_mode: mode });
      await fourth.start();
      await fourth.ready();
      await eventually(`h4 has ${voter ? "a" : "no"} vote`, async () =>
        (await nodes(cluster.host(1))).h4?.[0] === voter ? true : undefined,
      );
      await eventually("the list of hosts says so", async () => {
        const { body } = await cluster.host(2).get("/v1/hosts/h4");
        return body.etcd_mode === mode && body.status.state === "healthy" ? true : undefined;
      });
    }
  });

  test("a vote that the others do not count is noticed and asked for again", async () => {
    const [first, third] = [cluster.host(1), cluster.host(3)];
    const before = third.storeArguments();
    await third.kill();
    const removal = { method: "DELETE", body: JSON.stringify({ id: "h3" }) };
    expect((await first.store("/remove", removal)).status).toBe(200);
    const { raft } = first.membership().members.find(({ id }: { id: string }) => id === "h1");
    const joining = ["-raft-non-voter", "-join", raft, "-join-as", "pgherd"];
    const intruder = Bun.spawn([...before.slice(0, -1), ...joining, before.at(-1) ?? ""], {
      stdout: "ignore",
      stderr: "ignore",
    });
    await eventually("h3 is a member without a vote", async () =>
      (await nodes(first)).h3?.[0] === false ? true : undefined,
    );
    intruder.kill("SIGKILL");
    await intruder.exited;
    await third.start();
    await third.ready();
    await eventually("h3 has its vote again", async () =>
      (await nodes(first)).h3?.[0] === true ? true : undefined,
    );
    expect(third.log()).toContain("has lost its vote in the store");
  });

  test("another address at the next start is told to all", async () => {
    const second = cluster.host(2);
    await second.stopServer();
    second.configure({ peer_addresses: ["127.0.1.2"] });
    await second.start();
    await second.ready();
    await eventually("the others know it", async () =>
      (await nodes(cluster.host(1))).h2?.[1] === "127.0.1.2" ? true : undefined,
    );
    await eventually("the list of hosts says so", async () => {
      const { body } = await cluster.host(1).get("/v1/hosts/h2");
      return body.peer_addresses[0] === "127.0.1.2" ? true : undefined;
    });
    await cluster.host(3).kill();
    expect((await second.post("/v1/cluster/join-tokens", {})).status).toBe(200);
  });
});

test("a lone host changes its address too", async () => {
  const cluster = await TestCluster.of(1);
  try {
    const host = cluster.host(1);
    await host.stopServer();
    host.configure({ peer_addresses: ["127.0.1.1"] });
    await host.start();
    await host.ready();
    expect(await nodes(host)).toEqual({ h1: [true, "127.0.1.1"] });
    await cluster.join(await cluster.add());
    expect(await host.hosts()).toEqual({ h1: "healthy", h2: "healthy" });
  } finally {
    await cluster.destroy();
  }
});
