// The text with which a host may join: it names the cluster's CA, so that the new host knows whom it
// talks to, and proves that the operator allowed it.
import { createHash, timingSafeEqual } from "node:crypto";
import type { Rng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import { fingerprintOf } from "./authority.ts";

const ID_CHARS = 16;
const TOKEN = /^PGEDGE-([0-9a-f]{64})-([0-9a-f]{32})$/;

/** A new token: `PGEDGE-<SHA-256 of the CA certificate>-<128 random bits>`, in hexadecimal. */
export function newJoinToken(caCertificatePem: string, rng: Rng): Secret {
  const random = Buffer.from(rng.bytes(16)).toString("hex");
  return new Secret(`PGEDGE-${fingerprintOf(caCertificatePem)}-${random}`);
}

/** The fingerprint of the CA that a token names, or undefined when it is no token. */
export function joinTokenFingerprint(token: Secret): string | undefined {
  return TOKEN.exec(token.reveal())?.[1];
}

/** Whether the offered token is the expected one, in a time that does not tell how much of it is. */
export function sameJoinToken(offered: Secret, expected: Secret): boolean {
  const digest = (token: Secret) => createHash("sha256").update(token.reveal()).digest();
  return timingSafeEqual(digest(offered), digest(expected));
}

/** What a token's text is made of. */
export interface JoinTokenParts {
  /** SHA-256 of the cluster's CA certificate. */
  readonly fingerprint: string;
  readonly secret: Secret;
  /** Names the token without telling its secret. */
  readonly id: string;
}

/** The parts, or undefined when it is no token. */
export function parseJoinToken(token: Secret): JoinTokenParts | undefined {
  const [, fingerprint, secret] = TOKEN.exec(token.reveal().trim()) ?? [];
  if (fingerprint === undefined || secret === undefined) return undefined;
  const id = createHash("sha256").update(secret).digest("hex").slice(0, ID_CHARS);
  return { fingerprint, secret: new Secret(secret), id };
}

/** The text of a token of this CA with this secret. */
export function joinTokenText(caCertificatePem: string, secret: Secret): Secret {
  return new Secret(`PGEDGE-${fingerprintOf(caCertificatePem)}-${secret.reveal()}`);
}
