// This host's certificate of the cluster, as files that somebody else renews. Whoever holds them is told when
// they changed; half a change is not taken over.
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { AppError, isAbort, messageOf } from "../base/errors.ts";
import { peerCredentialsCheckMs } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { Secret } from "../base/secret.ts";

export interface PeerCredentials {
  /** PEM texts. */
  readonly ca: string;
  readonly cert: string;
  readonly key: Secret;
  /** Of the certificate. */
  readonly hostId: string;
  readonly notAfterMs: number;
}

/** Names of the files in the directory of the host's certificates. */
export const CREDENTIAL_FILES = { ca: "ca.crt", cert: "host.crt", key: "host.key" } as const;

/** Reads the three files. Throws a retryable AppError when they are not there or do not belong together. */
export function readCredentials(directory: string): PeerCredentials {
  try {
    const { ca, cert, key: text } = readTexts(directory);
    const key = new Secret(text);
    const parsed = new X509Certificate(cert);
    if (!parsed.checkPrivateKey(createPrivateKey(key.reveal()))) {
      throw new Error("the key is another's");
    }
    return { ca, cert, key, hostId: commonName(parsed), notAfterMs: Date.parse(parsed.validTo) };
  } catch (thrown) {
    throw new AppError("retryable", `host certificate in ${directory}: ${messageOf(thrown)}`);
  }
}

function readTexts(directory: string): {
  readonly [name in keyof typeof CREDENTIAL_FILES]: string;
} {
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  const { ca, cert, key } = CREDENTIAL_FILES;
  return { ca: read(ca), cert: read(cert), key: read(key) };
}

/** Credentials that follow their files. */
export class LiveCredentials {
  readonly #directory: string;
  #current: PeerCredentials;

  /** Throws as readCredentials does. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#current = readCredentials(directory);
  }

  current(): PeerCredentials {
    return this.#current;
  }

  /** Reads the files again; true when they changed. */
  refresh(): boolean {
    const { ca, cert } = readTexts(this.#directory);
    if (cert === this.#current.cert && ca === this.#current.ca) return false;
    this.#current = readCredentials(this.#directory);
    return true;
  }

  /** Looks at the files until the signal aborts, and tells when they changed. */
  async watch(
    deps: { readonly clock: Clock; readonly log: Logger },
    changed: (credentials: PeerCredentials) => void,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      try {
        await deps.clock.sleep(peerCredentialsCheckMs, signal);
        if (!this.refresh()) continue;
        changed(this.#current);
        deps.log.info("took over the renewed certificate of this host");
      } catch (thrown) {
        if (signal.aborted || isAbort(thrown)) return;
        deps.log.warn("cannot take over a certificate", { error: messageOf(thrown) });
      }
    }
  }
}

/** SHA-256 of a certificate's public key: names it among all that the authority ever signed. */
export function keyFingerprint(certificate: string | Uint8Array): string {
  const key = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("hex");
}

/** The common name of a certificate's subject; "" when it has none. */
export function commonName(certificate: X509Certificate): string {
  return /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? "";
}
