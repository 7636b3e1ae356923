// The certificate files of an instance: written when missing, near their end, for other names or from another CA.
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Secret } from "../base/secret.ts";
import type { Executor } from "../host/executor.ts";
import type { CertificateInputs } from "../plan/inputs.ts";

interface CertificateRequest {
  readonly purpose: "server" | "client";
  readonly commonName: string;
  /** Host names and addresses (RFC 5280 4.2.1.6); empty for clients. */
  readonly addresses: readonly string[];
}

/** What issues certificates: the cluster's authority. */
export interface CertificateIssuer {
  /** The authority's own certificate. */
  readonly certificatePem: string;
  /** A new key and a certificate for it. */
  issue(
    request: CertificateRequest,
    nowMs: number,
  ): Promise<{ readonly certificatePem: string; readonly privateKeyPem: Secret }>;
}

/** Part of a certificate's life after which it is replaced. */
const RENEW_AFTER = 2 / 3;
const CLIENTS = [
  { file: "superuser", commonName: "pgedge" },
  { file: "replication", commonName: "patroni_replicator" },
] as const;
/** Every file that ensureCertificates writes. */
export const CERTIFICATE_FILES = [
  "ca.crt",
  ...["server", "superuser", "replication"].flatMap((name) => [`${name}.crt`, `${name}.key`]),
];

export interface CertificateWork {
  readonly executor: Executor;
  readonly inputs: CertificateInputs;
  readonly issuer: CertificateIssuer;
  readonly instanceId: string;
  /** Wall clock, milliseconds. */
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

/** Writes what has to be written; answers the names of what was. */
export async function ensureCertificates(work: CertificateWork): Promise<readonly string[]> {
  const { inputs, instanceId } = work;
  const wanted = [
    {
      file: "server",
      request: {
        commonName: instanceId,
        addresses: inputs.server_names,
        purpose: "server" as const,
      },
    },
    ...CLIENTS.map(({ file, commonName }) => ({
      file,
      request: { commonName, addresses: [], purpose: "client" as const },
    })),
  ];
  const written = await Promise.all([
    ensureAuthority(work),
    ...wanted.map(({ file, request }) => ensurePair(work, file, request)),
  ]);
  return written.filter((name) => name !== undefined);
}

/** The CA's own certificate; answers its name when it was written. */
async function ensureAuthority(work: CertificateWork): Promise<string | undefined> {
  if ((await readText(work, "ca.crt")) === work.issuer.certificatePem) return undefined;
  await put(work, "ca.crt", work.issuer.certificatePem, 0o644);
  return "ca";
}

/** One certificate and its key; answers the name when they were written. */
async function ensurePair(
  work: CertificateWork,
  file: string,
  request: CertificateRequest,
): Promise<string | undefined> {
  if (await isGood(work, file, request)) return undefined;
  const { certificatePem, privateKeyPem } = await work.issuer.issue(request, work.nowMs);
  await put(work, `${file}.key`, privateKeyPem.reveal(), 0o600);
  await put(work, `${file}.crt`, certificatePem, 0o644);
  return file;
}

async function isGood(
  work: CertificateWork,
  file: string,
  request: CertificateRequest,
): Promise<boolean> {
  const [certificate, key] = [
    await readText(work, `${file}.crt`),
    await readText(work, `${file}.key`),
  ];
  if (certificate === undefined || key === undefined) return false;
  const parsed = parsePair(certificate, key);
  if (!parsed) return false;
  const ca = new X509Certificate(work.issuer.certificatePem);
  return (
    parsed.checkIssued(ca) &&
    parsed.verify(ca.publicKey) &&
    !isDue(parsed, work.nowMs) &&
    sameNames(parsed, request.addresses)
  );
}

/** The certificate when both texts are readable and belong together. */
function parsePair(certificate: string, key: string): X509Certificate | undefined {
  try {
    const parsed = new X509Certificate(certificate);
    return parsed.checkPrivateKey(createPrivateKey(key)) ? parsed : undefined;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** Whether two thirds of its life are over. */
function isDue(certificate: X509Certificate, nowMs: number): boolean {
  const fromMs = Date.parse(certificate.validFrom);
  const toMs = Date.parse(certificate.validTo);
  return nowMs >= fromMs + (toMs - fromMs) * RENEW_AFTER;
}

/** Whether the certificate is for exactly these names. Addresses are compared as the text form of RFC 5952. */
function sameNames(certificate: X509Certificate, names: readonly string[]): boolean {
  const has = (certificate.subjectAltName ?? "")
    .split(", ")
    .filter((entry) => entry !== "")
    .map((entry) => canonical(entry.replace(/^(?:DNS|IP Address):/, "")));
  const wanted = new Set(names.map(canonical));
  return new Set(has).size === wanted.size && has.every((name) => wanted.has(name));
}

function canonical(name: string): string {
  if (!name.includes(":")) return name.toLowerCase();
  const host = URL.parse(`http://[${name}]/`)?.hostname;
  return host === undefined ? name.toLowerCase() : host.slice(1, -1);
}

async function readText(work: CertificateWork, name: string): Promise<string | undefined> {
  const path = `${work.inputs.directory}/${name}`;
  const content = await work.executor.get(path, { signal: work.signal });
  return content && new TextDecoder().decode(content);
}

async function put(
  work: CertificateWork,
  name: string,
  content: string,
  mode: number,
): Promise<void> {
  const { owner, directory } = work.inputs;
  await work.executor.put(`${directory}/${name}`, content, {
    mode,
    signal: work.signal,
    ...(owner === null ? {} : { owner }),
  });
}
