// A client as applications have them: follows the load balancer, writes one row after another, gives up on silence.
import type { Recording } from "../attempt.ts";
import type { Route } from "./route.ts";
import { type Endpoint, type Login, Session } from "./session.ts";
import { WRITE } from "./statements.ts";

const connectMs = 1_000;
const patienceMs = 3_000;
/** Writes per shared list, so that lists stay short. */
const listLength = 25;

export interface WriterOptions {
  readonly index: number;
  readonly pauseMs: number;
}

export class Writer {
  readonly client: string;
  readonly #route: Route;
  readonly #login: Login;
  readonly #recording: Recording;
  readonly #options: WriterOptions;
  #session: Session | undefined;
  #n = 0;
  #running = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(route: Route, login: Login, recording: Recording, options: WriterOptions) {
    this.client = `writer-${options.index}`;
    this.#route = route;
    this.#login = login;
    this.#recording = recording;
    this.#options = options;
  }

  start(): void {
    this.#running = true;
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
    this.#session?.drop();
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const session = await this.#follow();
      if (session) await this.#write(session);
      await Bun.sleep(this.#options.pauseMs);
    }
  }

  /** A session to whoever is primary now. */
  async #follow(): Promise<Session | undefined> {
    const primary = this.#route.primary();
    const current = this.#session;
    if (current?.usable && current.endpoint.host === primary?.host) return current;
    current?.drop();
    this.#session = primary && (await this.#open(primary));
    return this.#session;
  }

  async #open(endpoint: Endpoint): Promise<Session | undefined> {
    try {
      return await Session.open(endpoint, this.#login, connectMs);
    } catch (thrown) {
      if (thrown instanceof Error) return undefined;
      throw thrown;
    }
  }

  async #write(session: Session): Promise<void> {
    const { client } = this;
    const { host } = session.endpoint;
    const n = this.#n++;
    const sentMs = performance.now();
    const impatience = setTimeout(() => session.drop(), patienceMs);
    const account = 2 * this.#options.index;
    const result = await session.write("write", WRITE, [client, n, account, (n / listLength) | 0]);
    clearTimeout(impatience);
    this.#recording.attempts.push({
      client,
      n,
      host,
      sentMs,
      endedMs: performance.now(),
      ...result,
    });
    if (result.outcome !== "acked") session.drop();
  }
}
