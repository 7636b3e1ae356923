import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { closed, mapOf, oneOf } from "./closed.ts";
import { shapeProblems } from "./shape.ts";

const Thing = closed({
  id: Type.String({ pattern: "^a", maxLength: 3 }),
  kind: Type.Optional(oneOf(["full", "diff"])),
  parts: Type.Array(closed({ size: Type.Integer({ minimum: 1, maximum: 9 }) }), { minItems: 1 }),
  labels: Type.Optional(mapOf(Type.String())),
  at: Type.Optional(Type.String({ format: "date-time" })),
  ref: Type.Optional(Type.String({ format: "uuid" })),
  note: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});

function lines(value: unknown): string[] {
  return shapeProblems(Thing, value, "body").map(
    ({ path, code, message, hint }) => `${path} ${code} ${message}${hint ? ` (${hint})` : ""}`,
  );
}

describe("shapeProblems", () => {
  test("a value that fits has none", () => {
    const value = { id: "a1", parts: [{ size: 1 }], at: "2026-01-31T12:00:00.5+01:00" };
    expect(lines(value)).toEqual([]);
  });

  test("reports every problem once, with its path", () => {
    const value = {
      kind: "half",
      parts: [{ size: 0 }, { size: "3" }, { sise: 3 }],
      labels: { team: 1 },
      at: "yesterday",
      ref: "x",
      note: 3,
    };
    expect(lines(value).sort()).toEqual([
      "body.at invalid_format must be a date and time as in RFC 3339, such as 2026-01-31T12:00:00Z",
      "body.id missing_field is required",
      "body.kind invalid_enum_value must be one of full, diff",
      "body.labels.team invalid_field_type must be a string",
      "body.note invalid_field_type must be a string or null",
      "body.parts[0].size invalid_range must be at least 1",
      "body.parts[1].size invalid_field_type must be an integer",
      "body.parts[2].sise unknown_field unknown field (did you mean size?)",
      "body.parts[2].size missing_field is required",
      "body.ref invalid_format must be a UUID",
    ]);
  });

  test("never repeats a value", () => {
    const value = { id: "hunter2-hunter2", parts: "hunter2", secret: "hunter2" };
    expect(lines(value).join()).not.toContain("hunter2");
  });

  test("the whole may be of the wrong type", () => {
    expect(lines([])).toEqual(
      expect.arrayContaining(["body invalid_field_type must be an object"]),
    );
    expect(lines(null)).toEqual(["body invalid_field_type must be an object"]);
  });

  test.each([
    "2026-01-31",
    "2026-13-01T00:00:00Z",
    "2026-01-31T12:00:00",
    "2026-01-31T12:00:00Zx",
    "2026-01-31T25:00:00Z",
    "2026-01-31T12:00:00xZ",
  ])("refuses the date and time %s", (at) => {
    expect(shapeProblems(Type.String({ format: "date-time" }), at)).toHaveLength(1);
  });
});
