// JSON with 64-bit integers, as Patroni writes it: positions are plain integers, also beyond 2^53. Pure.

/** A value that JSON can show, or a 64-bit integer. */
export type RestJson =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly RestJson[]
  | { readonly [key: string]: RestJson | undefined };

export function toJson(value: RestJson): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "bigint" ? rawInteger(inner) : inner,
  );
}

/** JSON.rawJSON (ECMAScript 2026) is not in the compiler's library yet. */
function rawInteger(value: bigint): unknown {
  const raw: unknown = Reflect.get(JSON, "rawJSON");
  return typeof raw === "function" ? Reflect.apply(raw, JSON, [value.toString()]) : Number(value);
}
