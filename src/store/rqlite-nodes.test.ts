// What is read back from the store about its nodes; a node that answers is played.
import { afterEach, expect, test } from "bun:test";
import { type Clock, systemClock } from "../base/clock.ts";
import { Secret } from "../base/secret.ts";
import { awaitVote } from "./rqlite-nodes.ts";

let server: ReturnType<typeof Bun.serve> | undefined;
afterEach(() => server?.stop(true));

/** A node that tells in turn whether h2 votes; the last answer stays. */
function node(votes: readonly boolean[]) {
  let asked = 0;
  server = Bun.serve({
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

test("a vote is there when the store says so", async () => {
  const { access, asked } = node([false, false, true]);
  await awaitVote([access], quickClock(), "h2");
  expect(asked()).toBe(3);
});

test("a node that was taken in without a vote has none, however it asked", async () => {
  const { access, asked } = node([false]);
  const waiting = awaitVote([access], quickClock(), "h2");
  await expect(waiting).rejects.toThrow("the store does not count the vote of h2");
  expect(asked()).toBeGreaterThan(10);
});

test("a node that is not there has none", async () => {
  const { access } = node([true]);
  await expect(awaitVote([access], quickClock(), "h3")).rejects.toThrow("vote of h3");
});
