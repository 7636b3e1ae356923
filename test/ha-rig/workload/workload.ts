// All clients of a run: one sampler per node, writers and a reader behind the load balancer, one record of everything.
import { Recording } from "../attempt.ts";
import type { System } from "../system.ts";
import { Reader } from "./reader.ts";
import { Route } from "./route.ts";
import { Sampler } from "./sampler.ts";
import { Session } from "./session.ts";
import { ACCOUNT_BALANCE, schema } from "./statements.ts";
import { Writer } from "./writer.ts";

const connectMs = 5_000;
const pauseMs = 10;

export class Workload {
  readonly recording = new Recording();
  readonly route: Route;
  readonly writers: readonly Writer[];
  readonly #system: System;
  readonly #samplers: readonly Sampler[];
  readonly #reader: Reader;

  constructor(system: System, writerCount: number) {
    const { login, hosts } = system;
    this.#system = system;
    this.route = new Route(
      hosts.map((host) => ({
        endpoint: system.endpoint(host),
        primaryUrl: system.primaryUrl(host),
      })),
    );
    this.#samplers = hosts.map((host) => new Sampler(system.endpoint(host), login, this.recording));
    this.writers = Array.from(
      { length: writerCount },
      (_, index) => new Writer(this.route, login, this.recording, { index, pauseMs }),
    );
    const clients = this.writers.map(({ client }) => client);
    this.#reader = new Reader(this.route, login, this.recording, clients);
  }

  /** What all accounts hold together, whatever was moved between them. */
  get balance(): number {
    return 2 * this.writers.length * ACCOUNT_BALANCE;
  }

  /** Makes the tables on the primary and starts every client. */
  async start(): Promise<void> {
    this.route.start();
    while (!this.route.primary()) await Bun.sleep(50);
    const primary = this.route.primary();
    if (!primary) throw new Error("the primary went away");
    const session = await Session.open(primary, this.#system.login, connectMs);
    for (const statement of schema(this.writers.length)) await session.rows(statement);
    session.drop();
    for (const client of [...this.#samplers, ...this.writers, this.#reader]) client.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.writers, this.#reader].map((client) => client.stop()));
    await Promise.all(this.#samplers.map((sampler) => sampler.stop()));
  }
}
