// The commands of high availability: what they send, and what they print.
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "../base/clock.ts";
import { runCli } from "./main.ts";

interface Sent {
  readonly line: string;
  readonly body: unknown;
  readonly ifMatch: string | null;
}

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

const task = { scope: "database", entity_id: "shop", task_id: "t1", type: "switchover" };
const topology = {
  database_id: "shop",
  revision: 7,
  nodes: [
    {
      name: "n1",
      state: "available",
      primary_instance_id: "shop-n1-a",
      epoch: 3,
      timeline: 3,
      instances: [
        { instance_id: "shop-n1-a", host_id: "h1", role: "primary", state: "available" },
        {
          instance_id: "shop-n1-b",
          host_id: "h2",
          role: "replica",
          state: "available",
          replication_state: "streaming",
          sync_state: "async",
          lag_bytes: 96,
          upstream: { instance_id: "shop-n1-a" },
        },
      ],
    },
  ],
};
const shop = {
  id: "shop",
  spec: { database_name: "shop", nodes: [{ name: "n1", host_ids: ["h1", "h2"] }] },
};
const entries = [{ epoch: 1, instance_id: "shop-n1-a", timeline: 1, reason: "created" }];

function answerTo(method: string, path: string): unknown {
  if (path.endsWith("/topology") && method === "GET") return topology;
  if (path.endsWith("/history")) return { entries };
  if (path.endsWith("/explain")) {
    return { cases: [{ lost: ["shop-n1-a"], writes_stop_ms: 8_017, sentence: "b takes over" }] };
  }
  if (path.endsWith("/slots") && method === "GET") {
    const slot = { name: "feed", type: "logical", owner: "permanent" };
    return { instances: [{ instance_id: "shop-n1-a", role: "primary", slots: [slot] }] };
  }
  if (path.endsWith("/pause") || path.endsWith("/resume")) return { node_name: "n1" };
  if (path === "/v1/databases") {
    return { databases: [{ id: "shop", instances: [{ id: "shop-n1-b", node_name: "n1" }] }] };
  }
  if (path === "/v1/databases/shop" && method === "GET") return shop;
  return { task };
}

async function pgherd(...argv: string[]) {
  const sent: Sent[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const text = await request.text();
      sent.push({
        line: `${request.method} ${pathname}${search}`,
        body: text === "" ? undefined : JSON.parse(text),
        ifMatch: request.headers.get("if-match"),
      });
      return Response.json(answerTo(request.method, pathname));
    },
  });
  stops.push(() => server.stop(true));
  let out = "";
  const status = await runCli(argv, {
    out: (text) => {
      out += text;
    },
    err: () => undefined,
    outIsTty: false,
    errIsTty: false,
    inIsTty: false,
    env: { HOME: "/home/user", PGHERD_SERVER: `http://127.0.0.1:${server.port}` },
    clock: systemClock,
    signal: new AbortController().signal,
    readText: async () => "nodes:\n  - name: n1\n    synchronous: {mode: on}\n",
    writeText: async () => undefined,
    readBytes: async () => new Uint8Array(),
    writeBytes: async () => undefined,
    fileExists: async () => false,
    prompt: async () => "",
    exec: async () => 0,
  });
  return { status, out, sent, last: sent.at(-1) };
}

describe("node", () => {
  test("switchover and failover name the candidate and the time", async () => {
    const { status, last } = await pgherd(
      ...["node", "switchover", "shop", "n1", "--candidate", "shop-n1-b", "--at", "2030-01-01"],
    );
    expect(status).toBe(0);
    expect(last?.line).toBe("POST /v1/databases/shop/nodes/n1/switchover");
    expect(last?.body).toEqual({ candidate_instance_id: "shop-n1-b", scheduled_at: "2030-01-01" });
    expect((await pgherd("node", "failover", "shop", "n1")).last?.body).toEqual({});
  });

  test("a failover of a healthy primary wants to be confirmed", async () => {
    const unasked = await pgherd("node", "failover", "shop", "n1", "--skip-validation");
    expect([unasked.status, unasked.sent]).toEqual([2, []]);
    const { last } = await pgherd("-y", "node", "failover", "shop", "n1", "--skip-validation");
    expect(last?.body).toEqual({ skip_validation: true });
  });

  test("pause takes a duration, resume nothing, and wrong names are not sent", async () => {
    const { last } = await pgherd(
      ...["node", "pause", "shop", "n1", "--for", "90m", "--reason", "new disks"],
    );
    expect(last?.body).toEqual({ ttl_s: 5_400, reason: "new disks" });
    expect((await pgherd("node", "resume", "shop", "n1")).last?.line).toEndWith("/n1/resume");
    expect((await pgherd("node", "resume", "shop", "../x")).status).toBe(2);
  });

  test("list and history are tables", async () => {
    expect((await pgherd("node", "list", "shop")).out).toContain("shop-n1-a  3");
    expect((await pgherd("node", "history", "shop", "n1")).out).toContain("created");
  });
});

describe("replication slots", () => {
  const slots = ["replication", "slots"];

  test("list shows the slots of all instances", async () => {
    const { out, last } = await pgherd(...slots, "list", "shop", "n1");
    expect(last?.line).toBe("GET /v1/databases/shop/nodes/n1/slots");
    expect(out).toMatch(/shop-n1-a +primary +feed +logical +permanent/);
  });

  test("create describes the slot, and drop wants to be confirmed", async () => {
    const create = [...slots, "create", "shop", "n1", "feed"];
    expect((await pgherd(...create)).sent[0]).toMatchObject({
      line: "POST /v1/databases/shop/nodes/n1/slots",
      body: { name: "feed", type: "physical" },
    });
    const logical = await pgherd(
      ...[...create, "--logical", "--plugin", "wal2json", "--in", "other", "--revision", "4"],
    );
    expect(logical.sent[0]).toMatchObject({
      body: { name: "feed", type: "logical", plugin: "wal2json", database: "other" },
      ifMatch: '"4"',
    });
    const drop = [...slots, "drop", "shop", "n1", "feed"];
    expect((await pgherd(...drop)).sent).toEqual([]);
    const { line, body } = (await pgherd("-y", ...drop)).sent[0] ?? {};
    expect([line, body]).toEqual(["DELETE /v1/databases/shop/nodes/n1/slots/feed", undefined]);
    const dry = await pgherd(...drop, "--dry-run");
    expect(dry.sent[0]?.line).toEndWith("/slots/feed?dry_run=true");
  });
});

test("a rewind wants to be confirmed", async () => {
  const unasked = await pgherd("instance", "rewind", "shop-n1-b");
  expect([unasked.status, unasked.sent.map(({ line }) => line)]).toEqual([
    2,
    ["GET /v1/databases"],
  ]);
  const { last } = await pgherd("-y", "instance", "rewind", "shop-n1-b");
  expect(last?.line).toBe("POST /v1/databases/shop/instances/shop-n1-b/rewind");
});

test("explain names what dies, and prints what would come of it", async () => {
  const { out, last } = await pgherd(
    ...["node", "explain", "shop", "n1", "--instance", "a", "b", "--host", "h1"],
  );
  expect(last?.line).toEndWith("/n1/explain?instance_id=a&instance_id=b&host_id=h1");
  expect(out).toContain("8.017 s");
});

describe("topology and replication", () => {
  test("show every instance with its lag", async () => {
    for (const command of [
      ["topology", "get"],
      ["replication", "status"],
      ["top", "--once"],
    ]) {
      const { out, status } = await pgherd(...command, "shop");
      expect(status).toBe(0);
      expect(out).toMatch(/shop-n1-b +h2 +replica +streaming +async +- +- +96 +shop-n1-a/);
    }
  });

  test("set sends the file, or what the options say, and the revision", async () => {
    const set = await pgherd("topology", "set", "shop", "-f", "t.yaml", "--revision", "7");
    expect(set.last).toEqual({
      line: "PUT /v1/databases/shop/topology",
      body: { nodes: [{ name: "n1", synchronous: { mode: "on" } }] },
      ifMatch: '"7"',
    });
    const wish = await pgherd(
      ...["replication", "set", "shop", "n1", "--mode", "quorum", "--count", "2"],
      ...["--no-strict", "--max-lag", "1000"],
    );
    expect(wish.last?.body).toEqual({
      nodes: [
        {
          name: "n1",
          synchronous: { mode: "quorum", count: 2, strict: false },
          maximum_lag_on_failover: 1_000,
        },
      ],
    });
    expect((await pgherd("replication", "set", "shop", "n1")).status).toBe(2);
  });
});

describe("instance", () => {
  test("add and remove change the hosts of the node and nothing else", async () => {
    const add = await pgherd("instance", "add", "shop", "n1", "--host", "h3");
    expect(add.last?.body).toEqual({
      spec: { database_name: "shop", nodes: [{ name: "n1", host_ids: ["h1", "h2", "h3"] }] },
    });
    const remove = await pgherd("-y", "instance", "remove", "shop", "n1", "--host", "h1");
    expect(remove.last?.body).toMatchObject({ spec: { nodes: [{ host_ids: ["h2"] }] } });
    expect((await pgherd("instance", "add", "shop", "n1", "--host", "h1")).status).toBe(8);
    expect((await pgherd("instance", "add", "shop", "n7", "--host", "h1")).status).toBe(3);
    expect((await pgherd("instance", "remove", "shop", "n1", "--host", "h1")).status).toBe(2);
  });

  test("promote, reload, checkpoint and reinit are found by the id alone", async () => {
    for (const verb of ["promote", "reload", "checkpoint"]) {
      const { last } = await pgherd("instance", verb, "shop-n1-b");
      expect(last?.line).toBe(`POST /v1/databases/shop/instances/shop-n1-b/${verb}`);
    }
    const { last } = await pgherd("-y", "instance", "reinit", "shop-n1-b", "--from", "shop-n1-c");
    expect(last?.line).toBe("POST /v1/databases/shop/instances/shop-n1-b/reinitialize");
    expect(last?.body).toEqual({ from: "shop-n1-c" });
  });
});
