// Compares two OpenAPI documents: what clients of the first would miss in the second, or find changed.
//   bun scripts/compare-openapi.ts <contract.json> <served.json> [path prefix]
// Prints one line per difference and a count; exit status 1 when there is any. Additions are not differences.

type Node = Readonly<Record<string, unknown>>;

const METHODS = ["get", "put", "post", "delete", "patch", "head", "options"];
/** Keywords whose value must be the same. */
const LIMITS = [
  "pattern",
  "minLength",
  "maxLength",
  "minimum",
  "maximum",
  "minItems",
  "maxItems",
  "format",
];

/** One line for each thing of `contract` that `served` lacks or says differently. */
export function compareDocuments(contract: unknown, served: unknown, prefix = ""): string[] {
  const comparison = new Comparison(node(contract), node(served));
  const servedPaths = new Map(
    Object.entries(node(node(served).paths)).map(([path, item]) => [anonymous(path), node(item)]),
  );
  for (const [path, item] of Object.entries(node(node(contract).paths))) {
    if (!path.startsWith(prefix)) continue;
    for (const method of METHODS) {
      const wanted = node(item)[method];
      if (wanted === undefined) continue;
      const found = servedPaths.get(anonymous(path))?.[method];
      comparison.operation(`${method.toUpperCase()} ${path}`, node(wanted), found);
    }
  }
  return comparison.differences;
}

class Comparison {
  readonly differences: string[] = [];
  readonly #contract: Node;
  readonly #served: Node;

  constructor(contract: Node, served: Node) {
    this.#contract = contract;
    this.#served = served;
  }

  operation(where: string, wanted: Node, found: unknown): void {
    if (found === undefined) {
      this.differences.push(`${where}: no such route`);
      return;
    }
    const has = node(found);
    if (wanted.operationId !== has.operationId) {
      this.differences.push(`${where}: operationId ${wanted.operationId} is ${has.operationId}`);
    }
    this.#parameters(where, list(wanted.parameters), list(has.parameters));
    this.#content(`${where} body`, wanted.requestBody, has.requestBody);
    for (const [status, response] of Object.entries(node(wanted.responses))) {
      const answer = node(has.responses)[status];
      if (answer === undefined) this.differences.push(`${where}: response ${status} not declared`);
      else this.#content(`${where} ${status}`, response, answer);
    }
  }

  #parameters(where: string, wanted: readonly unknown[], found: readonly unknown[]): void {
    const key = (each: Node) => (each.in === "path" ? "" : `${each.in} ${each.name}`);
    const has = new Map(
      found.map((each) => this.#resolve(this.#served, each)).map((each) => [key(each), each]),
    );
    for (const parameter of wanted.map((each) => this.#resolve(this.#contract, each))) {
      // Parameters of the path are compared by their places in it.
      if (parameter.in === "path") continue;
      const other = has.get(key(parameter));
      if (!other) this.differences.push(`${where}: ${key(parameter)} is missing`);
      else this.#schema(`${where}?${parameter.name}`, parameter.schema, other.schema, []);
    }
  }

  #content(where: string, wanted: unknown, found: unknown): void {
    const schemaOf = (document: Node, holder: unknown) =>
      node(node(this.#resolve(document, holder).content)["application/json"]).schema;
    const schema = schemaOf(this.#contract, wanted);
    if (schema === undefined) return;
    const other = schemaOf(this.#served, found);
    if (other === undefined) this.differences.push(`${where}: no JSON`);
    else this.#schema(where, schema, other, []);
  }

  #schema(where: string, wanted: unknown, found: unknown, seen: readonly string[]): void {
    const schema = this.#resolve(this.#contract, wanted);
    const variants = this.#variants(found);
    const mark = JSON.stringify(schema);
    if (seen.includes(mark)) return;
    for (const alternative of list(schema.anyOf ?? schema.oneOf)) {
      this.#schema(where, alternative, found, [...seen, mark]);
    }
    const types = new Set(variants.map(({ type }) => type));
    if (schema.type !== undefined && !types.has(schema.type)) {
      this.differences.push(`${where}: ${schema.type} is ${[...types].join(" or ")}`);
      return;
    }
    this.#limits(where, schema, variants);
    this.#fields(where, schema, variants, [...seen, mark]);
    if (schema.items !== undefined) {
      const items = variants.find((variant) => variant.items !== undefined)?.items;
      if (items === undefined) this.differences.push(`${where}[]: no items`);
      else this.#schema(`${where}[]`, schema.items, items, [...seen, mark]);
    }
  }

  #limits(where: string, schema: Node, variants: readonly Node[]): void {
    for (const limit of LIMITS) {
      const wanted = schema[limit];
      if (wanted === undefined || variants.some((variant) => variant[limit] === wanted)) continue;
      const found = variants.map((variant) => JSON.stringify(variant[limit]) ?? "absent");
      this.differences.push(`${where}: ${limit} ${JSON.stringify(wanted)} is ${found.join(", ")}`);
    }
    const words = new Set(variants.flatMap((variant) => list(variant.enum)));
    const lacking = list(schema.enum).filter((word) => !words.has(word));
    if (lacking.length > 0) this.differences.push(`${where}: lacks ${lacking.join(", ")}`);
  }

  #fields(where: string, schema: Node, variants: readonly Node[], seen: readonly string[]): void {
    const fields = Object.assign({}, ...variants.map(({ properties }) => node(properties)));
    const required = new Set(variants.flatMap((variant) => list(variant.required)));
    for (const [name, field] of Object.entries(node(schema.properties))) {
      if (!(name in fields)) this.differences.push(`${where}.${name}: missing`);
      else this.#schema(`${where}.${name}`, field, fields[name], seen);
    }
    for (const name of list(schema.required)) {
      if (!required.has(name)) this.differences.push(`${where}.${name}: not required`);
    }
  }

  /** The alternatives of a schema; one where it has none. */
  #variants(schema: unknown): readonly Node[] {
    const resolved = this.#resolve(this.#served, schema);
    const inner = resolved.anyOf ?? resolved.oneOf;
    return inner === undefined
      ? [resolved]
      : list(inner).flatMap((variant) => this.#variants(variant));
  }

  #resolve(document: Node, value: unknown): Node {
    let resolved = node(value);
    for (let depth = 0; typeof resolved.$ref === "string" && depth < 20; depth++) {
      const parts = resolved.$ref.replace(/^#\//, "").split("/");
      resolved = parts.reduce<Node>((inner, part) => node(inner[part]), document);
    }
    const [only, ...more] = list(resolved.allOf);
    return only !== undefined && more.length === 0 ? this.#resolve(document, only) : resolved;
  }
}

function node(value: unknown): Node {
  return Object(value);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A path without the names of its parameters. */
function anonymous(path: string): string {
  return path.replaceAll(/\{[^}]+\}/g, "{}").replace(/\/$/, "");
}

if (import.meta.main) {
  const [contract, served, prefix] = process.argv.slice(2);
  if (contract === undefined || served === undefined) {
    console.error("usage: bun scripts/compare-openapi.ts <contract.json> <served.json> [prefix]");
    process.exit(2);
  }
  const differences = compareDocuments(
    await Bun.file(contract).json(),
    await Bun.file(served).json(),
    prefix,
  );
  for (const difference of differences) console.log(difference);
  console.log(`${differences.length} differences`);
  process.exit(differences.length === 0 ? 0 : 1);
}
