// Makes diagnostics, and the few tests that several rules share.
import type { Diagnostic } from "../base/result.ts";
import { identifierProblem } from "./ids.ts";

/** Codes of the rules of a spec, for programs; a code never changes its meaning. */
export type RuleCode =
  | "conflict"
  | "duplicate"
  | "immutable"
  | "maintenance"
  | "malformed"
  | "owned"
  | "required"
  | "reserved"
  | "too_long"
  | "unknown"
  | "unsupported";

export function problem(path: string, code: RuleCode, message: string, hint?: string): Diagnostic {
  return { path, code, message, ...(hint === undefined ? {} : { hint }) };
}

/** A diagnostic for a text that is no identifier, none for one that is or is absent. */
export function checkIdentifier(path: string, text: string | undefined): readonly Diagnostic[] {
  const wrong = text === undefined ? undefined : identifierProblem(text);
  return wrong === undefined ? [] : [problem(path, "malformed", wrong)];
}

/** One diagnostic for every element that was there before. */
export function checkUnique(
  values: readonly string[],
  pathOf: (index: number) => string,
  what: string,
): readonly Diagnostic[] {
  return values.flatMap((value, index) => {
    const first = values.indexOf(value);
    if (first === index) return [];
    return [problem(pathOf(index), "duplicate", `${what} ${value} is also at ${pathOf(first)}`)];
  });
}

/** Whether a text stays on one line of a configuration file. */
export function isOneLine(text: string): boolean {
  return !/[\r\n\0]/.test(text);
}

/** Length in bytes of UTF-8, which is what PostgreSQL counts. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
