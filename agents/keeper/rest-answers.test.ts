// Answers of the REST API in states that are hard to bring about for real.
import { expect, test } from "bun:test";
import { scramIterations, scramVerifier } from "../../src/postgres/scram.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import { answerRest } from "./rest-answers.ts";
import type { RestView } from "./rest-json.ts";
import type { RestRequest } from "./rest-messages.ts";

const primary: RestView = {
  state: "running",
  role: "primary",
  scope: "shop:n1",
  name: "shop-n1-0f3k2m1q",
  config: undefined,
  server: {
    startedAt: "2026-07-01 10:00:00.123456+00:00",
    startedAtEpoch: "1782900000.123456",
    versionNumber: 170011,
    timeline: 3,
    flushLsn: 2n ** 63n + 1n,
    receiveLsn: undefined,
    replayLsn: undefined,
    replayTimestamp: undefined,
    replayPaused: false,
    replicationState: undefined,
    replication: [],
  },
  systemIdentifier: "7512345678901234567",
  pendingRestart: [],
  storeSeenAt: 1782900000,
  cycleAgeMs: 12,
  scheduledRestart: undefined,
  appliedGeneration: 4,
};
const replica: RestView = {
  ...primary,
  role: "replica",
  server: primary.server && {
    ...primary.server,
    flushLsn: undefined,
    receiveLsn: 20_000_000n,
    replayLsn: 18_000_000n,
    replayTimestamp: "2026-07-01 10:00:01+00:00",
    replicationState: "streaming",
  },
};
const unanswered = { ...primary, role: "unknown", server: undefined } as const;
const starting: RestView = { ...unanswered, state: "starting" };
const crashed: RestView = { ...unanswered, state: "crashed" };
const nowMs = 1_782_900_000_000;

function ask(view: RestView, url: string, more: Partial<RestRequest> = {}) {
  return answerRest({ method: "GET", url, body: undefined, trusted: true, ...more }, view, nowMs);
}
const statusOf = (view: RestView, url: string) => ask(view, url).status;

test("each check passes in its states only", () => {
  const table: readonly [string, ...number[]][] = [
    ["/", 200, 503, 503, 503],
    ["/primary", 200, 503, 503, 503],
    ["/leader", 200, 503, 503, 503],
    ["/standby_leader", 503, 503, 503, 503],
    ["/standby-leader", 503, 503, 503, 503],
    ["/replica", 503, 200, 503, 503],
    ["/replica?lag=1MB", 503, 503, 503, 503],
    ["/replica?lag=2MB", 503, 200, 503, 503],
    ["/replica?lag=2000000", 503, 200, 503, 503],
    ["/replica?lag=nonsense", 503, 200, 503, 503],
    ["/replica?replication_state=streaming", 503, 200, 503, 503],
    ["/replica?replication_state=in%20archive%20recovery", 503, 503, 503, 503],
    ["/replica?tag_zone=a", 503, 503, 503, 503],
    ["/read-only", 200, 200, 503, 503],
    ["/read-only?tag_zone=a", 200, 503, 503, 503],
    ["/read-only-sync", 200, 503, 503, 503],
    ["/sync", 503, 503, 503, 503],
    ["/async", 503, 200, 503, 503],
    ["/asynchronous", 503, 200, 503, 503],
    ["/quorum", 503, 503, 503, 503],
    ["/health", 200, 200, 503, 503],
    ["/readiness", 200, 503, 503, 503],
    ["/readiness?lag=3MB", 200, 200, 503, 503],
    ["/liveness", 200, 200, 200, 200],
    ["/patroni", 200, 200, 200, 200],
    ["/unknown", 503, 503, 503, 503],
  ];
  const views = [primary, replica, starting, crashed];
  const answers = table.map(([path]) => [path, ...views.map((view) => statusOf(view, path))]);
  expect(answers).toEqual(table.map((row) => [...row]));
});

test("liveness fails when the loop hangs, sooner on a primary", () => {
  expect(statusOf({ ...primary, cycleAgeMs: 31_000 }, "/liveness")).toBe(503);
  expect(statusOf({ ...replica, cycleAgeMs: 31_000 }, "/liveness")).toBe(200);
  expect(statusOf({ ...replica, cycleAgeMs: 61_000 }, "/liveness")).toBe(503);
});

test("positions are whole numbers whatever their size", () => {
  expect(ask(primary, "/patroni").body).toContain('"xlog":{"location":9223372036854775809}');
  expect(ask(replica, "/patroni").body).toContain(
    '"xlog":{"received_location":20000000,"replayed_location":18000000,"replayed_timestamp":"2026-07-01 10:00:01+00:00","paused":false}',
  );
  expect(ask(replica, "/cluster").body).toContain('"lsn":"0/112A880","lag":2000000');
  expect(JSON.parse(ask(starting, "/patroni").body)).toEqual({
    state: "starting",
    role: "unknown",
    dcs_last_seen: 1782900000,
    database_system_identifier: "7512345678901234567",
    patroni: { version: "4.1.4", scope: "shop:n1", name: "shop-n1-0f3k2m1q" },
  });
});

test("HEAD and OPTIONS answer the status alone", () => {
  for (const method of ["HEAD", "OPTIONS"]) {
    expect(ask(primary, "/primary", { method })).toMatchObject({ status: 200, body: "" });
    expect(ask(replica, "/primary", { method })).toMatchObject({ status: 503, body: "" });
  }
});

test("nothing is changed for those who may not, nor by methods that do not exist", () => {
  const post = { method: "POST", trusted: false };
  for (const path of ["/reload", "/restart", "/reinitialize", "/switchover", "/failover"]) {
    const answer = ask(primary, path, post);
    expect([path, answer.status, answer.command]).toEqual([path, 403, undefined]);
  }
  expect(ask(primary, "/primary", { method: "POST" }).status).toBe(501);
  expect(ask(primary, "/reload", { method: "DELETE" }).status).toBe(501);
  expect(ask(primary, "/", { method: "TRACE" }).status).toBe(501);
});

test("where the spec names a user, it is asked for by what changes things, and by nothing else", () => {
  const verifier = scramVerifier("s3cr:et", new Uint8Array(16).fill(7), scramIterations);
  const config = { rest_authentication: { username: "ops", verifier } } as InstanceConfig;
  const view = { ...primary, config };
  const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
  const post = (authorization: string | undefined, more: Partial<RestRequest> = {}) =>
    ask(view, "/reload", { method: "POST", authorization, ...more });
  const challenge = { "www-authenticate": 'Basic realm="Patroni"' };
  expect(post(undefined)).toEqual({
    status: 401,
    contentType: "text/html",
    body: "no auth header received",
    headers: challenge,
  });
  for (const wrong of [
    basic("ops:s3cr:et "),
    basic("Ops:s3cr:et"),
    basic("ops:"),
    basic("ops"),
    basic(`ops:${verifier}`),
    `Bearer ${Buffer.from("ops:s3cr:et").toString("base64")}`,
    `${basic("ops:s3cr:et")}, ${basic("ops:s3cr:et")}`,
    basic(`ops:${"x".repeat(2_000)}`),
    "",
  ]) {
    const answer = post(wrong);
    expect([wrong, answer.status, answer.body, answer.command]).toEqual([
      wrong,
      401,
      "not authenticated",
      undefined,
    ]);
  }
  expect(post(basic("ops:s3cr:et"))).toMatchObject({ status: 202, command: { kind: "reload" } });
  expect(post(basic("ops:s3cr:et").replace("Basic", "basic")).status).toBe(202);
  // The addresses count all the same, and are looked at first.
  expect(post(basic("ops:s3cr:et"), { trusted: false }).status).toBe(403);
  expect(post(undefined, { trusted: false }).status).toBe(403);
  const unsafe = [
    ["POST", "/restart"],
    ["DELETE", "/restart"],
    ["POST", "/switchover"],
    ["DELETE", "/switchover"],
    ["POST", "/failover"],
    ["PATCH", "/config"],
    ["PUT", "/config"],
    ["POST", "/reinitialize"],
    ["POST", "/failsafe"],
  ] as const;
  for (const [method, path] of unsafe) expect(ask(view, path, { method }).status).toBe(401);
  for (const path of ["/", "/primary", "/health", "/liveness", "/patroni", "/metrics"]) {
    expect([path, ask(view, path).status]).toEqual([path, 200]);
  }
  expect(ask(view, "/primary", { method: "OPTIONS" }).status).toBe(200);
});

test("restart takes filters and a time", () => {
  const post = (body: unknown, view = primary) =>
    ask(view, "/restart", { method: "POST", body: JSON.stringify(body) });
  expect(post({})).toMatchObject({ status: 200, command: { kind: "restart" } });
  expect(ask(primary, "/restart", { method: "POST" })).toMatchObject({ status: 200 });
  expect(ask(primary, "/restart", { method: "POST", body: "[]" }).status).toBe(400);
  expect(ask(primary, "/restart", { method: "POST", body: "{" }).status).toBe(400);
  expect(post({ role: "primary" }).status).toBe(200);
  expect(post({ role: "replica" }).status).toBe(503);
  expect(post({ role: "king" }).status).toBe(400);
  expect(post({ postgres_version: "18.0" }).status).toBe(200);
  expect(post({ postgres_version: "17.11" }).status).toBe(503);
  expect(post({ postgres_version: "new" }).status).toBe(400);
  expect(post({ restart_pending: true }).status).toBe(503);
  const pendingRestart = [{ name: "max_connections", oldValue: "1", newValue: "2" }];
  expect(post({ restart_pending: true }, { ...primary, pendingRestart }).status).toBe(200);
  const soon = "2026-07-01T10:10:00+00:00";
  expect(post({ schedule: soon })).toMatchObject({
    status: 202,
    command: { kind: "schedule_restart", schedule: soon },
  });
  expect(
    post({ schedule: soon }, { ...primary, scheduledRestart: { schedule: soon } }).status,
  ).toBe(409);
  expect(post({ schedule: "2026-07-01T10:10:00" }).status).toBe(400);
  expect(post({ schedule: "2020-01-01T00:00:00Z" }).status).toBe(422);
  expect(post({ schedule: "tomorrow+00:00" }).status).toBe(422);
});

test("moves are refused with Patroni's codes: a node of one instance has nowhere to go", () => {
  const post = (path: string, body: string | undefined) =>
    ask(primary, path, { method: "POST", body });
  expect(post("/switchover", undefined).status).toBe(411);
  expect(post("/switchover", "{}").status).toBe(400);
  expect(post("/switchover", '{"leader":"a","candidate":"a"}').status).toBe(400);
  expect(post("/switchover", '{"leader":"a"}').status).toBe(412);
  expect(post("/failover", "{}").status).toBe(400);
  expect(post("/failover", '{"candidate":"b"}').status).toBe(412);
  expect(ask(primary, "/config", { method: "PATCH", body: "{}" }).status).toBe(503);
});

test("every metric has HELP and TYPE and both labels", () => {
  const lines = ask(primary, "/metrics").body.trimEnd().split("\n");
  const samples = lines.filter((line) => !line.startsWith("#"));
  expect(samples.length).toBeGreaterThan(28);
  for (const sample of samples) {
    expect(sample).toMatch(/^[a-z_]+\{scope="shop:n1",name="shop-n1-0f3k2m1q"\} -?[\d.]+$/);
    const name = sample.split("{")[0] ?? "";
    expect(lines.filter((line) => line.startsWith(`# HELP ${name} `))).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith(`# TYPE ${name} `))).toHaveLength(1);
  }
  expect(samples).toContain(
    'patroni_xlog_location{scope="shop:n1",name="shop-n1-0f3k2m1q"} 9223372036854775809',
  );
  expect(samples).toContain('patroni_version{scope="shop:n1",name="shop-n1-0f3k2m1q"} 040104');
  expect(ask(crashed, "/metrics").body).toContain('name="shop-n1-0f3k2m1q"} 14');
});
