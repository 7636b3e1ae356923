// Writes one row after the other to whichever instance of a group takes it, as an application would, and remembers
// what was acknowledged, by whom and when.
import { SQL } from "bun";
import { systemClock } from "../../src/base/clock.ts";
import type { KeptGroup } from "./kept-group.ts";
import type { KeptInstance } from "./kept-instance.ts";

export interface Acknowledged {
  readonly id: number;
  readonly instance: string;
  readonly sentMs: number;
  readonly atMs: number;
}

const pauseMs = 2;
const patienceMs = 1_000;

export class GroupWriter {
  readonly acknowledged: Acknowledged[] = [];
  readonly #group: KeptGroup;
  readonly #sessions = new Map<string, SQL>();
  #ended = false;
  #running: Promise<void> | undefined;
  #id = 0;

  constructor(group: KeptGroup) {
    this.#group = group;
  }

  /** Makes the table on the primary and begins. */
  async start(primary: KeptInstance): Promise<void> {
    await primary.query("CREATE TABLE IF NOT EXISTS written (id bigint PRIMARY KEY, by text)");
    this.#running = this.#run(primary);
  }

  /** Ends, and answers the longest time between two acknowledgements. */
  async stop(): Promise<number> {
    this.#ended = true;
    await this.#running;
    for (const session of this.#sessions.values()) await session.close({ timeout: 0 });
    return this.longestGapMs();
  }

  longestGapMs(): number {
    const times = this.acknowledged.map(({ atMs }) => atMs);
    return Math.round(Math.max(0, ...times.slice(1).map((atMs, n) => atMs - (times[n] ?? 0))));
  }

  /** Pairs of rows that two instances acknowledged at the same time, or one after the other had taken over. */
  overlaps(): readonly (readonly [number, number])[] {
    const found: [number, number][] = [];
    const order: string[] = [];
    for (const { id, instance } of this.acknowledged) {
      if (order.at(-1) === instance) continue;
      const earlier = this.acknowledged.find((row) => row.instance === instance);
      if (order.includes(instance) && earlier) found.push([earlier.id, id]);
      order.push(instance);
    }
    return found;
  }

  /** Rows that are not there although they were acknowledged before this was asked. */
  async lost(primary: KeptInstance): Promise<readonly number[]> {
    const acknowledged = [...this.acknowledged];
    const found = new Set((await primary.query("SELECT id FROM written")).split("\n").map(Number));
    return acknowledged.map(({ id }) => id).filter((id) => !found.has(id));
  }

  /** Waits until so many more rows were acknowledged. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledged.length + count;
    const endMs = systemClock.monotonicMs() + 30_000;
    while (this.acknowledged.length < goal) {
      if (systemClock.monotonicMs() > endMs) throw new Error("nothing is written any more");
      await systemClock.sleep(20);
    }
  }

  async #run(first: KeptInstance): Promise<void> {
    let current = this.#group.instances.indexOf(first);
    while (!this.#ended) {
      const instance = this.#group.at(current);
      if (await this.#write(instance)) {
        await systemClock.sleep(pauseMs);
      } else {
        current = (current + 1) % this.#group.instances.length;
        await systemClock.sleep(pauseMs);
      }
    }
  }

  async #write(instance: KeptInstance): Promise<boolean> {
    this.#id += 1;
    const id = this.#id;
    const sentMs = systemClock.monotonicMs();
    const session = this.#session(instance);
    const answer = session`INSERT INTO written VALUES (${id}, ${instance.id})`;
    const over = new AbortController();
    try {
      const late = systemClock.sleep(patienceMs, over.signal).then((): never => {
        throw new Error("no answer");
      });
      await Promise.race([answer, late]);
      const atMs = systemClock.monotonicMs();
      this.acknowledged.push({ id, instance: instance.id, sentMs, atMs });
      return true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#sessions.delete(instance.id);
      await session.close({ timeout: 0 });
      return false;
    } finally {
      over.abort();
    }
  }

  #session(instance: KeptInstance): SQL {
    const known = this.#sessions.get(instance.id);
    if (known) return known;
    const session = new SQL({
      adapter: "postgres",
      path: `${instance.file.layout.run_dir}/.s.PGSQL.${instance.port}`,
      username: "pgedge",
      database: "postgres",
      max: 1,
      connectionTimeout: 2,
    });
    this.#sessions.set(instance.id, session);
    return session;
  }
}
