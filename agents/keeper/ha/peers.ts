// The other members, asked directly over their REST port: to look at the lease at once, to say where they stand, to
// agree that a primary goes on without the store. And our answers to the same questions.
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { failsafeTimeoutMs, peerTimeoutMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { LeaseRow } from "../../../src/ha/lease.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import type { FailsafeQuestion, MemberStatus } from "../../../src/ha/state.ts";
import type { Released } from "./lease-watch.ts";
import type { PeerSeal } from "./peer-seal.ts";

export interface PeersDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly seal: PeerSeal;
  readonly self: string;
  readonly members: () => readonly HaMember[];
  readonly nonce: () => string;
  /** Another member wants us to look at the lease now; `told` is what it says of itself. */
  readonly onWake: (told: Told) => void;
  /** Decides on a question of a holder without the store; resolves when the promise is on disk. */
  readonly onFailsafe: (question: FailsafeQuestion) => Promise<FailsafeAnswer>;
  readonly status: () => MemberStatus;
  readonly lease: () => LeaseRow | undefined;
}

/** What a member says with a wake-up: of itself, the lease as it wrote or read it last, and that it gives it back. */
export interface Told {
  readonly status: MemberStatus | undefined;
  readonly lease: LeaseRow | undefined;
  readonly released: Released | undefined;
}

export interface FailsafeAnswer {
  readonly accepted: boolean;
  readonly why: string;
}

/** An answer of the part of the REST API that members use. */
export interface PeerAnswer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export class Peers {
  readonly #deps: PeersDeps;

  constructor(deps: PeersDeps) {
    this.#deps = deps;
  }

  /** Tells the others to look at the lease; does not wait for those who do not answer. */
  async wake(signal: AbortSignal, released?: Released): Promise<void> {
    const { status, lease } = this.#deps;
    const body = JSON.stringify({ status: status(), lease: lease(), released });
    await this.#each(this.#others(), (member) =>
      this.#post(member, "/pgherd/wake", body, peerTimeoutMs, signal),
    );
  }

  /** What the others say of themselves now, those that answer. */
  async statuses(signal: AbortSignal): Promise<readonly MemberStatus[]> {
    const answers = await this.#each(this.#others(), async (member) => {
      const answer = await this.#post(member, "/pgherd/member", "{}", peerTimeoutMs, signal);
      return answer === undefined ? undefined : parseStatus(answer, member.instance_id);
    });
    return answers.filter((status) => status !== undefined);
  }

  /** Whether every one of the members agreed. One that does not answer has not. */
  async agree(
    members: readonly string[],
    question: FailsafeQuestion,
    signal: AbortSignal,
  ): Promise<boolean> {
    const body = JSON.stringify(question);
    const known = this.#others().filter(({ instance_id }) => members.includes(instance_id));
    if (known.length < members.length) return false;
    const answers = await this.#each(known, (member) =>
      this.#post(member, "/pgherd/failsafe", body, failsafeTimeoutMs, signal),
    );
    const refused = known.filter((_, index) => answers[index] !== "Accepted");
    if (refused.length > 0) {
      const names = refused.map(({ instance_id }) => instance_id);
      this.#deps.log.warn("not all members agree", { refused: names, answers });
    }
    return refused.length === 0;
  }

  /** Answers a request of another member; undefined for requests that are none. */
  async answer(request: Request, body: string): Promise<PeerAnswer | undefined> {
    // Health checkers send no Host (HTTP/1.0), and then the URL is a path alone.
    const { pathname } = new URL(request.url, "http://keeper");
    if (!pathname.startsWith("/pgherd/")) return undefined;
    const { seal, self } = this.#deps;
    const what = `${request.method} ${pathname}`;
    const asked = seal.check(request.headers, { what, to: self }, body);
    const known = this.#others().some(({ instance_id }) => instance_id === asked?.from);
    if (!asked || !known) return { status: 403, body: "not a member", headers: {} };
    const reply = await this.#reply(asked.from, pathname, body);
    const about = { what: `answer to ${what}`, from: self, to: asked.from, nonce: asked.nonce };
    return { ...reply, headers: seal.headers({ ...about, atMs: 0 }, reply.body) };
  }

  async #reply(
    from: string,
    path: string,
    body: string,
  ): Promise<{ status: number; body: string }> {
    const { onWake, onFailsafe, status } = this.#deps;
    switch (path) {
      case "/pgherd/wake":
        onWake(parseTold(body, from));
        return { status: 200, body: "looking" };
      case "/pgherd/member":
        return { status: 200, body: JSON.stringify(status()) };
      case "/pgherd/failsafe": {
        const question = parseQuestion(body);
        if (!question) return { status: 400, body: "not a question" };
        const { accepted, why } = await onFailsafe(question);
        return accepted ? { status: 200, body: "Accepted" } : { status: 500, body: why };
      }
      default:
        return { status: 404, body: "no such question" };
    }
  }

  #others(): readonly HaMember[] {
    return this.#deps.members().filter(({ instance_id }) => instance_id !== this.#deps.self);
  }

  async #each<T>(
    members: readonly HaMember[],
    work: (member: HaMember) => Promise<T | undefined>,
  ): Promise<readonly (T | undefined)[]> {
    return Promise.all(
      members.map((member) =>
        work(member).catch((error) => {
          const { instance_id } = member;
          this.#deps.log.debug("a member did not answer", { instance_id, error: messageOf(error) });
          return undefined;
        }),
      ),
    );
  }

  /** The body of an answer that is signed by the member that was asked; undefined for any other. */
  async #post(
    member: HaMember,
    path: string,
    body: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { clock, seal, self, nonce: newNonce } = this.#deps;
    const what = `POST ${path}`;
    const nonce = newNonce();
    const about = { what, from: self, to: member.instance_id, nonce, atMs: clock.nowMs() };
    const url = `http://${bracketed(member.addresses[0] ?? "localhost")}:${member.rest_port}${path}`;
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...seal.headers(about, body) },
      body,
      redirect: "manual",
      signal: clock.deadline(timeoutMs, signal),
    });
    const text = await response.text();
    const expected = { what: `answer to ${what}`, to: self, answerTo: nonce };
    const answered = seal.check(response.headers, expected, text);
    if (answered?.from !== member.instance_id) return undefined;
    return response.status === 200 ? text : `refused: ${text}`;
  }
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function parseTold(text: string, from: string): Told {
  const { status, lease, released } = parseRecord(text) ?? {};
  const row = typeof lease === "object" && lease !== null ? JSON.stringify(lease) : undefined;
  return {
    status: status === undefined ? undefined : parseStatus(JSON.stringify(status), undefined),
    lease: row === undefined ? undefined : JSON.parse(row),
    released: released === undefined ? undefined : parseReleased(JSON.stringify(released), from),
  };
}

/** Only who held the lease can give it back. */
function parseReleased(text: string, from: string): Released | undefined {
  const { row, heldAs } = parseRecord(text) ?? {};
  if (typeof row !== "object" || typeof heldAs !== "object") return undefined;
  const released: Released = JSON.parse(text);
  return released.row.holder === null && released.row.ending?.holder === from
    ? released
    : undefined;
}

/** A member's own words; `id`: whose they have to be. */
function parseStatus(text: string, id: string | undefined): MemberStatus | undefined {
  const value = parseRecord(text);
  if (!value || typeof value.instance_id !== "string" || typeof value.beat !== "number") {
    return undefined;
  }
  if (id !== undefined && value.instance_id !== id) return undefined;
  const status: MemberStatus = JSON.parse(text);
  return status;
}

function parseQuestion(text: string): FailsafeQuestion | undefined {
  const value = parseRecord(text);
  if (!value) return undefined;
  const { holder, incarnation, epoch, ttl_ms } = value;
  if (typeof holder !== "string" || typeof incarnation !== "string") return undefined;
  if (typeof epoch !== "number" || typeof ttl_ms !== "number") return undefined;
  return { holder, incarnation, epoch, ttl_ms };
}

function parseRecord(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
