// One connection to one PostgreSQL, and what became of each statement sent over it, as a careful client sees it.
import { Socket } from "node:net";
import { Client, DatabaseError } from "pg";
import type { Outcome } from "../attempt.ts";

export interface Endpoint {
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface WriteResult {
  readonly outcome: Outcome;
  readonly timeline: number;
  readonly reason: string;
}

type Row = Record<string, unknown>;
const noTimeline = 0;

/** A connection that is used until its first loss, and then never again. */
export class Session {
  readonly endpoint: Endpoint;
  readonly #client: Client;
  readonly #socket: Socket;
  #warning = "";
  #lost = "";

  private constructor(endpoint: Endpoint, login: Login, timeoutMs: number) {
    this.endpoint = endpoint;
    this.#socket = new Socket();
    this.#client = new Client({
      host: endpoint.address,
      port: endpoint.port,
      ...login,
      connectionTimeoutMillis: timeoutMs,
      application_name: "rig",
      stream: () => this.#socket,
    });
    this.#client.on("notice", ({ severity, code, message }) => {
      // A wait for standbys that was given up: the commit is local only.
      if (severity === "WARNING") this.#warning = `${code} ${message}`;
    });
    this.#client.on("error", (error) => {
      this.#lost ||= error.message;
    });
    this.#client.on("end", () => {
      this.#lost ||= "the connection ended";
    });
  }

  /** Connects, or throws. */
  static async open(endpoint: Endpoint, login: Login, timeoutMs: number): Promise<Session> {
    const session = new Session(endpoint, login, timeoutMs);
    try {
      await session.#client.connect();
    } catch (thrown) {
      session.drop();
      throw thrown;
    }
    return session;
  }

  get usable(): boolean {
    return this.#lost === "";
  }

  /** One statement that writes and returns the timeline it wrote on. Never throws. */
  async write(name: string, text: string, values: readonly unknown[]): Promise<WriteResult> {
    if (!this.usable) return { outcome: "failed", timeline: noTimeline, reason: this.#lost };
    this.#warning = "";
    try {
      const { rows } = await this.#client.query({ name, text, values: [...values] });
      const timeline = Number.parseInt(String(rows[0]?.timeline), 16);
      if (this.#warning !== "") return { outcome: "unknown", timeline, reason: this.#warning };
      return { outcome: "acked", timeline, reason: "" };
    } catch (thrown) {
      return { ...classify(thrown), timeline: noTimeline };
    }
  }

  /** Rows of a query; throws what went wrong, or that it took too long. */
  async rows(text: string, values: readonly unknown[] = [], timeoutMs = 10_000): Promise<Row[]> {
    const late = Bun.sleep(timeoutMs).then(() => {
      throw new Error(`no answer within ${timeoutMs} ms`);
    });
    const answer = this.#client.query<Row>(text, [...values]);
    answer.catch(() => this.drop());
    late.catch(() => undefined);
    return (await Promise.race([answer, late])).rows;
  }

  /** Drops the connection without a word, as a client does that has lost patience. */
  drop(): void {
    this.#lost ||= "dropped by the rig";
    this.#socket.destroy();
  }
}

/** What an error means for a statement that is a transaction of its own: an ERROR has rolled it back. */
export function classify(thrown: unknown): { readonly outcome: Outcome; readonly reason: string } {
  if (thrown instanceof DatabaseError) {
    const reason = `${thrown.code} ${thrown.message}`;
    return { outcome: thrown.severity === "ERROR" ? "failed" : "unknown", reason };
  }
  return { outcome: "unknown", reason: thrown instanceof Error ? thrown.message : String(thrown) };
}
