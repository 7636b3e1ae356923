// Finds the primary as a load balancer does: by asking the REST API of every host, never by asking PostgreSQL.
import type { Endpoint } from "./session.ts";

const intervalMs = 250;
const timeoutMs = 2_000;

export interface RoutedHost {
  readonly endpoint: Endpoint;
  /** URL that answers 200 on the primary alone. */
  readonly primaryUrl: string;
}

export class Route {
  readonly #hosts: readonly RoutedHost[];
  /** Hosts that say that they are primary, the newest last. */
  #primaries: RoutedHost[] = [];
  #running = false;
  #loops: Promise<void>[] = [];

  constructor(hosts: readonly RoutedHost[]) {
    this.#hosts = hosts;
  }

  start(): void {
    this.#running = true;
    this.#loops = this.#hosts.map((host) => this.#poll(host));
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
  }

  /** The host that became primary last, of those that still say so. */
  primary(): Endpoint | undefined {
    return this.#primaries.at(-1)?.endpoint;
  }

  /** Asks every host now. */
  async look(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => this.#ask(host)));
  }

  async #poll(host: RoutedHost): Promise<void> {
    while (this.#running) {
      await this.#ask(host);
      await Bun.sleep(intervalMs);
    }
  }

  async #ask(host: RoutedHost): Promise<void> {
    const says = await isPrimary(host.primaryUrl);
    const known = this.#primaries.includes(host);
    if (says && !known) this.#primaries = [...this.#primaries, host];
    if (!says && known) this.#primaries = this.#primaries.filter((other) => other !== host);
  }
}

/** Whether a REST API answers 200. */
export async function isPrimary(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), keepalive: false });
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch (thrown) {
    if (thrown instanceof Error) return false;
    throw thrown;
  }
}
