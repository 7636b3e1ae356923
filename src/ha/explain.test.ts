// What would happen if something died, in the words of the members that would be left.
import { expect, test } from "bun:test";
import { epoch, lease, member, SETTINGS, status } from "../../test/support/ha-situations.ts";
import { explainLoss, type NodeFacts } from "./explain.ts";
import { chapters } from "./history.ts";
import { recordOf } from "./quorum.ts";
import { nobody } from "./sync.ts";

const facts: NodeFacts = {
  members: [member("a"), member("b"), member("c")],
  initialPrimary: "a",
  settings: SETTINGS,
  lease: lease(),
  statuses: [
    status("a", { role: "primary", upstream: null }),
    status("b", { receive_lsn: "0/60" }),
    status("c"),
  ],
  silent: [],
  history: [epoch(1, "b"), epoch(2, "a")],
  intents: [],
  wallMs: 0,
};

function synchronously(voters: readonly string[], count: number): NodeFacts {
  const sync = recordOf({ standbys: voters, count, blocked: false }, 1);
  return { ...facts, lease: lease({ sync }) };
}

test("the loss of an asynchronous primary: the one with the most takes over, and recent writes are lost", () => {
  expect(explainLoss(facts, ["a"])).toMatchObject({
    primary: "c",
    loses: "recent writes",
    writes_stop_ms: 8_017,
  });
});

test("only a voter takes over from a synchronous one, and nothing is lost", () => {
  expect(explainLoss(synchronously(["b"], 1), ["a"])).toMatchObject({
    primary: "b",
    loses: "nothing",
  });
  const both = explainLoss(synchronously(["b"], 1), ["a", "b"]);
  expect(both.primary).toBeNull();
  expect(both.sentence).toContain("only b is known to have all commits");
});

test("a quorum takes over when enough of it is left", () => {
  expect(explainLoss(synchronously(["b", "c"], 1), ["a"]).primary).toBe("c");
  expect(explainLoss(synchronously(["b", "c"], 1), ["a", "c"]).primary).toBeNull();
  expect(explainLoss(synchronously(["b", "c"], 2), ["a", "c"]).primary).toBe("b");
});

test("the loss of a standby that commits wait for", () => {
  const one = { ...synchronously(["b"], 1), statuses: facts.statuses.slice(0, 2) };
  expect(explainLoss(one, ["b"])).toMatchObject({ primary: "a", writes_stop_ms: 10_000 });
  expect(explainLoss(facts, ["b"])).toMatchObject({ primary: "a", writes_stop_ms: 0 });
});

test("nobody takes over during a pause, or when nobody is known to have all commits", () => {
  const pause = { id: "p", payload: { kind: "pause" }, state: "pending" } as const;
  const paused = { ...facts, intents: [{ ...pause, not_before_ms: null, expires_at_ms: null }] };
  expect(explainLoss(paused, ["a"])).toMatchObject({ primary: null });
  const bare = { ...facts, lease: lease({ sync: nobody(3) }) };
  expect(explainLoss(bare, ["a"]).sentence).toContain("only a is known to have all commits");
});

test("the history tells who took over from whom, newest first", () => {
  const past = [epoch(1, "a"), epoch(2, "b", { reason: "a did not renew its lease" })];
  const told = chapters(past.map((row, at) => ({ ...row, at_ms: at })));
  expect(told.map(({ sentence }) => sentence)).toEqual([
    "b became primary: a did not renew its lease; timeline 2 follows 1 at 0/14",
    "a began the node",
  ]);
});
