// Turns a request into values that fit their schemas, or throws one MalformedRequest that names every
// problem. Values are never repeated in a message: they may be secrets.
import type { Static, TObject, TProperties, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { requestBodyBytesMax } from "../base/limits.ts";
import { type ShapeProblem, shapeProblems } from "../spec/shape.ts";
import { MalformedRequest, PayloadTooLarge } from "./malformed.ts";

/** The schema of an object, whichever its fields. */
export type Fields = TSchema & { readonly properties: TProperties };

export interface RequestSchemas<P extends TProperties, Q extends TProperties, B extends TSchema> {
  readonly params: TObject<P> | undefined;
  readonly query: TObject<Q> | undefined;
  readonly body: B | undefined;
  readonly upgradeBody?: ((body: unknown) => unknown) | undefined;
}

export interface ParsedRequest<P extends TProperties, Q extends TProperties, B extends TSchema> {
  readonly params: Static<TObject<P>>;
  readonly query: Static<TObject<Q>>;
  readonly body: Static<B>;
}

/** Parses path parameters, query and body. Problems of all three are reported together. */
export async function parseRequest<P extends TProperties, Q extends TProperties, B extends TSchema>(
  request: Request,
  rawParams: Readonly<Record<string, string>>,
  schemas: RequestSchemas<P, Q, B>,
): Promise<ParsedRequest<P, Q, B>> {
  const query = queryValues(schemas.query, new URL(request.url).searchParams);
  const sent = schemas.body ? await readJson(request) : undefined;
  const body = schemas.upgradeBody ? schemas.upgradeBody(sent) : sent;
  const problems = [
    ...problemsOf(schemas.params, rawParams, "path"),
    ...query.problems,
    ...problemsOf(schemas.query, query.values, "query"),
    ...problemsOf(schemas.body, body, "body"),
  ];
  if (problems.length > 0) throw new MalformedRequest(problems);
  // The values were just checked against the schemas that their types come from.
  return { params: rawParams, query: query.values, body } as ParsedRequest<P, Q, B>;
}

const compiled = new WeakMap<TSchema, TypeCheck<TSchema>>();

/** Fast path: the compiled check, made at first use. Only what fails is looked at in detail. */
function problemsOf(
  schema: TSchema | undefined,
  value: unknown,
  root: string,
): readonly ShapeProblem[] {
  if (!schema) return [];
  let check = compiled.get(schema);
  if (!check) {
    check = TypeCompiler.Compile(schema);
    compiled.set(schema, check);
  }
  return check.Check(value) ? [] : shapeProblems(schema, value, root);
}

interface QueryValues {
  readonly values: Readonly<Record<string, unknown>>;
  readonly problems: readonly ShapeProblem[];
}

/** Texts of the query as values of the types that the schema asks for; unknown names are kept, to be refused. */
function queryValues(schema: Fields | undefined, search: URLSearchParams): QueryValues {
  const values: Record<string, unknown> = {};
  const problems: ShapeProblem[] = [];
  for (const name of new Set(search.keys())) {
    const texts = search.getAll(name);
    const wanted = schema?.properties[name];
    if (wanted?.type === "array") {
      values[name] = texts.filter((text) => text !== "");
    } else if (texts.length > 1 && wanted) {
      const path = `query.${name}`;
      problems.push({ path, code: "invalid_field_type", message: "is given more than once" });
    } else if (texts[0] !== "" || wanted?.allowEmptyValue !== true) {
      values[name] = scalar(wanted, texts[0] ?? "");
    }
  }
  if (!schema) problems.push(...unknownNames(Object.keys(values)));
  return { values, problems };
}

function unknownNames(names: readonly string[]): ShapeProblem[] {
  return names.map((name) => ({
    path: `query.${name}`,
    code: "unknown_field",
    message: "unknown field",
  }));
}

const TRUE = ["true", "True", "TRUE", "t", "T", "1"];
const FALSE = ["false", "False", "FALSE", "f", "F", "0"];

/** The text as the wanted type, or unchanged where it is none: the schema then refuses it. */
function scalar(wanted: TSchema | undefined, text: string): unknown {
  if (wanted?.type === "integer" && /^[+-]?\d{1,15}$/.test(text)) return Number(text);
  if (wanted?.type === "boolean" && TRUE.includes(text)) return true;
  if (wanted?.type === "boolean" && FALSE.includes(text)) return false;
  return text;
}

/** The body as JSON, whatever content type the client names. Throws when there is none, or too much. */
async function readJson(request: Request): Promise<unknown> {
  const bytes = await readBytes(request, requestBodyBytesMax);
  if (bytes.length === 0) throw MalformedRequest.of("missing_payload", "body", "is required");
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (thrown) {
    // SyntaxError: not JSON. TypeError: not UTF-8. Their texts quote the body, so they are not passed on.
    if (!(thrown instanceof SyntaxError || thrown instanceof TypeError)) throw thrown;
    throw MalformedRequest.of("decode_payload", "body", "is not JSON in UTF-8");
  }
}

/** The whole body. Throws PayloadTooLarge. */
export async function readBytes(request: Request, max: number): Promise<Uint8Array> {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > max) throw new PayloadTooLarge(max);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > max) throw new PayloadTooLarge(max);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}
