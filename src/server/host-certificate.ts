// The certificate by which this host is known to the others: issued by the cluster's authority, which every
// host can use, written where rqlited and the keepers find it, and renewed before it ends.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { hostCertificateValidMs } from "../base/limits.ts";
import type { Rng } from "../base/rng.ts";
import { keyFingerprint } from "../peer/credentials.ts";
import { type Authority, renewAfter } from "../pki/authority.ts";
import type { RqliteTls } from "../store/rqlite.ts";
import { replaceFile } from "../store/rqlited-binary.ts";
import type { CertificateFiles } from "../store/rqlited-process.ts";

/** Where the files of a host are, below its server's data directory. */
export function hostCertificateFiles(dataDir: string): CertificateFiles {
  const directory = join(dataDir, "certificates");
  return {
    ca: join(directory, "ca.crt"),
    certificate: join(directory, "host.crt"),
    key: join(directory, "host.key"),
  };
}

/** Whose certificate it is, and who issues it. */
export interface CertificateDeps {
  readonly hostId: string;
  /** Under which others reach this host; this host itself reaches it as localhost too. */
  readonly addresses: readonly string[];
  readonly authority: Authority;
  readonly clock: Clock;
}

export interface HostCertificateDeps extends CertificateDeps {
  readonly dataDir: string;
  readonly rng: Rng;
}

export class HostCertificate {
  readonly files: CertificateFiles;
  readonly #deps: HostCertificateDeps;
  #tls: RqliteTls;
  /** Announced, and not in use yet. */
  #next: RqliteTls | undefined;

  private constructor(deps: HostCertificateDeps, files: CertificateFiles, tls: RqliteTls) {
    this.#deps = deps;
    this.files = files;
    this.#tls = tls;
  }

  /** The certificate on disk, or a new one when there is none that will do. */
  static async open(deps: HostCertificateDeps): Promise<HostCertificate> {
    const files = hostCertificateFiles(deps.dataDir);
    const known = readTls(files);
    if (known && isGoodCertificate(known, deps)) return new HostCertificate(deps, files, known);
    const issued = await issueHostCertificate(deps);
    await write(deps, files, issued);
    return new HostCertificate(deps, files, issued);
  }

  /** What clients of this host present. */
  tls(): RqliteTls {
    return this.#tls;
  }

  /** When it was issued and when it ends, wall clock, milliseconds. */
  times(): { readonly issuedAtMs: number; readonly notAfterMs: number } {
    const { validFromDate, validToDate } = new X509Certificate(this.#tls.cert);
    return { issuedAtMs: validFromDate.getTime(), notAfterMs: validToDate.getTime() };
  }

  /** When it ends, wall clock, milliseconds. */
  notAfterMs(): number {
    return new X509Certificate(this.#tls.cert).validToDate.getTime();
  }

  /** Fingerprints of the keys that this host shows, or is about to show. */
  keys(): readonly string[] {
    const next = this.#next ? [keyFingerprint(this.#next.cert)] : [];
    return [keyFingerprint(this.#tls.cert), ...next];
  }

  /** Replaces it when it is due, or in any case; true when it did. `announce` tells the others its key before. */
  async renew(always: boolean, announce: () => Promise<void>): Promise<boolean> {
    if (!always && isGoodCertificate(this.#tls, this.#deps)) return false;
    this.#next ??= await issueHostCertificate(this.#deps);
    await announce();
    await write(this.#deps, this.files, this.#next);
    this.#tls = this.#next;
    this.#next = undefined;
    return true;
  }
}

function readTls(files: CertificateFiles): RqliteTls | undefined {
  if (!Object.values(files).every((path) => existsSync(path))) return undefined;
  const text = (path: string) => readFileSync(path, "utf8");
  return { ca: text(files.ca), cert: text(files.certificate), key: text(files.key) };
}

/** Of this authority, for this host at its addresses, and not soon at its end. */
export function isGoodCertificate(tls: RqliteTls, deps: CertificateDeps): boolean {
  try {
    const certificate = new X509Certificate(tls.cert);
    const signer = new X509Certificate(deps.authority.certificatePem);
    return (
      tls.ca.trim() === deps.authority.certificatePem.trim() &&
      certificate.verify(signer.publicKey) &&
      certificate.checkPrivateKey(createPrivateKey(tls.key)) &&
      certificate.subject === `CN=${deps.hostId}` &&
      namesOf(deps).every((name) => isFor(certificate, name)) &&
      deps.clock.nowMs() < renewAfter(tls.cert)
    );
  } catch (thrown) {
    // A damaged file is replaced.
    if (thrown instanceof Error) return false;
    throw thrown;
  }
}

/** Each of the two checks throws when it is given what is for the other. */
function isFor(certificate: X509Certificate, name: string): boolean {
  const found = isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name);
  return found !== undefined;
}

/** A new certificate with its key. */
export async function issueHostCertificate(deps: CertificateDeps): Promise<RqliteTls> {
  const { authority, clock, hostId } = deps;
  const issued = await authority.issue(
    {
      purpose: "peer",
      commonName: hostId,
      addresses: namesOf(deps),
      validMs: hostCertificateValidMs,
    },
    clock.nowMs(),
  );
  return {
    ca: authority.certificatePem,
    cert: issued.certificatePem,
    key: issued.privateKeyPem.reveal(),
  };
}

async function write(
  deps: HostCertificateDeps,
  files: CertificateFiles,
  tls: RqliteTls,
): Promise<void> {
  const { rng } = deps;
  await mkdir(join(deps.dataDir, "certificates"), { recursive: true, mode: 0o700 });
  await replaceFile(files.ca, tls.ca, { mode: 0o600, rng });
  // The key first: who reads in between has two that do not fit, and reads again.
  await replaceFile(files.key, tls.key, { mode: 0o600, rng });
  await replaceFile(files.certificate, tls.cert, { mode: 0o600, rng });
}

function namesOf({ addresses }: CertificateDeps): readonly string[] {
  return [...new Set([...addresses, "127.0.0.1", "::1", "localhost"])];
}
