// What a joining host and a member tell each other before they share a certificate: AES-256-GCM (NIST SP
// 800-38D) under keys made from the token's secret (HKDF, RFC 5869), so that who only listens, or only
// pretends to be the member, learns nothing and cannot answer.
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import type { Rng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";

/** Which of the two speaks; an answer cannot be passed off as a request. */
export type Direction = "request" | "answer";

export interface JoinChannel {
  readonly secret: Secret;
  /** Made by the joining host for this one exchange. */
  readonly nonce: string;
  readonly hostId: string;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The text as base64url, for whoever knows the token's secret. */
export function sealJoin(channel: JoinChannel, way: Direction, text: Secret, rng: Rng): string {
  const iv = rng.bytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", keyOf(channel, way), iv);
  const body = Buffer.concat([cipher.update(text.reveal(), "utf8"), cipher.final()]);
  return Buffer.concat([iv, body, cipher.getAuthTag()]).toString("base64url");
}

/** The text, or undefined when it was sealed by somebody who does not know the secret. */
export function openJoin(channel: JoinChannel, way: Direction, sealed: string): Secret | undefined {
  const bytes = Buffer.from(sealed, "base64url");
  if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(
    "aes-256-gcm",
    keyOf(channel, way),
    bytes.subarray(0, IV_BYTES),
  );
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    const text = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
    return new Secret(Buffer.concat([text, decipher.final()]).toString("utf8"));
  } catch (thrown) {
    // The one thing that can be wrong here: the tag does not fit.
    if (thrown instanceof Error) return undefined;
    throw thrown;
  }
}

function keyOf({ secret, nonce, hostId }: JoinChannel, way: Direction): Uint8Array {
  const info = `pgherd join ${way}\0${hostId}`;
  const key = hkdfSync("sha256", Buffer.from(secret.reveal()), Buffer.from(nonce, "hex"), info, 32);
  return new Uint8Array(key);
}
