// Who may change things through the REST API: HTTP's basic authentication (RFC 7617), as Patroni asks for it. Pure.
// Only a verifier of the password is known here.
import { createHash, timingSafeEqual } from "node:crypto";
import { verifies } from "../../src/postgres/scram.ts";
import type { RestAuthentication } from "../../src/spec/instance-config.ts";

/** Longest header that is looked into. */
const headerCharsMax = 1_024;

/** Why a request may not change anything, in Patroni's words; undefined = it may. */
export function authenticationProblem(
  header: string | undefined,
  wanted: RestAuthentication | undefined,
): string | undefined {
  if (!wanted) return undefined;
  if (header === undefined) return "no auth header received";
  const given = parseBasic(header);
  if (!given) return "not authenticated";
  // Both, and each in the same time whatever was given: an answer must not tell which of them was right.
  const name = timingSafeEqual(digest(given.username), digest(wanted.username));
  const password = verifies(wanted.verifier, given.password);
  return name && password ? undefined : "not authenticated";
}

function parseBasic(header: string) {
  if (header.length > headerCharsMax) return undefined;
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(header) ?? [];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0) return undefined;
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
