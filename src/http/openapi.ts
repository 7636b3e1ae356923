// The OpenAPI document, made from the endpoints and the named schemas. Version 3.0, which every generator
// of clients understands; what JSON Schema says differently there is rewritten.
import type { TSchema } from "@sinclair/typebox";
import type { Json, JsonObject } from "../base/json.ts";
import { APIError, FrameworkError } from "../spec/api-error.ts";
import { apiModels } from "../spec/api-models.ts";
import { isOptional } from "../spec/shape.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Fields } from "./parse.ts";

export const OPENAPI_VERSION = "3.0.3" as const;

const DESCRIPTION =
  "Control plane for PostgreSQL. Requests that change something answer at once with a task; follow its log " +
  "or poll it. Fields that a request does not know are refused. Errors carry their name in the header " +
  "`goa-error` too.";

const TAGS = ["Cluster", "Database", "Host", "System"];

const REASONS: Readonly<Record<number, string>> = {
  200: "Done, or accepted as a task.",
  204: "Done.",
  400: "The request is not valid.",
  401: "The token is not valid.",
  404: "There is no such thing.",
  409: "The state of things does not allow it now.",
  412: "It is not at the revision that the request names any more.",
  500: "An internal error.",
  503: "The store has no quorum, or the server is not ready: try again.",
};

/** The document for these endpoints; those marked hidden are left out. */
export function openapiDocument(endpoints: readonly Endpoint[], version: string): JsonObject {
  const names = namesOf(apiModels);
  const paths: Record<string, Record<string, Json>> = {};
  for (const endpoint of endpoints.filter(({ hidden }) => !hidden)) {
    paths[endpoint.path] ??= {};
    Object.assign(paths[endpoint.path] ?? {}, {
      [endpoint.method.toLowerCase()]: operationOf(endpoint, names),
    });
  }
  const schemas = Object.entries(apiModels).map(([name, schema]) => [
    name,
    rewrite(schema, names, name),
  ]);
  return {
    openapi: OPENAPI_VERSION,
    info: {
      title: "pgherd",
      version,
      description: DESCRIPTION,
      license: { name: "PostgreSQL License", url: "https://opensource.org/license/postgresql" },
    },
    tags: TAGS.map((name) => ({ name })),
    paths,
    components: { schemas: Object.fromEntries(schemas) },
  };
}

/** Name of a schema that has one. */
type Names = (schema: TSchema) => string | undefined;

/**
 * Names by identity. A schema made optional or described is a shallow copy, so it is recognised by the
 * part that holds its content.
 */
function namesOf(models: Readonly<Record<string, TSchema>>): Names {
  const arrays = new Map<unknown, string>();
  const others = new Map<unknown, string>();
  for (const [name, schema] of Object.entries(models)) {
    if (schema.type === "array") arrays.set(schema.items, name);
    else others.set(schema.properties ?? schema.enum, name);
  }
  return (schema) =>
    schema.type === "array"
      ? arrays.get(schema.items)
      : others.get(schema.properties ?? schema.enum ?? schema);
}

function operationOf(endpoint: Endpoint, names: Names): Json {
  const { operationId, tag, summary, description, params, query, headers, body } = endpoint;
  const parameters = [
    ...parametersOf(params, "path", names),
    ...parametersOf(query, "query", names),
    ...parametersOf(headers, "header", names),
  ];
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body ? { requestBody: { required: true, ...jsonContent(body, names) } } : {}),
    responses: responsesOf(endpoint, names),
  };
}

function parametersOf(schema: Fields, place: string, names: Names): readonly JsonObject[] {
  return Object.entries(schema.properties).map(([name, property]) => {
    const { allowEmptyValue, description, ...rest } = property;
    return {
      name,
      in: place,
      ...(description === undefined ? {} : { description }),
      ...(isOptional(property) ? {} : { required: true }),
      ...(allowEmptyValue ? { allowEmptyValue: true } : {}),
      schema: rewrite(rest, names),
    };
  });
}

function responsesOf(endpoint: Endpoint, names: Names): JsonObject {
  const responses: Record<string, Json> = {};
  for (const [status, schema] of Object.entries(endpoint.answers)) {
    const content = schema ? jsonContent(schema, names) : {};
    responses[status] = { description: REASONS[Number(status)] ?? "", ...content };
    if (endpoint.streams && status === "200") responses[status] = streamed(schema, names);
  }
  for (const status of [...endpoint.errors, 500, 503]) {
    if (responses[status]) continue;
    const schema = status === 400 ? [APIError, FrameworkError] : [APIError];
    responses[status] = { description: REASONS[status] ?? "", ...jsonContents(schema, names) };
  }
  responses.default = { description: "Any other error.", ...jsonContent(APIError, names) };
  return responses;
}

function streamed(schema: TSchema | null, names: Names): Json {
  return {
    description: REASONS[200] ?? "",
    content: {
      "application/json": { schema: schema ? rewrite(schema, names) : {} },
      "text/event-stream": { schema: { type: "string" } },
    },
  };
}

function jsonContent(schema: TSchema, names: Names): { content: Json } {
  return jsonContents([schema], names);
}

function jsonContents(schemas: readonly TSchema[], names: Names): { content: Json } {
  const rewritten = schemas.map((schema) => rewrite(schema, names));
  const [only] = rewritten;
  const schema = rewritten.length === 1 && only !== undefined ? only : { anyOf: rewritten };
  return { content: { "application/json": { schema } } };
}

/** A schema as OpenAPI 3.0 writes it, with references to the named ones except to `self`. */
function rewrite(schema: TSchema, names: Names, self?: string): Json {
  const name = names(schema);
  if (name !== undefined && name !== self) return reference(name, schema);
  const { properties, items, anyOf, additionalProperties, pattern, ...rest } = schema;
  const inner = (value: TSchema) => rewrite(value, names);
  return {
    ...plain(rest),
    // The pattern of a set of words only repeats the words.
    ...(typeof pattern === "string" && !Array.isArray(schema.enum) ? { pattern } : {}),
    ...(properties ? { properties: mapValues(properties, inner) } : {}),
    ...(items ? { items: inner(items) } : {}),
    ...(Array.isArray(anyOf) ? alternatives(anyOf, inner) : {}),
    ...(additionalProperties === undefined
      ? {}
      : {
          additionalProperties:
            typeof additionalProperties === "object"
              ? inner(additionalProperties)
              : additionalProperties,
        }),
  };
}

/** A sibling of `$ref` is ignored in 3.0, so a description of its own needs a wrapping `allOf`. */
function reference(name: string, { description }: TSchema): Json {
  const ref = { $ref: `#/components/schemas/${name}` };
  return description === undefined ? ref : { description, allOf: [ref] };
}

/** `T or null` is `nullable` in 3.0. */
function alternatives(schemas: readonly TSchema[], inner: (schema: TSchema) => Json): JsonObject {
  const rest = schemas.filter(({ type }) => type !== "null").map(inner);
  const nullable = rest.length < schemas.length ? { nullable: true } : {};
  return { anyOf: rest, ...nullable };
}

function mapValues(
  properties: Readonly<Record<string, TSchema>>,
  inner: (schema: TSchema) => Json,
): JsonObject {
  return Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, inner(value)]));
}

/** What is left of a schema as JSON, without the keywords that are ours alone. */
function plain({ allowEmptyValue: _, ...rest }: Readonly<Record<string, unknown>>): JsonObject {
  return JSON.parse(JSON.stringify(rest));
}
