// What is refused of `ha`, and what becomes of the rest.
import { describe, expect, test } from "bun:test";
import type { DatabaseSpec } from "./database-spec.ts";
import { HaSpec } from "./ha-spec.ts";
import { resolveNodes } from "./normalise.ts";
import { shapeProblems } from "./shape.ts";
import { checkHa } from "./validate-ha.ts";

function specWith(ha: HaSpec, ofNode: HaSpec = {}, hosts = ["h1", "h2", "h3"]): DatabaseSpec {
  return { database_name: "shop", ha, nodes: [{ name: "n1", host_ids: hosts, ha: ofNode }] };
}

function problems(...of: Parameters<typeof specWith>): readonly string[] {
  return checkHa(specWith(...of)).map(({ path, code }) => `${path} ${code}`);
}

describe("shape", () => {
  test("unknown fields and words are refused at once, each with its place", () => {
    const found = shapeProblems(HaSpec, { tttl: 5, ttl: 1, synchronous_mode: "yes", profile: 3 });
    expect(found.map(({ path, code }) => `${path} ${code}`).sort()).toEqual([
      "profile invalid_field_type",
      "synchronous_mode invalid_enum_value",
      "ttl invalid_range",
      "tttl unknown_field",
    ]);
  });
});

describe("times", () => {
  test("those of Patroni, and of every profile, are accepted", () => {
    expect(problems({ ttl: 30, loop_wait: 10, retry_timeout: 10 })).toEqual([]);
    for (const profile of ["default", "fast", "wide"] as const) {
      expect(problems({ profile })).toEqual([]);
    }
  });

  test("that do not fit are told where they were written", () => {
    expect(problems({ ttl: 29, loop_wait: 10, retry_timeout: 10 })).toEqual(["ha.ttl conflict"]);
    expect(problems({}, { loop_wait: 8 })).toEqual(["nodes[0].ha.ttl conflict"]);
    expect(problems({ loop_wait: 2 }, { profile: "fast", retry_timeout: 4 })).toEqual([
      "nodes[0].ha.ttl conflict",
    ]);
  });
});

describe("synchronous", () => {
  test("more standbys than there are", () => {
    const ha: HaSpec = { synchronous_mode: "on", synchronous_node_count: 3 };
    expect(problems(ha)).toEqual(["ha.synchronous_node_count conflict"]);
    expect(problems(ha, { synchronous_node_count: 2 })).toEqual([]);
    expect(problems({}, ha)).toEqual(["nodes[0].ha.synchronous_node_count conflict"]);
  });

  test("strict without a standby would stop all writes", () => {
    const ha: HaSpec = { synchronous_mode: "quorum", synchronous_mode_strict: true };
    expect(problems(ha, {}, ["h1"])).toEqual(["ha.synchronous_mode_strict conflict"]);
    expect(problems(ha)).toEqual([]);
  });
});

describe("settings", () => {
  const refused = (hosts: string[]) =>
    checkHa({
      database_name: "shop",
      postgresql_conf: { WAL_level: "minimal", max_wal_senders: 4 },
      nodes: [
        {
          name: "n1",
          host_ids: hosts,
          postgresql_conf: { synchronous_standby_names: "*", hot_standby: false },
        },
      ],
    }).map(({ path, code }) => `${path} ${code}`);

  test("under which there could be no standbys", () => {
    expect(refused(["h1", "h2", "h3"])).toEqual([
      "postgresql_conf.WAL_level conflict",
      "postgresql_conf.max_wal_senders conflict",
      "nodes[0].postgresql_conf.synchronous_standby_names owned",
      "nodes[0].postgresql_conf.hot_standby conflict",
    ]);
    expect(refused(["h1"])).toEqual([]);
  });
});

describe("tags", () => {
  test("of hosts that are not there, of another type, misspelt, or of a bad name", () => {
    const tags = {
      h1: { nofailover: "yes", failover_priority: -1, zone: "a" },
      h2: { nofailovr: true, "a b": 1, replicatefrom: "h2" },
      h9: {},
    };
    expect(problems({}, { tags })).toEqual([
      "nodes[0].ha.tags.h1.nofailover malformed",
      "nodes[0].ha.tags.h1.failover_priority malformed",
      "nodes[0].ha.tags.h2.nofailovr unknown",
      "nodes[0].ha.tags.h2.a b malformed",
      "nodes[0].ha.tags.h2.replicatefrom conflict",
      "nodes[0].ha.tags.h9 unknown",
    ]);
  });
});

describe("what becomes of it", () => {
  test("the node's fields win one by one; ports are given where there are several hosts", () => {
    const ha: HaSpec = { ttl: 30, profile: "wide", tags: { h1: { zone: "a", nosync: true } } };
    const [node] = resolveNodes(specWith(ha, { ttl: 40, tags: { h1: { zone: "b" } } }));
    expect(node?.ha).toMatchObject({ ttl_ms: 40_000, loop_ms: 5_000, retry_ms: 15_000 });
    expect(node?.tags.get("h1")).toEqual({ zone: "b", nosync: true });
    expect([node?.port, node?.patroniPort]).toEqual([0, 0]);
    const [single] = resolveNodes(specWith({}, {}, ["h1"]));
    expect([single?.port, single?.patroniPort]).toEqual([undefined, undefined]);
  });

  test("without a word of the user, the default profile", () => {
    const [node] = resolveNodes(specWith({}));
    expect(node?.ha).toEqual({
      profile: "default",
      ttl_ms: 15_000,
      loop_ms: 2_000,
      retry_ms: 4_000,
      guard_ms: 2_000,
      maximum_lag_bytes: 1_048_576,
      primary_start_timeout_ms: 10_000,
      primary_stop_timeout_ms: 0,
      failsafe: true,
      synchronous: {
        mode: "off",
        count: 1,
        strict: false,
        selection: "first",
        degrade_after_ms: 10_000,
      },
    });
  });
});
