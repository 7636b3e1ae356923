// Every port of a member that is meant for other members, and every route on it: without the cluster's certificate,
// with a foreign one, with all that a removed host ever knew, and with certificates that it could make of that.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { systemRng } from "../../src/base/rng.ts";
import { Secret } from "../../src/base/secret.ts";
import { peerPaths } from "../../src/host/peer-messages.ts";
import { driverPaths } from "../../src/orchestrator/driver-messages.ts";
import { type Authority, createAuthority, loadAuthority } from "../../src/pki/authority.ts";
import { CA_KEY_PLACE } from "../../src/store/cluster.ts";
import { loadClusterKey } from "../../src/store/cluster-key.ts";
import { createSealer } from "../../src/store/sealing.ts";
import { eventually, spec } from "../e2e/harness.ts";
import { TestCluster, TestHost } from "./members.ts";
import { processesOf } from "./processes.ts";

setDefaultTimeout(120_000);

/** What somebody shows to a port. */
interface Shown {
  readonly cert?: string;
  readonly key?: string;
  readonly authorization?: string;
}

interface Listening {
  readonly address: string;
  readonly port: number;
}

/** TCP sockets that processes of the host listen on (proc_pid_net(5)). */
function listeningOf(host: TestHost): readonly Listening[] {
  const inodes = new Set(
    processesOf(host.directory).flatMap((pid) =>
      readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
        try {
          return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
        } catch (thrown) {
          // It was closed while it was looked at.
          if (thrown instanceof Error && "code" in thrown) return [];
          throw thrown;
        }
      }),
    ),
  );
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1);
  return rows.flatMap((row) => {
    const [, local = "", , state, , , , , , inode = ""] = row.trim().split(/\s+/);
    if (state !== "0A" || !inodes.has(inode)) return [];
    const [hex = "", port = ""] = local.split(":");
    const bytes = (hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
    return [{ address: bytes.reverse().join("."), port: Number.parseInt(port, 16) }];
  });
}

/** Status of the answer over TLS; "refused" when there is none. */
async function ask(to: Listening, method: string, path: string, shown: Shown) {
  const { cert, key, authorization } = shown;
  try {
    const answer = await fetch(`https://${to.address}:${to.port}${path}`, {
      method,
      ...(method === "GET" ? {} : { body: "[]" }),
      headers: authorization ? { authorization } : {},
      tls: { rejectUnauthorized: false, ...(cert && key ? { cert, key } : {}) },
      signal: AbortSignal.timeout(3_000),
    });
    return answer.status;
  } catch {
    return "refused";
  }
}

const STORE_ROUTES = [
  ["POST", "/db/query?level=none"],
  ["POST", "/db/execute"],
  ["POST", "/db/request"],
  ["GET", "/db/backup"],
  ["POST", "/db/load"],
  ["POST", "/boot"],
  ["POST", "/snapshot"],
  ["GET", "/status"],
  ["GET", "/nodes"],
  ["GET", "/readyz"],
  ["GET", "/leader"],
  ["DELETE", "/remove"],
  ["GET", "/debug/vars"],
  ["GET", "/debug/pprof/cmdline"],
] as const;

const PEER_ROUTES = [...Object.values(peerPaths), ...Object.values(driverPaths)].flatMap((path) =>
  ["GET", "PUT", "POST", "DELETE"].map((method) => [method, path] as const),
);

async function issue(authority: Authority, name: string): Promise<Shown> {
  const addresses = ["127.0.0.1"];
  const wish = { purpose: "peer", commonName: name, addresses, validMs: 3_600_000 } as const;
  const { certificatePem, privateKeyPem } = await authority.issue(wish, Date.now());
  return { cert: certificatePem, key: privateKeyPem.reveal() };
}

describe("after a removal", () => {
  let cluster: TestCluster;
  /** What h3 could read of its own disk before it was removed. */
  let stolen: Shown;
  let forgedMember: Shown;
  let foreign: Shown;

  beforeAll(async () => {
    cluster = await TestCluster.of(3);
    const third = cluster.host(3);
    const file = (name: string) => readFileSync(join(third.dataDir, name), "utf8");
    const [user] = JSON.parse(file("rqlited/auth.json"));
    const authorization = `Basic ${btoa(`${user.username}:${user.password}`)}`;
    const cert = file("certificates/host.crt");
    stolen = { cert, key: file("certificates/host.key"), authorization };
    const { ca_certificate, ca_key } = third.membership();
    const key = await loadClusterKey(join(third.dataDir, "cluster.key"));
    const caKey = createSealer(key, systemRng).open(ca_key, CA_KEY_PLACE);
    const authority = await loadAuthority(ca_certificate, new Secret(caKey.reveal()), systemRng);
    forgedMember = { ...(await issue(authority, "h1")), authorization };
    const other = await createAuthority("another cluster", Date.now(), systemRng);
    foreign = { ...(await issue(other, "h1")), authorization };
  });
  afterAll(() => cluster.destroy());

  test("while it belongs to the cluster, its certificate and password are good", async () => {
    const second = await eventually("the first knows the second", () => {
      const [, other] = cluster.host(1).membership().members;
      return other;
    });
    const answer = await fetch(`${second.url}/status`, {
      headers: { authorization: stolen.authorization ?? "" },
      tls: {
        rejectUnauthorized: false,
        ...(stolen.cert && stolen.key ? { cert: stolen.cert, key: stolen.key } : {}),
      },
    });
    expect(answer.status).toBe(200);
  });

  test("the removal replaces the passwords of the store, and the cluster goes on", async () => {
    const [first, second, third] = [cluster.host(1), cluster.host(2), cluster.host(3)];
    const before = first.storeAuth();
    const { body } = await first.request("DELETE", "/v1/hosts/h3");
    expect((await first.finished(body.task)).status).toBe("completed");
    const startMs = performance.now();
    await eventually("both have other passwords", () => {
      const now = [first.storeAuth(), second.storeAuth()];
      return now[0] !== before && now[0] === now[1] ? true : undefined;
    });
    await eventually("changes are taken by both", async () => {
      for (const host of [first, second]) {
        const { status } = await host.post("/v1/cluster/join-tokens", {});
        if (status !== 200) return undefined;
      }
      return true;
    });
    console.log(`passwords replaced after ${Math.round(performance.now() - startMs)} ms`);
    const nodes = [{ name: "n1", host_ids: ["h2"] }];
    const { body: made } = await first.post("/v1/databases", { id: "shop", spec: spec({ nodes }) });
    expect((await first.finished(made.task)).status).toBe("completed");
    await eventually("the removed host belongs to no cluster", async () =>
      (await third.get("/v1/hosts")).status === 409 ? true : undefined,
    );
    await eventually("and has nothing of it left", () => {
      const gone = ["cluster.key", "rqlited/auth.json", "rqlited/data"];
      return gone.every((name) => !existsSync(join(third.dataDir, name))) ? true : undefined;
    });
  });

  test("no internal port of a member answers anything but a refusal", async () => {
    for (const host of [cluster.host(1), cluster.host(2)]) {
      const { url, raft } = host
        .membership()
        .members.find(({ id }: { id: string }) => id === host.id);
      const peerPort = Number(readFileSync(join(host.dataDir, "peer-port"), "utf8"));
      const storePort = Number(new URL(url).port);
      const raftPort = Number(raft.split(":").at(-1));
      const { body } = await host.get("/v1/databases/shop");
      const users = body.instances.flatMap(
        (each: { host_id: string; connection_info: { port: number } }) =>
          each.host_id === host.id ? [each.connection_info.port] : [],
      );
      const kinds: string[] = [];
      for (const to of listeningOf(host)) {
        if (to.port === host.port || users.includes(to.port)) continue;
        if (to.port === peerPort) {
          kinds.push("peers");
          for (const [method, path] of PEER_ROUTES) {
            expect(await ask(to, method, path, {})).toBe("refused");
            expect(await ask(to, method, path, foreign)).toBe("refused");
            expect([method, path, await ask(to, method, path, stolen)]).toEqual([
              method,
              path,
              403,
            ]);
            expect([method, path, await ask(to, method, path, forgedMember)]).toEqual([
              method,
              path,
              403,
            ]);
          }
        } else if (to.port === storePort) {
          kinds.push("store");
          for (const [method, path] of STORE_ROUTES) {
            expect(await ask(to, method, path, {})).toBe("refused");
            expect(await ask(to, method, path, foreign)).toBe("refused");
            for (const shown of [stolen, forgedMember]) {
              expect([method, path, await ask(to, method, path, shown)]).toEqual([
                method,
                path,
                401,
              ]);
            }
          }
        } else if (to.port === raftPort) {
          kinds.push("raft");
          for (const shown of [{}, foreign]) {
            expect(await ask(to, "GET", "/", shown)).toBe("refused");
            expect(await handshake(to, shown)).toBe("refused");
          }
          expect(await ask(to, "GET", "/", stolen)).toBe("refused");
        } else if (to.address === "127.0.0.1") {
          const plain = `http://127.0.0.1:${to.port}`;
          const answers = await Promise.all(
            PEER_ROUTES.map(([method, path]) =>
              fetch(plain + path, { method }).then(({ status }) => status),
            ),
          );
          // The keeper's own interface, of the database, is for users; it knows none of these.
          if (answers.every((status) => status === 401)) kinds.push("behind the peers' port");
          else expect(answers.filter((status) => status < 400)).toEqual([]);
        } else {
          const answers = await Promise.all(
            PEER_ROUTES.map(([method, path]) => ask(to, method, path, stolen)),
          );
          expect(answers.filter((answer) => answer !== "refused" && answer < 400)).toEqual([]);
        }
      }
      expect(kinds.sort()).toEqual(["behind the peers' port", "peers", "raft", "store"]);
    }
  });

  test("the host that was removed comes in again with a token, and gets the new passwords", async () => {
    await cluster.join(cluster.host(3));
    expect(await cluster.host(2).hosts()).toEqual({ h1: "healthy", h2: "healthy", h3: "healthy" });
    expect(cluster.host(3).storeAuth()).toBe(cluster.host(1).storeAuth());
  });
});

/** Whether somebody who shows this gets through the handshake and hears anything. */
function handshake({ address, port }: Listening, { cert, key }: Shown): Promise<string> {
  return new Promise((resolve) => {
    const options = {
      host: address,
      port,
      rejectUnauthorized: false,
      ...(cert && key ? { cert, key } : {}),
    };
    const socket = connect(options, () => socket.write("\u0002hello"));
    socket.setTimeout(2_000, () => {
      resolve("open");
      socket.destroy();
    });
    socket.on("data", () => resolve("answered"));
    socket.on("error", () => resolve("refused"));
    socket.on("close", () => resolve("refused"));
  });
}

test("a host that was away while passwords were replaced gets them when it comes back", async () => {
  const cluster = await TestCluster.of(3);
  try {
    await cluster.join(await cluster.add({ etcd_mode: "client" }));
    const [first, third, fourth] = [cluster.host(1), cluster.host(3), cluster.host(4)];
    await third.kill();
    await fourth.kill();
    const before = first.storeAuth();
    const { body } = await first.request("DELETE", "/v1/hosts/h4");
    expect((await first.finished(body.task)).status).toBe("completed");
    await eventually("the others have other passwords", () =>
      first.storeAuth() !== before && first.storeAuth() === cluster.host(2).storeAuth()
        ? true
        : undefined,
    );
    await third.start();
    await third.ready();
    await eventually(
      "it has them too",
      () => (third.storeAuth() === first.storeAuth() ? true : undefined),
      60_000,
    );
    await eventually("it takes changes", async () =>
      (await third.post("/v1/cluster/join-tokens", {})).status === 200 ? true : undefined,
    );
    await fourth.start();
    await eventually("the one that was removed learns that it was", async () =>
      (await fourth.get("/v1/hosts")).status === 409 ? true : undefined,
    );
    expect(existsSync(join(fourth.dataDir, "cluster.key"))).toBe(false);
  } finally {
    await cluster.destroy();
  }
});

test("the token of a cluster that is no more is refused by the one that came after it", async () => {
  const cluster = await TestCluster.of(1);
  try {
    const old = { ...cluster.token };
    const joiner = await cluster.add();
    await cluster.host(1).kill();
    const next = new TestHost(join(cluster.directory, "next"), 1, {});
    next.port = cluster.host(1).port;
    await next.start();
    expect((await next.post("/v1/cluster/init")).status).toBe(200);
    const refused = await joiner.post("/v1/cluster/join", old);
    expect([refused.status, refused.body.name]).toEqual([401, "invalid_join_token"]);
    expect((await joiner.get("/v1/hosts")).status).toBe(409);
    await next.kill();
  } finally {
    await cluster.destroy();
  }
});
