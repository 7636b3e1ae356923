// Checks untrusted JSON against a schema and says everything that is wrong with its shape, in words that
// name the field and never repeat the value, which may be a secret.
import { FormatRegistry, OptionalKind, type TSchema } from "@sinclair/typebox";
import { Value, type ValueError, ValueErrorType } from "@sinclair/typebox/value";
import { isUuid } from "../base/ids.ts";
import { nearest } from "../base/nearest.ts";
import type { Diagnostic } from "../base/result.ts";

/** Kinds of problems, by the names that the v1 API uses for them. */
export type ShapeCode =
  | "missing_field"
  | "invalid_length"
  | "invalid_pattern"
  | "invalid_enum_value"
  | "invalid_range"
  | "invalid_format"
  | "invalid_field_type"
  | "unknown_field";

export interface ShapeProblem extends Diagnostic {
  readonly code: ShapeCode;
}

/** Most problems reported of one value; more would help nobody. */
const PROBLEMS_MAX = 64;

const DATE_TIME = /^\d{4}-(0\d|1[0-2])-([0-2]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)/;
const OFFSET = /(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/** RFC 3339 section 5.6 date-time. */
function isDateTime(text: string): boolean {
  return DATE_TIME.test(text) && OFFSET.test(text.slice(19)) && OFFSET.exec(text)?.index === 19;
}

FormatRegistry.Set("uuid", isUuid);
FormatRegistry.Set("date-time", isDateTime);

/**
 * Every problem with the shape of `value`, at most one per field; empty when it fits.
 * Paths start with `root`, e.g. `body.spec.nodes[0].name`.
 */
export function shapeProblems(schema: TSchema, value: unknown, root = ""): readonly ShapeProblem[] {
  const problems = new Map<string, ShapeProblem>();
  for (const error of Value.Errors(schema, value)) {
    const path = fieldPath(error.path, root);
    if (problems.has(path)) continue;
    problems.set(path, problemOf(error, path));
    if (problems.size >= PROBLEMS_MAX) break;
  }
  return [...problems.values()];
}

/** `/spec/nodes/0/name` below `body` is `body.spec.nodes[0].name`. */
function fieldPath(pointer: string, root: string): string {
  let path = root;
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (/^\d+$/.test(name)) path += `[${name}]`;
    else path += path === "" ? name : `.${name}`;
  }
  return path;
}

function problemOf(error: ValueError, path: string): ShapeProblem {
  if (error.type === ValueErrorType.ObjectAdditionalProperties) return unknownField(error, path);
  const [code, message] = describe(error);
  return { path, code, message };
}

function unknownField(error: ValueError, path: string): ShapeProblem {
  const name = error.path.slice(error.path.lastIndexOf("/") + 1);
  const properties: unknown = error.schema.properties;
  const known = typeof properties === "object" && properties !== null ? properties : {};
  const meant = nearest(name, Object.keys(known));
  const problem = { path, code: "unknown_field", message: "unknown field" } as const;
  return meant === undefined ? problem : { ...problem, hint: `did you mean ${meant}?` };
}

function describe({ type, schema }: ValueError): readonly [ShapeCode, string] {
  switch (type) {
    case ValueErrorType.ObjectRequiredProperty:
      return ["missing_field", "is required"];
    case ValueErrorType.StringMinLength:
      return ["invalid_length", `must have at least ${schema.minLength} character(s)`];
    case ValueErrorType.StringMaxLength:
      return ["invalid_length", `must have at most ${schema.maxLength} character(s)`];
    case ValueErrorType.ArrayMinItems:
      return ["invalid_length", `must have at least ${schema.minItems} item(s)`];
    case ValueErrorType.ArrayMaxItems:
      return ["invalid_length", `must have at most ${schema.maxItems} item(s)`];
    case ValueErrorType.ObjectMaxProperties:
      return ["invalid_length", `must have at most ${schema.maxProperties} entries`];
    case ValueErrorType.ObjectMinProperties:
      return ["invalid_length", `must have at least ${schema.minProperties} entries`];
    case ValueErrorType.StringPattern:
      return Array.isArray(schema.enum)
        ? ["invalid_enum_value", `must be one of ${schema.enum.join(", ")}`]
        : ["invalid_pattern", `must match ${schema.pattern}`];
    case ValueErrorType.StringFormat:
      return ["invalid_format", `must be ${FORMATS[String(schema.format)] ?? schema.format}`];
    case ValueErrorType.IntegerMinimum:
    case ValueErrorType.NumberMinimum:
      return ["invalid_range", `must be at least ${schema.minimum}`];
    case ValueErrorType.IntegerMaximum:
    case ValueErrorType.NumberMaximum:
      return ["invalid_range", `must be at most ${schema.maximum}`];
    default:
      return ["invalid_field_type", `must be ${typeName(schema)}`];
  }
}

const FORMATS: Readonly<Record<string, string>> = {
  uuid: "a UUID",
  "date-time": "a date and time as in RFC 3339, such as 2026-01-31T12:00:00Z",
};

/** What a schema asks for, in words. */
function typeName(schema: TSchema): string {
  const alternatives: unknown = schema.anyOf;
  if (Array.isArray(alternatives)) return alternatives.map(typeName).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  switch (schema.type) {
    case "integer":
    case "array":
    case "object":
      return `an ${schema.type}`;
    case "null":
      return "null";
    default:
      return typeof schema.type === "string" ? `a ${schema.type}` : "of another type";
  }
}

/** Whether an object may lack this field. */
export function isOptional(schema: TSchema): boolean {
  return OptionalKind in schema;
}
