// What a check found wrong, in words, with the numbers that prove it.

export interface Finding {
  readonly check: string;
  readonly message: string;
}

/** A list cut to what a person reads, with the count of all. */
export function some(values: readonly string[], max = 5): string {
  const shown = values.slice(0, max).join(", ");
  return values.length > max ? `${shown} and ${values.length - max} more` : shown;
}
