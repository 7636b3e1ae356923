// The cluster's certificate authority (X.509, RFC 5280): makes it, and issues certificates with it.
// Keys are ECDSA P-256. Time comes from the caller; nothing is stored here.

import { createHash } from "node:crypto";
import { isIP } from "node:net";
import type * as X509 from "@peculiar/x509";
import { dateOf } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";

// The library needs the polyfill when it is evaluated. Imports that are not awaited are evaluated in an
// order that differs between runs, because both are CommonJS packages.
await import("reflect-metadata");
const x509 = await import("@peculiar/x509");

/** A CA that can issue. Make it with `createAuthority`, or from stored texts with `loadAuthority`. */
export interface Authority {
  readonly certificatePem: string;
  /** PKCS#8 PEM; stored sealed only. */
  readonly privateKeyPem: Secret;
  /** SHA-256 of the DER certificate, lower-case hexadecimal. */
  readonly fingerprint: string;
  issue(request: CertificateRequest, nowMs: number): Promise<IssuedCertificate>;
}

export interface CertificateRequest {
  /** server: answers TLS. client: authenticates by its common name. peer: both. */
  readonly purpose: "server" | "client" | "peer";
  /** 1 to 64 printable characters (RFC 5280 ub-common-name). */
  readonly commonName: string;
  /** IP addresses and DNS names under which it is reached; needed unless it is a client's. */
  readonly addresses?: readonly string[];
  /** 90 days when absent. */
  readonly validMs?: number;
}

export interface IssuedCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: Secret;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** When two thirds of its time have passed: time to issue the next. */
  readonly renewAfterMs: number;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const AUTHORITY_VALID_MS = 3_650 * DAY_MS;
const LEAF_VALID_MS = 90 * DAY_MS;
/** Hosts whose clocks are behind accept it all the same. */
const BACKDATED_MS = 3_600_000;

/** A new self-signed CA of this name, valid for ten years, that signs end certificates only. */
export async function createAuthority(name: string, nowMs: number, rng: Rng): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(rng),
    name: distinguishedName(name),
    ...validity(nowMs, AUTHORITY_VALID_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authority(certificate, keys.privateKey, await privateKeyPem(keys.privateKey), rng);
}

/** The CA from its stored texts. Throws a terminal AppError when they do not belong together. */
export async function loadAuthority(
  certificatePem: string,
  privateKeyPem: Secret,
  rng: Rng,
): Promise<Authority> {
  try {
    const certificate = new x509.X509Certificate(certificatePem);
    const [der] = x509.PemConverter.decode(privateKeyPem.reveal());
    if (!der) throw new Error("no private key");
    const key = await crypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
    const publicKey = await certificate.publicKey.export(ALGORITHM, ["verify"]);
    const probe = new TextEncoder().encode("pgherd");
    const signature = await crypto.subtle.sign(ALGORITHM, key, probe);
    if (!(await crypto.subtle.verify(ALGORITHM, publicKey, signature, probe))) {
      throw new Error("the private key is another's");
    }
    return authority(certificate, key, privateKeyPem, rng);
  } catch (thrown) {
    // The cause is left out: parsers may quote their input.
    throw new AppError("terminal", `cannot load the certificate authority: ${messageOf(thrown)}`);
  }
}

/** SHA-256 of a PEM certificate's DER form, in lower-case hexadecimal. */
export function fingerprintOf(certificatePem: string): string {
  const der = new x509.X509Certificate(certificatePem).rawData;
  return createHash("sha256").update(new Uint8Array(der)).digest("hex");
}

/** When a certificate should be replaced: after two thirds of its time, in milliseconds. */
export function renewAfter(certificatePem: string): number {
  const { notBefore, notAfter } = new x509.X509Certificate(certificatePem);
  return twoThirds(notBefore.getTime(), notAfter.getTime());
}

function authority(
  certificate: X509.X509Certificate,
  signingKey: CryptoKey,
  privateKeyPem: Secret,
  rng: Rng,
): Authority {
  const certificatePem = `${certificate.toString("pem")}\n`;
  return {
    certificatePem,
    privateKeyPem,
    fingerprint: fingerprintOf(certificatePem),
    issue: (request, nowMs) => issue({ certificate, signingKey, rng }, request, nowMs),
  };
}

interface Issuer {
  readonly certificate: X509.X509Certificate;
  readonly signingKey: CryptoKey;
  readonly rng: Rng;
}

async function issue(
  issuer: Issuer,
  request: CertificateRequest,
  nowMs: number,
): Promise<IssuedCertificate> {
  const addresses = request.addresses ?? [];
  if (request.purpose !== "client" && addresses.length === 0) {
    throw new AppError("bug", "a server certificate needs an address");
  }
  const keys = await newKeys();
  const times = validity(nowMs, request.validMs ?? LEAF_VALID_MS);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(issuer.rng),
    issuer: issuer.certificate.subjectName,
    subject: distinguishedName(request.commonName),
    ...times,
    publicKey: keys.publicKey,
    signingKey: issuer.signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(purposes(request.purpose)),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
      ...alternativeNames(addresses),
    ],
  });
  const notBeforeMs = times.notBefore.getTime();
  const notAfterMs = times.notAfter.getTime();
  return {
    certificatePem: `${certificate.toString("pem")}\n`,
    privateKeyPem: await privateKeyPem(keys.privateKey),
    notBeforeMs,
    notAfterMs,
    renewAfterMs: twoThirds(notBeforeMs, notAfterMs),
  };
}

function purposes(purpose: CertificateRequest["purpose"]): X509.ExtendedKeyUsage[] {
  switch (purpose) {
    case "server":
      return [x509.ExtendedKeyUsage.serverAuth];
    case "client":
      return [x509.ExtendedKeyUsage.clientAuth];
    case "peer":
      return [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth];
  }
}

function alternativeNames(addresses: readonly string[]): X509.Extension[] {
  if (addresses.length === 0) return [];
  const names = [...new Set(addresses)].map((address) => ({
    type: isIP(address) ? ("ip" as const) : ("dns" as const),
    value: address,
  }));
  return [new x509.SubjectAlternativeNameExtension(names)];
}

function distinguishedName(commonName: string): X509.Name {
  // A leading # would be read as hexadecimal DER (RFC 4514 section 2.4).
  if (!/^[^\p{Cc}#][^\p{Cc}]{0,63}$/u.test(commonName)) {
    throw new AppError("bug", `not a common name for a certificate: ${JSON.stringify(commonName)}`);
  }
  return new x509.Name([{ CN: [{ utf8String: commonName }] }]);
}

/** Times of a certificate have whole seconds. */
function validity(nowMs: number, validMs: number): { notBefore: Date; notAfter: Date } {
  const wholeSeconds = (ms: number) => dateOf(Math.floor(ms / 1_000) * 1_000);
  return {
    notBefore: wholeSeconds(nowMs - BACKDATED_MS),
    notAfter: wholeSeconds(nowMs + validMs),
  };
}

function twoThirds(notBeforeMs: number, notAfterMs: number): number {
  return Math.floor(notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3);
}

/** 126 random bits, positive and of constant length (RFC 5280 section 4.1.2.2). */
function serial(rng: Rng): string {
  const bytes = rng.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

function newKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function privateKeyPem(key: CryptoKey): Promise<Secret> {
  const der = await crypto.subtle.exportKey("pkcs8", key);
  return new Secret(`${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`);
}
