// The client against a server that misbehaves on order.
import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { seededRng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import { createRqlite, type RqliteOptions } from "./rqlite.ts";
import type { Query } from "./statement.ts";
import { StoreError, type StoreReason } from "./store-error.ts";

const SELECT: Query = { sql: "SELECT ?", params: ["s3cret-parameter"] };
const INSERT: Query = { sql: "INSERT INTO t VALUES (?)", params: ["s3cret-parameter"] };
const ONE = { results: [{ columns: ["a"], types: ["integer"], values: [[1]] }] };
const WRITTEN = { results: [{ rows_affected: 1, last_insert_id: 1 }] };
const ENOUGH = { deadlineMs: 300 };

type Behaviour = (request: Request) => Response | Promise<Response>;
const servers: Bun.Server<undefined>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

/** A server that behaves as told, one entry a request; the last one repeats. */
function serve(...behaviours: readonly Behaviour[]) {
  return serveAs(() => true, ...behaviours);
}

/** The same for one that knows a leader, or not. */
function serveAs(leads: () => boolean, ...behaviours: readonly Behaviour[]) {
  const seen: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === "/readyz") return new Response("", { status: leads() ? 200 : 503 });
      const behaviour = behaviours[Math.min(seen.length, behaviours.length - 1)];
      seen.push(`${url.pathname} ${url.searchParams}`);
      return behaviour?.(request) ?? new Response("", { status: 500 });
    },
  });
  servers.push(server);
  return { url: `http://127.0.0.1:${server.port}`, seen };
}

const answer = (body: unknown) => () => Response.json(body);
const status = (code: number, text: string) => () => new Response(text, { status: code });
const silence: Behaviour = () => new Promise<Response>(() => undefined);

function client(urls: readonly string[], more: Partial<RqliteOptions> = {}) {
  return createRqlite({
    urls,
    username: "pgherd",
    password: new Secret("s3cret-password"),
    clock: systemClock,
    rng: seededRng(1),
    ...more,
  });
}

async function failure(promise: Promise<unknown>): Promise<StoreError> {
  const thrown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (thrown instanceof StoreError) return thrown;
  throw new Error(`expected a StoreError, got ${messageOf(thrown)}`);
}

/** An address at which nobody listens. */
async function deadUrl(): Promise<string> {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  await server.stop(true);
  return `http://127.0.0.1:${server.port}`;
}

describe("a linearizable read", () => {
  const moved = (to: () => string) => () =>
    new Response("", { status: 301, headers: { location: `${to()}/db/query?level=linearizable` } });

  test("goes to the leader itself from then on", async () => {
    const leader = serve(answer(ONE));
    const own = serve(moved(() => leader.url));
    const rqlite = client([own.url, leader.url]);
    for (const _ of [1, 2, 3]) await rqlite.request([SELECT]);
    expect([own.seen.length, leader.seen.length]).toEqual([1, 3]);
    expect(leader.seen[2]).toContain("level=linearizable");
  });

  test("follows the next leader", async () => {
    const next = serve(answer(ONE));
    const leader = serve(
      answer(ONE),
      moved(() => next.url),
    );
    const own = serve(moved(() => leader.url));
    const rqlite = client([own.url, leader.url, next.url]);
    for (const _ of [1, 2, 3]) await rqlite.request([SELECT]);
    expect([own.seen.length, leader.seen.length, next.seen.length]).toEqual([1, 2, 2]);
  });

  test.each([
    ["is not reached", async () => deadUrl()],
    ["is no node of ours", async () => "http://127.0.0.1:1"],
  ])("is passed on while the leader %s", async (what, url) => {
    const leader = await url();
    const own = serve((request) =>
      request.url.includes("redirect") ? moved(() => leader)() : Response.json(ONE),
    );
    const rqlite = client(what === "is not reached" ? [own.url, leader] : [own.url]);
    for (const _ of [1, 2]) expect(await rqlite.request([SELECT])).toHaveLength(1);
    expect(own.seen.map((seen) => seen.includes("redirect"))).toEqual([true, false, false]);
  });

  test("of the own copy, or a write, asks nobody else", async () => {
    const own = serve(answer(ONE), answer(WRITTEN));
    const rqlite = client([own.url]);
    await rqlite.request([SELECT], { level: "none" });
    await rqlite.request([INSERT]);
    expect(own.seen.join()).not.toContain("redirect");
  });
});

describe("what is sent", () => {
  test("reads to /db/query with their level, writes to /db/execute", async () => {
    const { url, seen } = serve(answer(ONE), answer(ONE), answer(WRITTEN), answer(WRITTEN));
    const rqlite = client([url]);
    await rqlite.request([SELECT]);
    await rqlite.request([SELECT], { level: "none", transaction: true });
    await rqlite.request([INSERT], { timeoutMs: 2_000 });
    await rqlite.request([INSERT], { transaction: true });
    expect(seen).toEqual([
      "/db/query timeout=800ms&retries=0&level=linearizable&redirect=true&linearizable_timeout=800ms",
      "/db/query timeout=800ms&retries=0&transaction=true&level=none&linearizable_timeout=800ms",
      "/db/execute timeout=1800ms&retries=0",
      "/db/execute timeout=800ms&retries=0&transaction=true",
    ]);
  });

  test("strong instead of linearizable where that is unknown", async () => {
    const { url, seen } = serve(answer(ONE));
    await client([url], { linearizableAs: "strong" }).request([SELECT]);
    expect(seen[0]).toContain("level=strong");
  });

  test("statements, parameters and credentials as rqlite wants them", async () => {
    let body: unknown;
    const authorizations: unknown[] = [];
    const { url } = serve(async (request) => {
      body = await request.json();
      authorizations.push(request.headers.get("authorization"));
      return Response.json(ONE);
    });
    await client([url]).request([{ sql: "SELECT ?, ?, ?", params: ["a", 1.5, null] }]);
    expect(body).toEqual([["SELECT ?, ?, ?", "a", 1.5, null]]);
    expect(authorizations).toEqual([`Basic ${btoa("pgherd:s3cret-password")}`]);
  });

  test("nothing for no statements", async () => {
    expect(await client([await deadUrl()]).request([])).toEqual([]);
  });
});

describe("what is tried again", () => {
  const notApplied: readonly (readonly [string, Behaviour])[] = [
    ["no leader", status(503, "leader not found")],
    ["not the leader", answer({ results: [], error: "not leader" })],
    [
      "a leader that cannot be reached",
      answer({
        results: [],
        error: "node failed to process Execute on remote node at x: dial tcp x: connection refused",
      }),
    ],
    ["a queue that is full", answer({ results: [], error: "timed out enqueuing operation" })],
  ];
  test.each(notApplied)("a write after %s", async (_what, behaviour) => {
    const { url, seen } = serve(behaviour, behaviour, answer(WRITTEN));
    expect(await client([url]).request([INSERT])).toEqual([{ columns: [], rows: [], changed: 1 }]);
    expect(seen).toHaveLength(3);
  });

  const inDoubt: readonly (readonly [string, Behaviour])[] = [
    ["leadership lost", answer({ results: [], error: "leadership lost while committing log" })],
    [
      "a connection to the leader that broke",
      answer({
        results: [],
        error: "node failed to process Execute on remote node at x: write: broken pipe",
      }),
    ],
    ["an internal error", status(500, "oops")],
    ["no results", answer({ results: [] })],
    ["no JSON", status(200, "<html>")],
    ["silence", silence],
  ];
  test.each(inDoubt)("a write after %s is not, unless it may be", async (_what, behaviour) => {
    const { url, seen } = serve(behaviour, answer(WRITTEN));
    const options = { timeoutMs: 100 };
    const thrown = await failure(client([url]).request([INSERT], options));
    expect([thrown.reason, thrown.kind, seen.length]).toEqual(["unknown", "retryable", 1]);
    const again = serve(behaviour, answer(WRITTEN));
    await client([again.url]).request([INSERT], { ...options, idempotent: true });
    expect(again.seen).toHaveLength(2);
  });

  test.each(inDoubt)("a read after %s", async (_what, behaviour) => {
    const { url, seen } = serve(behaviour, answer(ONE));
    expect((await client([url]).request([SELECT], { timeoutMs: 100 }))[0]?.rows).toEqual([[1]]);
    expect(seen).toHaveLength(2);
  });

  const final: readonly (readonly [string, StoreReason, Behaviour])[] = [
    ["a request it does not understand", "sql", status(400, "bad")],
    ["a statement that is wrong", "sql", answer({ results: [{ error: "near x: syntax error" }] })],
    [
      "a constraint",
      "constraint",
      answer({ results: [{ error: "UNIQUE constraint failed: t.a" }] }),
    ],
    ["a guard", "conflict", answer({ results: [{ error: "assert_failed" }] })],
    ["a full disk", "full", answer({ results: [{ error: "database or disk is full" }] })],
  ];
  test.each(final)("nothing after %s", async (_what, reason, behaviour) => {
    const { url, seen } = serve(behaviour);
    const thrown = await failure(client([url]).request([INSERT], { idempotent: true }));
    expect([thrown.reason, seen.length]).toEqual([reason, 1]);
  });
});

describe("several addresses", () => {
  test("the next one is used at once when one is dead, and kept", async () => {
    const alive = serve(answer(WRITTEN));
    const rqlite = client([await deadUrl(), alive.url]);
    const startMs = systemClock.monotonicMs();
    await rqlite.request([INSERT]);
    await rqlite.request([INSERT]);
    expect(alive.seen).toHaveLength(2);
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(500);
  });

  test("a silent one is left for the next request", async () => {
    const silent = serveAs(() => false, silence);
    const alive = serve(answer(WRITTEN));
    const rqlite = client([silent.url, alive.url]);
    expect((await failure(rqlite.request([INSERT], { timeoutMs: 50 }))).reason).toBe("unknown");
    await rqlite.request([INSERT]);
    expect([silent.seen.length, alive.seen.length]).toEqual([1, 1]);
  });

  test("a password that is refused is tried again: it may have been replaced meanwhile", async () => {
    let password = new Secret("old");
    const { url, seen } = serve((request) => {
      const good = request.headers.get("authorization") === `Basic ${btoa("pgherd:new")}`;
      return good ? Response.json(WRITTEN) : new Response("", { status: 401 });
    });
    const rqlite = client([url], { password: () => password });
    expect((await failure(rqlite.request([INSERT], ENOUGH))).reason).toBe("auth");
    const asked = rqlite.request([INSERT]);
    await Bun.sleep(50);
    password = new Secret("new");
    expect((await asked).length).toBe(1);
    expect(seen.length).toBeGreaterThan(2);
  });

  test("all of them dead is an error after the deadline", async () => {
    const rqlite = client([await deadUrl(), await deadUrl()]);
    const thrown = await failure(rqlite.request([INSERT], ENOUGH));
    expect([thrown.reason, thrown.kind]).toEqual(["unavailable", "retryable"]);
    const none = serve(status(503, "leader not found"));
    expect((await failure(client([none.url]).request([SELECT], ENOUGH))).reason).toBe("no_leader");
    const silent = serve(silence);
    const asked = client([silent.url]).request([SELECT], { ...ENOUGH, timeoutMs: 50 });
    expect((await failure(asked)).reason).toBe("timeout");
    expect(silent.seen.length).toBeGreaterThan(1);
  });
});

describe("no leader", () => {
  const leaderless = status(503, "leader not found");

  test("is told within two seconds, and at once while it lasts", async () => {
    const none = serveAs(() => false, leaderless);
    const cutOff = serveAs(() => false, silence);
    const rqlite = client([none.url, cutOff.url]);
    const startMs = systemClock.monotonicMs();
    expect((await failure(rqlite.request([INSERT]))).reason).toBe("no_leader");
    const firstMs = systemClock.monotonicMs() - startMs;
    expect(firstMs).toBeGreaterThan(1_000);
    expect(firstMs).toBeLessThan(2_000);
    const againMs = systemClock.monotonicMs();
    expect((await failure(rqlite.request([SELECT]))).reason).toBe("no_leader");
    expect(systemClock.monotonicMs() - againMs).toBeLessThan(600);
    expect(cutOff.seen).toEqual([]);
  });

  test("a leader that comes in time is found, by whichever node knows it", async () => {
    let elected = false;
    const lost = serveAs(() => false, leaderless);
    const knows = serveAs(() => elected, leaderless, answer(WRITTEN));
    const rqlite = client([lost.url, knows.url]);
    const asked = rqlite.request([INSERT]);
    await Bun.sleep(300);
    expect(knows.seen).toEqual([]);
    elected = true;
    await rqlite.request([INSERT]);
    expect((await asked).length).toBe(1);
  });

  test("a store that is only slow is waited for", async () => {
    const slow: Behaviour = async () => {
      await Bun.sleep(1_600);
      return Response.json(ONE);
    };
    const { url, seen } = serve(slow);
    expect((await client([url]).request([SELECT]))[0]?.rows).toEqual([[1]]);
    expect(seen).toHaveLength(2);
  });

  test("this host's own copy answers all the same", async () => {
    const { url } = serveAs(() => false, leaderless, answer(ONE));
    const rqlite = client([url]);
    await failure(rqlite.request([INSERT], ENOUGH));
    expect((await rqlite.request([SELECT], { level: "none" }))[0]?.rows).toEqual([[1]]);
  });

  test("for want of space is said so", async () => {
    const { url } = serveAs(() => false, leaderless);
    const rqlite = client([url], { lacksSpace: () => "the disk of /x is full" });
    const thrown = await failure(rqlite.request([INSERT]));
    expect([thrown.reason, thrown.kind, thrown.message]).toEqual([
      "full",
      "retryable",
      "the disk of /x is full",
    ]);
  });
});

describe("limits", () => {
  test("a signal ends a request that waits, with its own reason", async () => {
    const { url } = serve(silence);
    const controller = new AbortController();
    const asked = client([url]).request([SELECT], { signal: controller.signal });
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await asked.catch((thrown: unknown) => thrown)).toBe(reason);
    const none = serve(status(503, ""));
    const waiting = client([none.url]).request([SELECT], { signal: AbortSignal.timeout(50) });
    expect(await waiting.catch((thrown: unknown) => messageOf(thrown))).toContain("timed out");
  });

  test("requests that are too long are not sent", async () => {
    const { url, seen } = serve(answer(WRITTEN));
    const long = { sql: "INSERT INTO t VALUES (?)", params: ["x".repeat(16 * 1024 * 1024)] };
    expect((await failure(client([url]).request([long]))).reason).toBe("sql");
    expect(seen).toEqual([]);
  });

  test("no error holds a parameter or the password", async () => {
    const behaviours = [status(500, "oops"), status(401, ""), status(400, "bad"), silence];
    for (const behaviour of behaviours) {
      const { url } = serve(behaviour);
      const thrown = await failure(client([url]).request([INSERT], { timeoutMs: 50 }));
      const text = Bun.inspect(thrown);
      expect(text).not.toContain("s3cret");
      expect(text).not.toContain(btoa("pgherd:s3cret-password"));
    }
    expect(Bun.inspect(client(["http://x"]))).not.toContain("s3cret-password");
  });
});
