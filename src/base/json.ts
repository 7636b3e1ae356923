// JSON as a type, equality and a stable text of it.

export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** JSON text with object keys sorted, so that equal values give equal texts. */
export function stableJson(value: Json): string {
  return JSON.stringify(sorted(value));
}

/** Deep equality of JSON values; the order of object keys does not matter. */
export function jsonEqual(a: Json, b: Json): boolean {
  return stableJson(a) === stableJson(b);
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
