// Notices changed certificate files, so that PostgreSQL reads them again, and says when the first one expires.
import { X509Certificate } from "node:crypto";
import { type Clock, parseTimestamp } from "../../src/base/clock.ts";
import { certificateFilesCheckMs } from "../../src/base/limits.ts";
import type { Executor } from "../../src/host/executor.ts";

const FILES = ["ca.crt", "server.crt", "server.key"];

export interface CertificateFacts {
  /** When the newest of the server's files was written, wall time. */
  readonly writtenAtMs: number;
  readonly expiresAtMs: number | undefined;
}

/** Looks at the server's certificate files, at most once per `certificateFilesCheckMs`. */
export class CertificateWatch {
  readonly #deps: { readonly executor: Executor; readonly clock: Clock };
  readonly #directory: string;
  #facts: CertificateFacts = { writtenAtMs: 0, expiresAtMs: undefined };
  #checkedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: { readonly executor: Executor; readonly clock: Clock }, directory: string) {
    this.#deps = deps;
    this.#directory = directory;
  }

  async look(): Promise<CertificateFacts> {
    const { clock, executor } = this.#deps;
    if (clock.monotonicMs() - this.#checkedAtMs < certificateFilesCheckMs) return this.#facts;
    this.#checkedAtMs = clock.monotonicMs();
    const stats = await Promise.all(FILES.map((n) => executor.stat(`${this.#directory}/${n}`)));
    const writtenAtMs = Math.max(0, ...stats.map((stat) => stat?.modifiedMs ?? 0));
    if (writtenAtMs !== this.#facts.writtenAtMs) {
      this.#facts = { writtenAtMs, expiresAtMs: await this.#expiry() };
    }
    return this.#facts;
  }

  async #expiry(): Promise<number | undefined> {
    const pem = await this.#deps.executor.get(`${this.#directory}/server.crt`);
    return pem ? parseTimestamp(new X509Certificate(pem).validTo) : undefined;
  }
}
