import { expect, test } from "bun:test";
import { sampleNode, sampleService, sampleSpec } from "../../test/support/spec-samples.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { validateUpdate } from "./validate-update.ts";

function check(previous: Partial<DatabaseSpec>, next: Partial<DatabaseSpec>): readonly string[] {
  const problems = validateUpdate(sampleSpec(previous), sampleSpec(next), "t", "t");
  return problems.map(({ path, code }) => `${path} ${code}`);
}

const n2 = sampleNode({ name: "n2", host_ids: ["h2"] });
const n3 = sampleNode({ name: "n3", host_ids: ["h3"] });

test("no change is no problem", () => {
  expect(check({ postgres_version: "17.11" }, { postgres_version: "17.11" })).toEqual([]);
});

test.each([
  ["t", "u"],
  [undefined, "t"],
  ["t", undefined],
])("the tenant cannot change from %p to %p", (before, after) => {
  const [problem] = validateUpdate(sampleSpec(), sampleSpec(), before, after);
  expect(problem).toMatchObject({ path: "tenant_id", code: "immutable" });
});

test("no tenant before and after is fine", () => {
  expect(validateUpdate(sampleSpec(), sampleSpec(), undefined, undefined)).toEqual([]);
});

test("the database's name cannot change", () => {
  expect(check({}, { database_name: "other" })).toEqual(["database_name immutable"]);
});

test("a minor version can change, a major cannot", () => {
  expect(check({ postgres_version: "17.10" }, { postgres_version: "17.11" })).toEqual([]);
  expect(check({ postgres_version: "17.11" }, { postgres_version: "18.4" })).toEqual([
    "postgres_version immutable",
  ]);
});

test("a major is bound to instances: the path says where it comes from, new ones are free", () => {
  const previous = { postgres_version: "17.11", nodes: [sampleNode(), n2] };
  const own = [{ ...sampleNode(), postgres_version: "18.4" }, n2];
  expect(check(previous, { postgres_version: "17.11", nodes: own })).toEqual([
    "nodes[0].postgres_version immutable",
  ]);
  const moved = [{ ...sampleNode(), host_ids: ["h9"], postgres_version: "18.4" }, n2];
  expect(check(previous, { postgres_version: "17.11", nodes: moved })).toEqual([]);
  const added = [sampleNode(), n2, { ...n3, postgres_version: "18.4" }];
  expect(check(previous, { postgres_version: "17.11", nodes: added })).toEqual([]);
});

test("a new node can be copied from an existing one only", () => {
  const previous = { nodes: [sampleNode()] };
  expect(check(previous, { nodes: [sampleNode(), { ...n2, source_node: "n1" }] })).toEqual([]);
  expect(check(previous, { nodes: [sampleNode(), n2, { ...n3, source_node: "n2" }] })).toEqual([
    "nodes[2].source_node unknown",
  ]);
});

test("an existing node keeps its source although that is gone", () => {
  const copied = { ...n2, source_node: "n1" };
  expect(check({ nodes: [n3, copied] }, { nodes: [n3, copied] })).toEqual([]);
});

test("initial values of a service are given once", () => {
  const mcp = (config: Record<string, unknown>) => ({
    services: [sampleService({ service_type: "mcp", config })],
  });
  expect(check(mcp({}), mcp({ init_token: "a", init_users: [] }))).toEqual([
    "services[0].config.init_token immutable",
    "services[0].config.init_users immutable",
  ]);
  expect(check(mcp({ init_token: "a" }), mcp({ init_token: "a" }))).toEqual([]);
  expect(check({}, mcp({ init_token: "a" }))).toEqual([]);
});
