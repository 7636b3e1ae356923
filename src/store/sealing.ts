// Encrypts secrets before they are stored: AES-256-GCM (NIST SP 800-38D) under the cluster key. Each
// sealed text is bound to the place it is stored at, so that it cannot be moved to another.
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { AppError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import type { ClusterKey } from "./cluster-key.ts";

/** Seals and opens under one cluster key. */
export interface Sealer {
  /**
   * The secret as text that may be stored. `context` names the place, e.g. `databases/<id>/spec`; the
   * same is needed to open it.
   */
  seal(secret: Secret, context: string): string;
  /** Throws a terminal AppError when the text was altered, moved, or sealed under another key. */
  open(sealed: string, context: string): Secret;
}

const PREFIX = "pgherd-sealed:1";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SEALED = /^pgherd-sealed:1:([0-9a-f]{8}):([A-Za-z0-9_-]+)$/;

/** A sealer for this key. `rng` must be the operating system's outside tests: nonces never repeat. */
export function createSealer(key: ClusterKey, rng: Rng): Sealer {
  const bytes = key.bytes();
  const keyId = createHash("sha256").update("pgherd cluster key\0").update(bytes).digest("hex");
  const header = `${PREFIX}:${keyId.slice(0, 8)}`;
  return {
    seal(secret, context) {
      const nonce = rng.bytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", bytes, nonce);
      cipher.setAAD(Buffer.from(`${header}\0${context}`));
      const text = Buffer.concat([cipher.update(secret.reveal(), "utf8"), cipher.final()]);
      const body = Buffer.concat([nonce, text, cipher.getAuthTag()]);
      return `${header}:${body.toString("base64url")}`;
    },
    open(sealed, context) {
      const [, id, encoded] = SEALED.exec(sealed) ?? [];
      if (id === undefined || encoded === undefined) throw broken(context, "it is no sealed text");
      if (id !== keyId.slice(0, 8))
        throw broken(context, "it was sealed under another cluster key");
      const body = Buffer.from(encoded, "base64url");
      if (body.length < NONCE_BYTES + TAG_BYTES) throw broken(context, "it is cut short");
      const decipher = createDecipheriv("aes-256-gcm", bytes, body.subarray(0, NONCE_BYTES));
      decipher.setAAD(Buffer.from(`${header}\0${context}`));
      decipher.setAuthTag(body.subarray(-TAG_BYTES));
      try {
        const text = decipher.update(body.subarray(NONCE_BYTES, -TAG_BYTES));
        return new Secret(Buffer.concat([text, decipher.final()]).toString("utf8"));
      } catch (thrown) {
        throw broken(context, "it was altered or belongs elsewhere", thrown);
      }
    },
  };
}

/** Whether a stored text is a sealed secret. */
export function isSealed(text: string): boolean {
  return SEALED.test(text);
}

function broken(context: string, why: string, cause?: unknown): AppError {
  return new AppError("terminal", `cannot open the secret of ${context}: ${why}`, { cause });
}
