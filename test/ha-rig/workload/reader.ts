// Reads through the load balancer what the writers have written last.
import type { Recording } from "../attempt.ts";
import type { Route } from "./route.ts";
import { type Login, Session } from "./session.ts";
import { NEWEST } from "./statements.ts";

const intervalMs = 50;
const connectMs = 1_000;
const patienceMs = 2_000;

export class Reader {
  readonly #route: Route;
  readonly #login: Login;
  readonly #recording: Recording;
  readonly #clients: readonly string[];
  #session: Session | undefined;
  #running = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(route: Route, login: Login, recording: Recording, clients: readonly string[]) {
    this.#route = route;
    this.#login = login;
    this.#recording = recording;
    this.#clients = clients;
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
      try {
        await this.#read();
      } catch (thrown) {
        if (!(thrown instanceof Error)) throw thrown;
        this.#session?.drop();
        this.#session = undefined;
      }
      await Bun.sleep(intervalMs);
    }
  }

  async #read(): Promise<void> {
    const primary = this.#route.primary();
    if (!primary) return;
    if (!this.#session?.usable || this.#session.endpoint.host !== primary.host) {
      this.#session?.drop();
      this.#session = await Session.open(primary, this.#login, connectMs);
    }
    const sentMs = performance.now();
    const rows = await this.#session.rows(NEWEST, [this.#clients], patienceMs);
    const newest = new Map(rows.map(({ client, n }) => [String(client), Number(n ?? -1)]));
    this.#recording.reads.push({ host: primary.host, sentMs, newest });
  }
}
