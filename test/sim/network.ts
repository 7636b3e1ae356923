// What happens to messages: they take time, get lost, come twice or very late, or meet a cut link.
import type { Rng } from "../../src/base/rng.ts";
import type { Schedule } from "./schedule.ts";

export interface Weather {
  /** Shares of messages. */
  lost: number;
  doubled: number;
  late: number;
  readonly delayMs: readonly [least: number, most: number];
}

export class Network {
  readonly #schedule: Schedule;
  readonly #rng: Rng;
  readonly weather: Weather;
  /** Directed pairs "a>b" that let nothing through. */
  readonly #cut = new Set<string>();

  constructor(schedule: Schedule, rng: Rng, weather: Weather) {
    this.#schedule = schedule;
    this.#rng = rng;
    this.weather = weather;
  }

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
  }

  mend(from: string, to: string): void {
    this.#cut.delete(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  /** A request that may be lost, doubled or late. */
  send(from: string, to: string, arrive: () => void): void {
    if (this.isCut(from, to)) return;
    const { lost, doubled, late } = this.weather;
    const chance = this.#rng.next();
    if (chance < lost) return;
    this.#deliver(from, to, arrive, chance < lost + late);
    if (chance > 1 - doubled) this.#deliver(from, to, arrive, false);
  }

  #deliver(from: string, to: string, arrive: () => void, late: boolean): void {
    const [least, most] = this.weather.delayMs;
    const ms = late ? this.#rng.int(1_000, 20_000) : least + this.#rng.next() * (most - least);
    this.#schedule.after(ms, () => {
      if (late || !this.isCut(from, to)) arrive();
    });
  }
}
