// A consumer of a logical slot that follows the primary, as a change feed does, and remembers which rows it was sent.
import { eventually } from "../../lab/lab.ts";
import { ask, ledgerOf } from "../facts.ts";
import type { System } from "../system.ts";

const slot = "rig_feed";
const intervalMs = 200;
const batch = 5_000;
const readyMs = 120_000;
const INSERTED = /^table rig\.ledger: INSERT: client\[text\]:'([^']+)' n\[bigint\]:(\d+)/;

type PrimaryName = () => string | undefined;

export class Subscriber {
  readonly #system: System;
  readonly #primary: PrimaryName;
  readonly #received = new Set<string>();
  /** Rows that were there before the slot. */
  #older: ReadonlySet<string> = new Set();
  #running = true;
  #loop: Promise<void> = Promise.resolve();

  private constructor(system: System, primary: PrimaryName) {
    this.#system = system;
    this.#primary = primary;
  }

  /** Makes the slot and reads from it; returns when every member has it. */
  static async start(system: System, primary: PrimaryName): Promise<Subscriber> {
    const subscriber = new Subscriber(system, primary);
    await system.makeSlot(slot);
    subscriber.#older = await subscriber.#ledger();
    subscriber.#loop = subscriber.#run();
    await eventually("the slot is on every member", () => subscriber.#everywhere(), readyMs);
    return subscriber;
  }

  /** Waits until everything that the primary has now was sent; throws when that does not come. Drops the slot. */
  async finish(): Promise<void> {
    try {
      const wanted = [...(await this.#ledger())].filter((row) => !this.#older.has(row));
      const missing = () => wanted.filter((row) => !this.#received.has(row));
      const all = () => missing().length === 0;
      await eventually("the subscriber has all rows", all, readyMs).catch((thrown: unknown) => {
        const rows = missing();
        throw new Error(
          `${thrown}: ${rows.length} of ${wanted.length} lack, as ${rows.slice(0, 5)}`,
        );
      });
      console.log(`the subscriber has all ${wanted.length} rows`);
    } finally {
      await this.stop();
    }
  }

  /** Reads no more, and drops the slot once nothing reads from it: a session of ours may outlive its connection. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
    const isDropped = async () => {
      try {
        await this.#system.dropSlot(slot);
        return true;
      } catch (thrown) {
        if (String(thrown).includes("is in use")) return false;
        throw thrown;
      }
    };
    await eventually(`slot ${slot} is dropped`, isDropped, readyMs);
  }

  async #run(): Promise<void> {
    const take = `SELECT data FROM pg_logical_slot_get_changes('${slot}', NULL, ${batch})`;
    while (this.#running) {
      const rows = await this.#onPrimary(take);
      for (const { data } of rows ?? []) {
        const [, client, n] = INSERTED.exec(String(data)) ?? [];
        if (client !== undefined) this.#received.add(`${client}:${n}`);
      }
      await Bun.sleep(intervalMs);
    }
  }

  /** Undefined while nobody is primary or the connection is lost. */
  async #onPrimary(statement: string): Promise<readonly Record<string, unknown>[] | undefined> {
    const host = this.#system.hosts.find(({ name }) => name === this.#primary());
    if (!host) return undefined;
    return ask(this.#system, host, (session) => session.rows(statement)).catch(() => undefined);
  }

  async #ledger(): Promise<ReadonlySet<string>> {
    let found: ReadonlySet<string> | undefined;
    const look = async () => {
      const host = this.#system.hosts.find(({ name }) => name === this.#primary());
      found = host && (await ledgerOf(this.#system, host).catch(() => undefined));
      return found !== undefined;
    };
    await eventually("there is a primary to read from", look, readyMs);
    return found ?? new Set();
  }

  async #everywhere(): Promise<boolean> {
    const there = `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${slot}' AND NOT temporary`;
    const answers = await Promise.all(
      this.#system.hosts.map((host) => ask(this.#system, host, (session) => session.rows(there))),
    );
    return answers.every((rows) => rows.length === 1);
  }
}
