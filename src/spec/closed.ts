// Building blocks of schemas: objects that refuse unknown fields, sets of words, maps with open keys.

import type { ObjectOptions, SchemaOptions, TSchema } from "@sinclair/typebox";
import { type Static, type TObject, type TProperties, type TUnsafe, Type } from "@sinclair/typebox";

/** An object that refuses fields it does not know, at every depth where it is used. */
export function closed<T extends TProperties>(
  properties: T,
  options: ObjectOptions = {},
): TObject<T> {
  return Type.Object(properties, { ...options, additionalProperties: false });
}

/** One of the given words. A string with a pattern rather than a union, so that errors name the field. */
export function oneOf<const W extends readonly string[]>(
  words: W,
  options: SchemaOptions = {},
): TUnsafe<W[number]> {
  const pattern = `^(?:${words.join("|")})$`;
  return Type.Unsafe<W[number]>(Type.String({ ...options, pattern, enum: [...words] }));
}

/** An object whose keys are free and whose values all follow one schema. */
export function mapOf<V extends TSchema>(
  value: V,
  options: ObjectOptions & { readonly maxLength?: number } = {},
): TUnsafe<Record<string, Static<V>>> {
  return Type.Unsafe<Record<string, Static<V>>>(
    Type.Object({}, { ...options, additionalProperties: value }),
  );
}

/** An object whose keys and values are both free. */
export function anyMap(
  options: ObjectOptions & { readonly maxLength?: number } = {},
): TUnsafe<Record<string, unknown>> {
  return Type.Unsafe<Record<string, unknown>>(
    Type.Object({}, { ...options, additionalProperties: true }),
  );
}
