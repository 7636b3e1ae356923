// The store: one state that changes by compare-and-set, asked over a network. Answers are values of the moment the
// request arrived; in the build with stale reads, of some moment before.

import type { Rng } from "../../src/base/rng.ts";
import type { EpochRow, LeaseRow, LeaseWrite } from "../../src/ha/lease.ts";
import { fits } from "../../src/ha/lease.ts";
import type { HaIntent, MemberStatus } from "../../src/ha/state.ts";

export interface StoreState {
  readonly row: LeaseRow | null;
  readonly epochs: readonly EpochRow[];
  readonly members: ReadonlyMap<string, MemberStatus>;
  readonly intents: readonly HaIntent[];
}

export class Store {
  up = true;
  state: StoreState = { row: null, epochs: [], members: new Map(), intents: [] };
  readonly #past: StoreState[] = [];
  readonly #stale: boolean;
  readonly #rng: Rng;
  /** Sees every lease that was written. */
  onLease: (row: LeaseRow, before: LeaseRow | null) => void = () => {};

  constructor(rng: Rng, stale: boolean) {
    this.#rng = rng;
    this.#stale = stale;
  }

  read(): StoreState {
    if (!this.#stale || this.#past.length === 0 || this.#rng.next() < 0.5) return this.state;
    return this.#past[this.#rng.int(0, this.#past.length - 1)] ?? this.state;
  }

  /** Whether the write was applied. */
  write(write: LeaseWrite): boolean {
    const { row, history } = write;
    const { row: current, epochs } = this.state;
    if (!fits(write, current)) return false;
    this.#change({
      row,
      epochs: history === null ? epochs : applied(epochs, history),
    });
    this.onLease(row, current);
    return true;
  }

  saveMember(status: MemberStatus): void {
    const members = new Map(this.state.members);
    members.set(status.instance_id, status);
    this.#change({ members });
  }

  addIntent(intent: HaIntent): void {
    this.#change({ intents: [...this.state.intents, intent] });
  }

  startIntent(id: string): void {
    const intents = this.state.intents.map((intent) =>
      intent.id === id ? { ...intent, state: "running" as const } : intent,
    );
    this.#change({ intents });
  }

  closeIntent(id: string): void {
    this.#change({ intents: this.state.intents.filter((intent) => intent.id !== id) });
  }

  #change(part: Partial<StoreState>): void {
    if (this.#stale) {
      this.#past.push(this.state);
      if (this.#past.length > 60) this.#past.shift();
    }
    this.state = { ...this.state, ...part };
  }
}

function applied(
  epochs: readonly EpochRow[],
  history: NonNullable<LeaseWrite["history"]>,
): readonly EpochRow[] {
  if (history.kind === "append") return [...epochs, history.row];
  return epochs.map((row) => {
    const fork = history.forks.find(({ timeline }) => timeline === row.timeline);
    if (!fork || row.from_timeline !== null) return row;
    return { ...row, from_timeline: fork.from_timeline, switch_lsn: fork.switch_lsn };
  });
}
