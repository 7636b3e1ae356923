// What is refused of permanent slots, each with its place.
import { expect, test } from "bun:test";
import type { DatabaseSpec } from "./database-spec.ts";
import { resolveNodes } from "./normalise.ts";
import type { SlotSpec } from "./slots.ts";
import { checkSlots, checkSlotVersions } from "./validate-slots.ts";

function specWith(slots: readonly SlotSpec[], more: Partial<DatabaseSpec> = {}): DatabaseSpec {
  const nodes = [{ name: "n1", host_ids: ["h1", "h2"], slots: [...slots] }];
  return { database_name: "shop", postgres_version: "17.11", nodes, ...more };
}

const problems = (...of: Parameters<typeof specWith>) =>
  checkSlots(specWith(...of)).map(({ path, code }) => `${path} ${code}`);

test("a logical slot is for the application's database and pgoutput, unless it says otherwise", () => {
  const spec = specWith([
    { name: "feed", type: "logical" },
    { name: "archive", type: "physical" },
    { name: "audit", type: "logical", plugin: "test_decoding", database: "other" },
  ]);
  expect(checkSlots(spec)).toEqual([]);
  expect(resolveNodes(spec)[0]?.slots).toEqual([
    { name: "archive", type: "physical" },
    { name: "audit", type: "logical", plugin: "test_decoding", database: "other" },
    { name: "feed", type: "logical", plugin: "pgoutput", database: "shop" },
  ]);
});

test.each<[SlotSpec, string]>([
  [{ name: "Feed", type: "physical" }, "nodes[0].slots[0].name malformed"],
  [{ name: "a-b", type: "physical" }, "nodes[0].slots[0].name malformed"],
  [{ name: "pgherd_member_x", type: "physical" }, "nodes[0].slots[0].name reserved"],
  [{ name: "a", type: "physical", plugin: "pgoutput" }, "nodes[0].slots[0].plugin conflict"],
  [{ name: "a", type: "physical", database: "shop" }, "nodes[0].slots[0].database conflict"],
  [{ name: "a", type: "logical", plugin: "../x" }, "nodes[0].slots[0].plugin malformed"],
  [
    { name: "a", type: "logical", database: "x".repeat(64) },
    "nodes[0].slots[0].database malformed",
  ],
])("%j is refused", (slot, problem) => {
  expect(problems([slot])).toEqual([problem]);
});

test("two of one name, and more than there is room for", () => {
  const slot = (name: string): SlotSpec => ({ name, type: "physical" });
  expect(problems([slot("a"), slot("b"), slot("a")])).toEqual(["nodes[0].slots[2].name duplicate"]);
  // 16 slots; one is the other member's, two are to spare.
  const many = (count: number) => Array.from({ length: count }, (_, at) => slot(`s${at}`));
  expect(problems(many(13))).toEqual([]);
  expect(problems(many(14))).toEqual(["nodes[0].slots conflict"]);
  expect(problems(many(14), { postgresql_conf: { Max_Replication_Slots: 17 } })).toEqual([]);
});

test("logical slots need a log that can be decoded, and a version that keeps them", () => {
  const logical: SlotSpec[] = [{ name: "feed", type: "logical" }];
  const replica = { postgresql_conf: { wal_level: "replica" } };
  expect(problems(logical, replica)).toEqual(["nodes[0].slots conflict"]);
  const versions = (spec: DatabaseSpec) => checkSlotVersions(resolveNodes(spec));
  const old = { postgres_version: "15.18" };
  expect(versions(specWith(logical))).toEqual([]);
  expect(versions(specWith(logical, { postgres_version: "16.9" }))).toEqual([]);
  expect(versions(specWith([{ name: "a", type: "physical" }], old))).toEqual([]);
  const [refused] = versions(specWith(logical, old));
  expect(refused).toMatchObject({ path: "nodes[0].slots", code: "unsupported" });
  expect(refused?.message).toContain("PostgreSQL 15 cannot keep logical slots");
  const lone = [{ name: "n1", host_ids: ["h1"], slots: logical }];
  expect(versions({ ...specWith([]), ...old, nodes: lone })).toEqual([]);
});
