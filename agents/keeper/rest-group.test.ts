// Patroni's API in a group of three: who leads, who is synchronous, what is asked of the node.
import { expect, test } from "bun:test";
import type { LeaseRow } from "../../src/ha/lease.ts";
import type { HaMember, HaSettings } from "../../src/ha/settings.ts";
import type { GroupView, HaIntent, IntentPayload, MemberStatus } from "../../src/ha/state.ts";
import { answerRest } from "./rest-answers.ts";
import type { RestGroup } from "./rest-group.ts";
import type { RestView } from "./rest-json.ts";
import type { RestRequest } from "./rest-messages.ts";

const nowMs = 1_782_900_000_000;
const settings: HaSettings = {
  ttl_ms: 15_000,
  loop_ms: 2_000,
  retry_ms: 4_000,
  guard_ms: 2_000,
  maximum_lag_bytes: 1_048_576,
  primary_start_timeout_ms: 10_000,
  primary_stop_timeout_ms: 0,
  failsafe: true,
  profile: "default",
  synchronous: { mode: "on", count: 1, strict: false, selection: "any", degrade_after_ms: 0 },
};
const member = (instance_id: string, tags = {}): HaMember => ({
  instance_id,
  host_id: `h-${instance_id}`,
  addresses: [`10.0.0.${instance_id.charCodeAt(0) - 96}`],
  port: 5432,
  rest_port: 8008,
  tags,
});
const row: LeaseRow = {
  epoch: 3,
  seq: 9,
  nonce: "x",
  holder: "a",
  incarnation: "a-1",
  ttl_ms: 8_000,
  phase: "open",
  timeline: 3,
  next_timeline: 4,
  system_identifier: "75",
  members: ["a", "b", "c"],
  sync: { version: 1, mode: "on", voters: ["b"], quorum: 1, count: 1 },
  optime: "0/2000000",
  checkpoint_done: true,
  ending: null,
};
const status: MemberStatus = {
  instance_id: "c",
  incarnation: "c-1",
  beat: 1,
  state: "standby",
  role: "standby",
  system_identifier: "75",
  timeline: 3,
  receive_lsn: "0/1FFFF00",
  replay_lsn: "0/1FFF000",
  streaming: true,
  upstream: "a",
  seen: { epoch: 3, seq: 9 },
  vote: null,
  unfit: null,
  leaving: false,
};
const intent = (id: string, payload: IntentPayload, atMs: number | null = null): HaIntent => ({
  id,
  payload,
  state: "pending",
  not_before_ms: atMs,
  expires_at_ms: null,
});
const view: GroupView = {
  self: "a",
  incarnation: "a-1",
  members: [member("a"), member("b", { zone: "x", noloadbalance: true }), member("c")],
  initialPrimary: "a",
  settings,
  lease: { row, readAtMs: 90_000, seenAtMs: 90_000, wentBack: false },
  own: { row, deadlineMs: 100_000, renewedAtMs: 94_000, changing: null, failsafe: false },
  history: [],
  others: new Map([["c", { status, heardAtMs: 1 }]]),
  intents: [],
  promise: null,
  wallMs: nowMs,
};
const group: RestGroup = { view, history: [], state: "primary", bootMs: 95_000 };
const server = {
  startedAt: "2026-07-01 10:00:00.123456+00:00",
  startedAtEpoch: "1782900000.123456",
  versionNumber: 170011,
  timeline: 3,
  flushLsn: 0x2000000n,
  receiveLsn: undefined,
  replayLsn: undefined,
  replayTimestamp: undefined,
  replayPaused: false,
  replicationState: undefined,
  replication: [],
};
const primary: RestView = {
  state: "running",
  role: "primary",
  scope: "shop:n1",
  name: "a",
  config: undefined,
  server,
  systemIdentifier: "75",
  pendingRestart: [],
  storeSeenAt: 1,
  cycleAgeMs: 1,
  scheduledRestart: undefined,
  appliedGeneration: 1,
  group,
};
const standby = (self: string, change: Partial<GroupView> = {}): RestView => ({
  ...primary,
  name: self,
  role: "replica",
  server: {
    ...server,
    flushLsn: undefined,
    receiveLsn: 0x1f00000n,
    replayLsn: 0x1e00000n,
    replicationState: "streaming",
  },
  group: { ...group, state: "standby", view: { ...view, self, own: null, ...change } },
});
const inGroup = (change: Partial<GroupView>, more: Partial<RestGroup> = {}): RestView => ({
  ...primary,
  group: { ...group, ...more, view: { ...view, ...change } },
});
const held = view.own;
const gated = held && { ...held, row: { ...row, phase: "gated" } as const };

function ask(of: RestView, url: string, more: Partial<RestRequest> = {}) {
  return answerRest({ method: "GET", url, body: undefined, trusted: true, ...more }, of, nowMs);
}
const post = (of: RestView, url: string, body: object, method = "POST") =>
  ask(of, url, { method, body: JSON.stringify(body) });

test.each([
  ["the lease is held and open", primary, 200, 200],
  ["the deadline has passed, whatever the loop does", inGroup({}, { bootMs: 100_000 }), 503, 503],
  ["the gate is closed", inGroup({ own: gated }), 503, 200],
  ["it closes in order", inGroup({}, { state: "draining" }), 503, 200],
  ["another holds the lease", inGroup({ own: null }), 503, 503],
  [
    "paused, and the store has said nothing yet",
    inGroup({ own: null, lease: null, intents: [intent("p", { kind: "pause" })] }),
    200,
    503,
  ],
] as const)("/primary and /leader when %s", (_, of, primaryCode, leaderCode) => {
  expect(ask(of, "/primary").status).toBe(primaryCode);
  expect(ask(of, "/", { method: "OPTIONS" }).status).toBe(primaryCode);
  expect(ask(of, "/leader").status).toBe(leaderCode);
});

test("standbys by what commits wait for, tags and lag", () => {
  const quorum = {
    settings: { ...settings, synchronous: { ...settings.synchronous, mode: "quorum" } },
  } as const;
  const codes = (of: RestView, urls: readonly string[]) => urls.map((url) => ask(of, url).status);
  const urls = ["/replica", "/sync", "/quorum", "/async", "/read-only", "/read-only-sync"];
  expect(codes(standby("c"), urls)).toEqual([200, 503, 503, 200, 200, 503]);
  expect(
    codes(standby("c", { members: [member("c")], lease: view.lease }), ["/replica?tag_zone=x"]),
  ).toEqual([503]);
  const voter = {
    members: view.members.map(({ tags: _, ...each }) => ({ ...each, tags: { zone: "x" } })),
  };
  expect(codes(standby("b", voter), urls)).toEqual([200, 200, 503, 503, 200, 200]);
  expect(codes(standby("b", { ...voter, ...quorum }), urls)).toEqual([
    200, 503, 200, 503, 200, 503,
  ]);
  expect(codes(standby("b", voter), ["/replica?tag_zone=x", "/replica?tag_zone=y"])).toEqual([
    200, 503,
  ]);
  // noloadbalance keeps readers away, not the synchronous role.
  expect(ask(standby("b"), "/replica").status).toBe(503);
  // The leader is at 0/2000000: two megabytes ahead of what was replayed, one of what was received.
  expect(codes(standby("c"), ["/replica?lag=2MB", "/replica?lag=2097151"])).toEqual([200, 503]);
  expect(
    codes(standby("c"), ["/readiness", "/readiness?mode=write", "/readiness?lag=2MB"]),
  ).toEqual([503, 200, 200]);
});

test("the cluster with all members, their roles, positions and the switchover to come", () => {
  const atMs = nowMs + 3_600_000;
  const of = inGroup({ intents: [intent("s", { kind: "switchover", from: "a", to: "b" }, atMs)] });
  expect(JSON.parse(ask(of, "/cluster").body)).toEqual({
    members: [
      {
        name: "a",
        role: "leader",
        state: "running",
        api_url: "http://10.0.0.1:8008/patroni",
        host: "10.0.0.1",
        port: 5432,
        timeline: 3,
      },
      {
        name: "b",
        role: "sync_standby",
        state: "unknown",
        api_url: "http://10.0.0.2:8008/patroni",
        host: "10.0.0.2",
        port: 5432,
        receive_lsn: "unknown",
        receive_lag: "unknown",
        replay_lsn: "unknown",
        replay_lag: "unknown",
        lsn: "unknown",
        lag: "unknown",
        tags: { zone: "x", noloadbalance: true },
      },
      {
        name: "c",
        role: "replica",
        state: "streaming",
        api_url: "http://10.0.0.3:8008/patroni",
        host: "10.0.0.3",
        port: 5432,
        timeline: 3,
        receive_lsn: "0/1FFFF00",
        receive_lag: 256,
        replay_lsn: "0/1FFF000",
        replay_lag: 4096,
        lsn: "0/1FFF000",
        lag: 4096,
      },
    ],
    scheduled_switchover: { at: "2026-07-01T11:00:00.000+00:00", from: "a", to: "b" },
    scope: "shop:n1",
  });
});

test("history, settings and the addresses of the members", () => {
  const epoch = { incarnation: "i", lost: null };
  const history = [
    {
      ...epoch,
      epoch: 1,
      instance_id: "b",
      timeline: 1,
      from_timeline: null,
      switch_lsn: null,
      reason: "created",
      at_ms: 0,
    },
    {
      ...epoch,
      epoch: 2,
      instance_id: "a",
      timeline: 2,
      from_timeline: 1,
      switch_lsn: "0/3000000",
      reason: "switchover",
      at_ms: nowMs,
    },
  ];
  const of = inGroup({}, { history });
  expect(JSON.parse(ask(of, "/history").body)).toEqual([
    [1, 0x3000000, "switchover", "2026-07-01T10:00:00.000+00:00", "a"],
  ]);
  expect(JSON.parse(ask(of, "/failsafe").body)).toEqual({
    a: "http://10.0.0.1:8008/patroni",
    b: "http://10.0.0.2:8008/patroni",
    c: "http://10.0.0.3:8008/patroni",
  });
  const alone = inGroup({ settings: { ...settings, failsafe: false } });
  expect(ask(alone, "/failsafe").status).toBe(502);
});

test("a switchover becomes an intent, or is refused as Patroni refuses it", () => {
  expect(post(primary, "/switchover", { leader: "a", candidate: "c" }).command).toEqual({
    kind: "handover",
    payload: { kind: "switchover", from: "a", to: "c" },
    atMs: null,
  });
  const later = post(primary, "/switchover", { leader: "a", scheduled_at: "2026-07-01T11:00:00Z" });
  expect([later.status, later.body]).toEqual([202, "Switchover scheduled"]);
  expect(later.command).toMatchObject({ atMs: nowMs + 3_600_000 });
  const codes: readonly [object, number][] = [
    [{}, 400],
    [{ leader: "a", candidate: "a" }, 400],
    [{ leader: "b" }, 412],
    [{ leader: "a", candidate: "z" }, 412],
    [{ leader: "a", scheduled_at: "2026-07-01T11:00:00" }, 400],
    [{ leader: "a", scheduled_at: "2026-06-01T11:00:00Z" }, 422],
  ];
  for (const [body, code] of codes) {
    const refused = post(primary, "/switchover", body);
    expect([refused.status, refused.command]).toEqual([code, undefined]);
  }
  expect(post(primary, "/failover", {}).status).toBe(400);
  expect(post(primary, "/failover", { candidate: "b" }).command).toMatchObject({
    payload: { kind: "failover", to: "b" },
  });
  expect(
    post(primary, "/failover", { candidate: "b", scheduled_at: "2026-07-01T11:00:00Z" }).status,
  ).toBe(400);
  const paused = inGroup({ intents: [intent("p", { kind: "pause" })] });
  expect(post(paused, "/switchover", { leader: "a" }).status).toBe(400);
});

test("what waits can be taken back, the group paused and resumed, a standby made anew", () => {
  const waiting = intent("s", { kind: "switchover", from: "a", to: null }, nowMs + 1);
  const scheduled = inGroup({ intents: [waiting] });
  expect(ask(scheduled, "/switchover", { method: "DELETE" }).command).toEqual({
    kind: "unschedule_handover",
    id: "s",
  });
  expect(ask(primary, "/switchover", { method: "DELETE" }).status).toBe(404);
  expect(post(primary, "/config", { pause: true }, "PATCH").command).toEqual({
    kind: "intend",
    payload: { kind: "pause" },
  });
  const paused = inGroup({ intents: [intent("p", { kind: "pause" })] });
  expect(post(paused, "/config", { pause: null }, "PATCH").command).toEqual({
    kind: "end_intents",
    ids: ["p"],
  });
  expect(post(primary, "/config", { ttl: 20 }, "PATCH")).toMatchObject({ status: 503 });
  expect(post(primary, "/reinitialize", {}).status).toBe(503);
  expect(post(standby("c"), "/reinitialize", { from_leader: true }).command).toEqual({
    kind: "intend",
    payload: { kind: "reinitialize", instance_id: "c", from: "a" },
  });
});

test("metrics and status follow the group", () => {
  const paused = inGroup({ intents: [intent("p", { kind: "pause" })] });
  const metrics = ask(paused, "/metrics").body;
  expect(metrics).toContain('patroni_is_paused{scope="shop:n1",name="a"} 1');
  expect(metrics).toContain('pgherd_keeper_deadline_seconds{scope="shop:n1",name="a"} 5.000');
  expect(JSON.parse(ask(paused, "/patroni").body)).toMatchObject({ pause: true });
  expect(JSON.parse(ask(standby("b"), "/patroni").body)).toMatchObject({
    sync_standby: true,
    tags: { zone: "x" },
  });
  expect(ask(standby("b"), "/metrics").body).toContain(
    'patroni_sync_standby{scope="shop:n1",name="b"} 1',
  );
});
