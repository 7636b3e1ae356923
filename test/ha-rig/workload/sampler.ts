// Asks one node all the time whether it is writable, by committing a row there, past every load balancer.
// A write that gets no answer is left waiting on its connection: an answer after a thaw is what must be seen.
import type { Recording } from "../attempt.ts";
import { type Endpoint, type Login, Session } from "./session.ts";
import { SAMPLE } from "./statements.ts";

const intervalMs = 20;
const patienceMs = 1_000;
const connectMs = 1_000;
const waitingMax = 8;

export class Sampler {
  readonly client: string;
  readonly #endpoint: Endpoint;
  readonly #login: Login;
  readonly #recording: Recording;
  readonly #waiting = new Set<Session>();
  #session: Session | undefined;
  #n = 0;
  #running = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(endpoint: Endpoint, login: Login, recording: Recording) {
    this.client = `sampler-${endpoint.host}`;
    this.#endpoint = endpoint;
    this.#login = login;
    this.#recording = recording;
  }

  start(): void {
    this.#running = true;
    this.#loop = this.#run();
  }

  /** Ends sampling; writes without an answer stay unknown. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
    this.#session?.drop();
    for (const session of this.#waiting) session.drop();
    await Bun.sleep(0);
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const startMs = performance.now();
      const session = this.#session ?? (await this.#connect());
      if (session) await this.#sample(session);
      await Bun.sleep(Math.max(1, intervalMs - (performance.now() - startMs)));
    }
  }

  async #connect(): Promise<Session | undefined> {
    try {
      this.#session = await Session.open(this.#endpoint, this.#login, connectMs);
    } catch (thrown) {
      if (!(thrown instanceof Error)) throw thrown;
    }
    return this.#session;
  }

  async #sample(session: Session): Promise<void> {
    const write = this.#write(session);
    const answered = await Promise.race([
      write.then(() => true),
      Bun.sleep(patienceMs).then(() => false),
    ]);
    if (answered && session.usable) return;
    this.#session = undefined;
    if (answered) return session.drop();
    this.#waiting.add(session);
    write.finally(() => {
      this.#waiting.delete(session);
      session.drop();
    });
    const [oldest] = this.#waiting;
    if (this.#waiting.size > waitingMax) oldest?.drop();
  }

  async #write(session: Session): Promise<void> {
    const { client } = this;
    const { host } = this.#endpoint;
    const n = this.#n++;
    const sentMs = performance.now();
    const result = await session.write("sample", SAMPLE, [client, n]);
    this.#recording.attempts.push({
      client,
      n,
      host,
      sentMs,
      endedMs: performance.now(),
      ...result,
    });
  }
}
