// SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, RFC 5803, RFC 7677; manual, pg_authid.rolpassword).
import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";
import { saslPrepare } from "./saslprep.ts";

/** What PostgreSQL uses itself (scram_iterations). */
export const scramIterations = 4_096;
/** Length of a salt, in bytes, as PostgreSQL makes it. */
export const scramSaltBytes = 16;

export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

const VERIFIER =
  /^SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/;

/** `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>` of a clear-text password. */
export function scramVerifier(password: string, salt: Uint8Array, iterations: number): string {
  const salted = pbkdf2Sync(saslPrepare(password), salt, iterations, 32, "sha256");
  const clientKey = createHmac("sha256", salted).update("Client Key").digest();
  const storedKey = createHash("sha256").update(clientKey).digest("base64");
  const serverKey = createHmac("sha256", salted).update("Server Key").digest("base64");
  const saltText = Buffer.from(salt).toString("base64");
  return `SCRAM-SHA-256$${iterations}:${saltText}$${storedKey}:${serverKey}`;
}

/** The parts of a verifier, or undefined when the text is none. */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const match = VERIFIER.exec(text);
  if (!match) return undefined;
  const [, iterations = "", salt = "", storedKey = "", serverKey = ""] = match;
  const parsed = {
    iterations: Number(iterations),
    salt: bytesOf(salt),
    storedKey: bytesOf(storedKey),
    serverKey: bytesOf(serverKey),
  };
  const whole = parsed.storedKey.length === 32 && parsed.serverKey.length === 32;
  return whole && parsed.iterations > 0 && parsed.salt.length > 0 ? parsed : undefined;
}

/** Whether the verifier was made from this password. False for a text that is no verifier. */
export function verifies(verifier: string, password: string): boolean {
  const parsed = parseScramVerifier(verifier);
  if (!parsed) return false;
  const again = parseScramVerifier(scramVerifier(password, parsed.salt, parsed.iterations));
  return again !== undefined && timingSafeEqual(again.storedKey, parsed.storedKey);
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, "base64"));
}
