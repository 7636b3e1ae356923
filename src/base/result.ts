// Outcomes a caller must branch on, as plain values.

export type Result<T, E> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: E };

export function ok<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

export function fail<E>(error: E): { readonly ok: false; readonly error: E } {
  return { ok: false, error };
}

/** One problem with an input: where, what, and what to do about it. */
export interface Diagnostic {
  /** Field path such as `spec.nodes[0].port`; empty when it concerns the whole. */
  readonly path: string;
  /** Stable machine-readable word, e.g. `duplicate`, `out_of_range`, `unknown_field`. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}
