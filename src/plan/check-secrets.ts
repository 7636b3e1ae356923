// Invariant of a plan's contents: plans are stored in clear text and shown, so no secret may be in them.

import type { Json } from "../base/json.ts";
import type { Diagnostic } from "../base/result.ts";
import { concerning } from "./check-order.ts";
import type { Step } from "./resource.ts";

/** Names of fields that would hold one. Settings such as `password_encryption` only contain such a word. */
const SECRET_NAME =
  /^(?:password|passwd|pgpassword|secret|token|verifier|credentials?|private_key|(?:.*_)?(?:key_secret|access_key|api_key|account_key))$/i;
/** Texts that are one: a SCRAM verifier, an MD5 hash of PostgreSQL, a private key in PEM. */
const SECRET_TEXT = /^SCRAM-SHA-256\$|^md5[0-9a-f]{32}$|-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** 14. No input and no change of a step looks like a secret. The finding names the place, never the value. */
export function secretsIn(step: Step): readonly Diagnostic[] {
  const changes = step.changes.flatMap(({ path, before, after }) => [
    ...(SECRET_NAME.test(path.slice(path.lastIndexOf("/") + 1)) ? [path] : []),
    ...suspicious(path, before ?? null),
    ...suspicious(path, after ?? null),
  ]);
  const places = new Set([...suspicious("", step.resource.inputs), ...changes]);
  return [...places].map((place) => concerning(step.id, "secret", `${place} looks like a secret`));
}

function suspicious(path: string, value: Json): readonly string[] {
  if (typeof value === "string") return SECRET_TEXT.test(value) ? [path] : [];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const place = `${path}/${name}`;
    return SECRET_NAME.test(name) ? [place] : suspicious(place, inner);
  });
}
