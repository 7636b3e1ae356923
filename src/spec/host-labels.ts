// Labels of hosts and the selectors that choose hosts by them.
import type { Diagnostic } from "../base/result.ts";

/** Most labels of one host. */
const LABELS_MAX = 64;
/** A word, or words parted by a slash as in `example.com/rack`. */
const KEY =
  /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?(\/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$/;
const KEY_CHARS_MAX = 128;

/** Problems of the keys of a change, and of the labels that it leads to. */
export function validateLabels(
  change: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, string>>,
): readonly Diagnostic[] {
  const keys = Object.keys(change).filter((key) => key.length > KEY_CHARS_MAX || !KEY.test(key));
  const malformed = keys.map((key) => ({
    path: `labels.${key}`,
    code: "malformed",
    message: `a label is at most ${KEY_CHARS_MAX} letters, digits, "-", "_" and ".", with at most one "/"`,
  }));
  if (Object.keys(after).length <= LABELS_MAX) return malformed;
  const message = `a host has at most ${LABELS_MAX} labels`;
  return [...malformed, { path: "labels", code: "too_many", message }];
}

/** Whether a host with these labels is meant. */
export type Selector = (labels: Readonly<Record<string, string>>) => boolean;

/** `key`, `!key`, `key=value` or `key!=value`; several, parted by commas, must all hold. Undefined: it is none of these. */
export function parseSelector(text: string): Selector | undefined {
  const terms = text.split(",").map((term) => parseTerm(term.trim()));
  const known = terms.filter((term) => term !== undefined);
  if (known.length < terms.length) return undefined;
  return (labels) => known.every((term) => term(labels));
}

function parseTerm(text: string): Selector | undefined {
  const [, not = "", key = "", operator = "", value = ""] =
    /^(!?)([^=!,]+?)(?:(!?=)(.*))?$/.exec(text) ?? [];
  if (!KEY.test(key) || (not !== "" && operator !== "")) return undefined;
  if (operator === "=") return (labels) => labels[key] === value;
  if (operator === "!=") return (labels) => labels[key] !== value;
  return (labels) => key in labels === (not === "");
}
