// How members of a node know each other on the REST port: messages are signed with the key of the replication
// certificate, which the cluster's authority issued. Fresh by a nonce in answers, by nonce and time in questions.
import { createHash, createPrivateKey, sign, verify, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { Clock } from "../../../src/base/clock.ts";
import { peerMessageAgeMsMax, peerNoncesMax } from "../../../src/base/limits.ts";
import { replicatorName } from "../../../src/postgres/hba.ts";

/** What is signed besides the body. */
export interface SealedAbout {
  /** e.g. "POST /failsafe", and for an answer "answer to POST /failsafe". */
  readonly what: string;
  /** Instance id of the one who signs, and of the one it is meant for. */
  readonly from: string;
  readonly to: string;
  readonly nonce: string;
  /** Wall time; 0 in answers, which are fresh by the question's nonce. */
  readonly atMs: number;
}

export interface Seal extends SealedAbout {
  /** DER of the certificate, base64. */
  readonly certificate: string;
  /** Base64. */
  readonly signature: string;
}

const HEADER = "x-pgherd-seal";

export class PeerSeal {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #seen = new Map<string, number>();
  #keys: { readonly seen: string; readonly own: Own } | undefined;

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** Headers that prove who sent a body. */
  headers(about: SealedAbout, body: string): Readonly<Record<string, string>> {
    const { certificate, key } = this.#own();
    const signature = sign("sha256", digestOf(about, body), key).toString("base64");
    const seal: Seal = { ...about, certificate: certificate.raw.toString("base64"), signature };
    return { [HEADER]: Buffer.from(JSON.stringify(seal)).toString("base64") };
  }

  /** Who sent it, when it was a member of this cluster and meant for us; undefined otherwise. */
  check(
    headers: Headers,
    expected: { readonly what: string; readonly to: string; readonly answerTo?: string },
    body: string,
  ): SealedAbout | undefined {
    const seal = parseSeal(headers.get(HEADER));
    if (!seal || seal.what !== expected.what || seal.to !== expected.to) return undefined;
    if (!this.#isGenuine(seal, body)) return undefined;
    if (expected.answerTo !== undefined) return seal.nonce === expected.answerTo ? seal : undefined;
    return this.#isFresh(seal) ? seal : undefined;
  }

  #isGenuine(seal: Seal, body: string): boolean {
    const { authority } = this.#own();
    const certificate = parseCertificate(seal.certificate);
    if (!certificate?.verify(authority.publicKey)) return false;
    if (!certificate.checkIssued(authority)) return false;
    if (!certificate.subject.split("\n").includes(`CN=${replicatorName}`)) return false;
    const nowMs = this.#clock.nowMs();
    if (nowMs > Date.parse(certificate.validTo)) return false;
    const signature = Buffer.from(seal.signature, "base64");
    return verify("sha256", digestOf(seal, body), certificate.publicKey, signature);
  }

  #isFresh({ nonce, atMs }: Seal): boolean {
    const nowMs = this.#clock.nowMs();
    if (Math.abs(nowMs - atMs) > peerMessageAgeMsMax || this.#seen.has(nonce)) return false;
    this.#seen.set(nonce, nowMs);
    for (const [old, seenAtMs] of this.#seen) {
      const expired = nowMs - seenAtMs > 2 * peerMessageAgeMsMax;
      if (expired || this.#seen.size > peerNoncesMax) this.#seen.delete(old);
      else break;
    }
    return true;
  }

  /** Read again whenever one of the files was renewed. */
  #own(): Own {
    const paths = ["ca.crt", "replication.crt", "replication.key"].map(
      (name) => `${this.#directory}/${name}`,
    );
    const seen = paths.map((path) => statSync(path).mtimeMs).join();
    if (this.#keys?.seen === seen) return this.#keys.own;
    const [ca = "", certificate = "", key = ""] = paths.map((path) => readFileSync(path, "utf8"));
    const own = {
      authority: new X509Certificate(ca),
      certificate: new X509Certificate(certificate),
      key: createPrivateKey(key),
    };
    this.#keys = { seen, own };
    return own;
  }
}

interface Own {
  readonly authority: X509Certificate;
  readonly certificate: X509Certificate;
  readonly key: ReturnType<typeof createPrivateKey>;
}

function digestOf({ what, from, to, nonce, atMs }: SealedAbout, body: string): Buffer {
  const parts = ["pgherd peer message 1", what, from, to, nonce, String(atMs), body];
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash.digest();
}

function parseSeal(text: string | null): Seal | undefined {
  if (text === null || text.length > 16_384) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64").toString("utf8"));
    return isSeal(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isSeal(value: unknown): value is Seal {
  if (typeof value !== "object" || value === null) return false;
  const texts = ["what", "from", "to", "nonce", "certificate", "signature"];
  const fields: Readonly<Record<string, unknown>> = { ...value };
  return texts.every((name) => typeof fields[name] === "string") && Number.isFinite(fields.atMs);
}

function parseCertificate(base64: string): X509Certificate | undefined {
  try {
    return new X509Certificate(Buffer.from(base64, "base64"));
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
