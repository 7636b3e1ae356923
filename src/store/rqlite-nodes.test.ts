// What is read back from the store about its nodes; a node that answers is played.
import { afterEach, expect, test } from "bun:test";
import { type Clock, systemClock } from "../base/clock.ts";
import { Secret } from "../base/secret.ts";
import { awaitVote, voteOf } from "./rqlite-nodes.ts";

const servers: ReturnType<typeof Bun.serve>[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true);
});

/** A node that tells in turn whether h2 votes, and always that h1 leads; the last answer stays. */
function node(votes: readonly boolean[]) {
  let asked = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => {
      const voter = votes[Math.min(asked++, votes.length - 1)];
      const nodes = [
        { id: "h1", addr: "10.0.0.1:4002", voter: true, leader: true },
        { id: "h2", addr: "10.0.0.2:4002", voter, leader: false },
      ];
      return Response.json({ nodes });
    },
  });
  servers.push(server);
  const credentials = { username: "server", password: new Secret("x") };
  return { access: { url: `http://127.0.0.1:${server.port}`, credentials }, asked: () => asked };
}

/** Sleeps take no time but are counted. */
function quickClock(): Clock {
  let sleptMs = 0;
  return {
    nowMs: () => systemClock.nowMs(),
    monotonicMs: () => sleptMs,
    sleep: async (ms) => {
      sleptMs += ms;
    },
    deadline: (ms, parent) => systemClock.deadline(ms, parent),
  };
}

/** What h2 and its leader say. */
function neighbourhood(own: readonly boolean[], leaders: readonly boolean[]) {
  const [self, leader] = [node(own), node(leaders)];
  return { self, leader, known: { self: self.access, others: new Map([["h1", leader.access]]) } };
}

test("a vote is there when the node and its leader say so", async () => {
  const { known, self, leader } = neighbourhood([false, false, true], [false, true]);
  await awaitVote(known, quickClock(), "h2");
  expect([self.asked(), leader.asked()]).toEqual([3, 3]);
});

test("a node that was taken in without a vote has none, however it asked", async () => {
  const { known, self } = neighbourhood([false], [true]);
  const waiting = awaitVote(known, quickClock(), "h2");
  await expect(waiting).rejects.toThrow("the store does not count the vote of h2");
  expect(self.asked()).toBeGreaterThan(10);
});

test("a vote that only the node itself knows of is none", async () => {
  const { known, leader } = neighbourhood([true], [false]);
  await expect(awaitVote(known, quickClock(), "h2")).rejects.toThrow("vote of h2");
  expect(leader.asked()).toBeGreaterThan(10);
});

test.each([
  { own: true, leaders: true, vote: true },
  { own: true, leaders: false, vote: false },
  { own: false, leaders: false, vote: false },
  // It has not heard of its vote yet: to ask for it once more would take it away.
  { own: false, leaders: true, vote: undefined },
])("own word $own, the leader's $leaders: $vote", async ({ own, leaders, vote }) => {
  const { known } = neighbourhood([own], [leaders]);
  expect(await voteOf(known, quickClock(), "h2")).toBe(vote);
});

test("a leader that nobody can ask counts no vote", async () => {
  const { self } = neighbourhood([true], [true]);
  const alone = { self: self.access, others: new Map() };
  await expect(awaitVote(alone, quickClock(), "h2")).rejects.toThrow("vote of h2");
});

test("a node that leads needs nobody else's word", async () => {
  const { self } = neighbourhood([true], [true]);
  await awaitVote({ self: self.access, others: new Map() }, quickClock(), "h1");
  expect(self.asked()).toBe(2);
});

test("a node that is not there has no vote", async () => {
  const { known } = neighbourhood([true], [true]);
  await expect(awaitVote(known, quickClock(), "h3")).rejects.toThrow("vote of h3");
});
