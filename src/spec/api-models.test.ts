import { expect, test } from "bun:test";
import { type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { sampleSpec } from "../../test/support/spec-samples.ts";
import { apiModels, modelNameOf } from "./api-models.ts";
import { DatabaseSpec } from "./database-spec.ts";
import { Task } from "./task.ts";

/** Every schema inside of one, with where it is. */
function* inside(schema: TSchema, path: string): Generator<readonly [string, TSchema]> {
  yield [path, schema];
  const properties: Readonly<Record<string, TSchema>> = schema.properties ?? {};
  for (const [name, inner] of Object.entries(properties)) yield* inside(inner, `${path}.${name}`);
  if (schema.items) yield* inside(schema.items, `${path}[]`);
}

const all = Object.entries(apiModels).flatMap(([name, schema]) => [...inside(schema, name)]);

test("every object says what other fields it takes; those with named fields take none", () => {
  const objects = all.filter(([, schema]) => schema.type === "object");
  expect(objects.length).toBeGreaterThan(100);
  for (const [path, schema] of objects) {
    const named = Object.keys(schema.properties ?? {}).length > 0;
    expect({ path, open: schema.additionalProperties === undefined }).toEqual({
      path,
      open: false,
    });
    if (named) expect({ path, more: schema.additionalProperties }).toEqual({ path, more: false });
  }
});

test("there are no unions, whose errors would not name the field", () => {
  expect(all.filter(([, schema]) => schema.anyOf !== undefined).map(([path]) => path)).toEqual([]);
});

test("a model is recognised wherever it is used", () => {
  expect(modelNameOf(Type.Optional(DatabaseSpec))).toBe("DatabaseSpec");
  expect(modelNameOf(apiModels.CreateDatabaseResponse.properties.task)).toBe("Task");
  expect(modelNameOf(apiModels.DatabaseScripts.properties.post_init)).toBe("SQLScript");
  expect(modelNameOf(Type.Array(Task))).toBeUndefined();
  expect(modelNameOf(Type.String())).toBeUndefined();
});

test.each([
  ["", { unknown: 1 }],
  ["/nodes/0", { nodes: [{ name: "n1", host_ids: ["h1"], unknown: 1 }] }],
  ["/orchestrator_opts", { orchestrator_opts: { unknown: 1 } }],
  ["/scripts", { scripts: { unknown: 1 } }],
])("an unknown field is refused at %s", (path, fields) => {
  const errors = [...Value.Errors(DatabaseSpec, { ...sampleSpec(), ...fields })];
  expect(errors.map((error) => error.path)).toEqual([`${path}/unknown`]);
});

test.each([
  ["database_name", "x".repeat(32)],
  ["nodes", []],
  ["nodes", Array.from({ length: 10 }, () => ({ name: "n1", host_ids: ["h1"] }))],
  ["port", 65_536],
  ["port", -1],
  ["port", 1.5],
  ["port", "5432"],
  ["postgres_version", "17"],
  ["cpus", "0.0001"],
  ["database_users", Array.from({ length: 17 }, () => ({ username: "u" }))],
  ["postgresql_conf", Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`a${i}`, 1]))],
  ["scripts", { post_init: Array.from({ length: 257 }, () => "SELECT 1") }],
  ["extensions", ["No Such"]],
])("%s is refused outside of its limits", (field, value) => {
  const errors = [...Value.Errors(DatabaseSpec, { ...sampleSpec(), [field]: value })];
  expect(errors.length).toBeGreaterThan(0);
  expect(errors[0]?.path).toStartWith(`/${field}`);
});
