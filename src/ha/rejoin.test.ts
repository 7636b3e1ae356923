// How data that is here becomes that of a standby: one case for every branch of the tree.
import { describe, expect, test } from "bun:test";
import {
  data,
  epoch,
  lease,
  local,
  member,
  NOW,
  standby,
  status,
  view,
} from "../../test/support/ha-situations.ts";
import type { LeaseRow } from "./lease.ts";
import type { LocalView } from "./observed.ts";
import { planRejoin, upstreamOf } from "./rejoin.ts";
import { situationOf } from "./situation.ts";
import type { GroupView } from "./state.ts";

const stopped = { kind: "stopped", crash: null, empty: true } as const;

function plan(part: Partial<LocalView>, row: LeaseRow = lease(), of: Partial<GroupView> = {}) {
  return planRejoin(situationOf(view("b", row, of), local(part), NOW), row, "a");
}

describe("data that is part of the history", () => {
  test("is followed, on the same timeline or where it ended before the next began", () => {
    expect(plan({})).toMatchObject({ kind: "follow", upstream: "a" });
    const before = standby({ timeline: 1, received: 0x14n });
    expect(plan({ postgres: before })).toMatchObject({ kind: "follow", upstream: "a" });
  });

  test("is held back from a member that is not primary yet and may have less", () => {
    const row = lease({ phase: "acquiring" });
    const ahead = standby({ received: 200n });
    expect(plan({ postgres: ahead }, row)).toMatchObject({ kind: "follow", upstream: null });
    expect(plan({}, row)).toMatchObject({ kind: "follow", upstream: "a" });
  });

  test("of unknown end is started alone, to find it out", () => {
    const crashed = { data: data({ role: "primary" }), postgres: stopped } as const;
    expect(plan(crashed)).toMatchObject({ kind: "follow", upstream: null });
  });

  test("of a standby is not waited for, but a vote is kept", () => {
    const unseen = { data: data(), postgres: stopped } as const;
    expect(plan(unseen)).toMatchObject({ kind: "follow", upstream: "a" });
    const vote = { epoch: 2, seq: 7, nonce: "nonce", timeline: 2, lsn: "0/64" };
    expect(plan({ ...unseen, vote })).toMatchObject({ kind: "follow", upstream: null });
    expect(plan({ vote })).toMatchObject({ kind: "follow", upstream: null });
    expect(plan({ vote: { ...vote, seq: 6 } })).toMatchObject({ upstream: "a" });
  });
});

describe("data that is not", () => {
  const diverged = { postgres: standby({ timeline: 1, received: 0x15n }) };

  test("is turned back, by one byte too much", () => {
    expect(plan(diverged)).toMatchObject({ kind: "rewind", source: "a" });
  });

  test("also where its timeline is not in the history at all (H2)", () => {
    const branch = { postgres: standby({ timeline: 3, received: 1n }) };
    const history = [
      epoch(1, "b"),
      epoch(2, "a"),
      epoch(3, "b"),
      epoch(4, "a", { from_timeline: 2 }),
    ];
    const row = lease({ epoch: 4, timeline: 4 });
    expect(plan(branch, row, { history })).toMatchObject({ kind: "rewind", source: "a" });
  });

  test("waits for the first checkpoint of the new primary (H7), and for it to be primary", () => {
    expect(plan(diverged, lease({ checkpoint_done: false }))).toMatchObject({ kind: "wait" });
    expect(plan(diverged, lease({ phase: "promoting" }))).toMatchObject({ kind: "wait" });
  });

  test("is copied anew where rewinding cannot work, or failed too often (H19)", () => {
    const bare = { ...diverged, data: data({ rewindable: false }) };
    expect(plan(bare)).toMatchObject({ kind: "clone", source: "a" });
    const attempts = {
      failedPromotions: [],
      crashesAtMs: [],
      rejoin: { rewinds: 2, clones: 0, retryAtMs: 0, error: "no" },
    };
    expect(plan({ ...diverged, attempts })).toMatchObject({ kind: "clone", source: "a" });
  });
});

describe("what cannot be used", () => {
  test("no data, cut copies, cut rewinds (H18) and stranded standbys are copied", () => {
    const source = { kind: "clone", source: "a" };
    expect(plan({ data: { kind: "absent", hadData: true }, postgres: stopped })).toMatchObject(
      source,
    );
    for (const of of ["clone", "rewind"] as const) {
      expect(plan({ data: { kind: "unfinished", of }, postgres: stopped })).toMatchObject(source);
    }
    expect(plan({ postgres: standby({ stranded: "gone" }) })).toMatchObject(source);
  });

  test("a standby that is tagged clonefrom spares the primary", () => {
    const members = [member("a"), member("b"), member("c", { clonefrom: true })];
    const empty = { data: { kind: "absent", hadData: false }, postgres: stopped } as const;
    expect(plan(empty, lease(), { members })).toMatchObject({ kind: "clone", source: "c" });
  });
});

describe("replicatefrom", () => {
  const follow = (tags: Record<string, string>, others: Partial<GroupView> = {}) => {
    const members = ["a", "b", "c"].map((id) =>
      member(id, tags[id] ? { replicatefrom: tags[id] } : {}),
    );
    return upstreamOf(situationOf(view("b", lease(), { members, ...others }), local(), NOW), "a");
  };

  test("names an instance or its host, while that one streams", () => {
    expect(follow({ b: "c" })).toBe("c");
    expect(follow({ b: "host-c" })).toBe("c");
    const silent = new Map([["c", { status: status("c", { streaming: false }), heardAtMs: NOW }]]);
    expect(follow({ b: "c" }, { others: silent })).toBe("a");
  });

  test("circles lead to the primary (H28)", () => {
    expect(follow({ b: "c", c: "b" })).toBe("a");
    expect(follow({ b: "b" })).toBe("a");
  });
});
