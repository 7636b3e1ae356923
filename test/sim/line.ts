// A keeper's line to the store: requests with a limit of time, and compare-and-set whose doubtful answers are resolved
// by reading, as src/store/compare-and-set.ts does it.
import { fits, type LeaseWrite } from "../../src/ha/lease.ts";
import type { MemberStatus } from "../../src/ha/state.ts";
import type { KeeperCore, Outcome, StoreLine } from "./keeper-core.ts";
import type { StoreState } from "./store.ts";

export class Line implements StoreLine {
  readonly #keeper: KeeperCore;

  constructor(keeper: KeeperCore) {
    this.#keeper = keeper;
  }

  /** Reads everything, tells the keeper, and then whoever asked. */
  read(timeoutMs: number, then: (state: StoreState | undefined) => void): void {
    const since = { ...this.#keeper.disk.highest };
    const { store } = this.#keeper.parts.world;
    this.#ask(
      () => store.read(),
      timeoutMs,
      (state) => {
        if (state) this.#keeper.saw(state, since);
        then(state);
      },
    );
  }

  write(write: LeaseWrite, limitMs: number, then: (outcome: Outcome) => void): void {
    const endMs = this.#keeper.nowMs + limitMs;
    const tryMs = this.#keeper.settings.retry_ms / 3;
    const { store } = this.#keeper.parts.world;
    const attempt = (): void => {
      this.#ask(
        () => store.write(write),
        tryMs,
        (applied) => {
          if (applied) then({ kind: "done" });
          else resolve();
        },
      );
    };
    const resolve = (): void => {
      if (this.#keeper.nowMs >= endMs) {
        then({ kind: "unknown" });
        return;
      }
      this.read(tryMs, (state) => {
        const row = state?.row;
        if (row?.nonce === write.row.nonce) then({ kind: "done" });
        else if (!state) this.#keeper.later(50, resolve);
        else if (fits(write, row ?? null)) attempt();
        else then({ kind: "lost", found: row ?? null });
      });
    };
    attempt();
  }

  saveMember(status: MemberStatus): void {
    const { world } = this.#keeper.parts;
    this.#ask(
      () => world.store.saveMember(status),
      1_000,
      () => {},
    );
  }

  startIntent(id: string, then: () => void): void {
    const { world } = this.#keeper.parts;
    this.#ask(() => world.store.startIntent(id), 1_000, then);
  }

  closeIntent(id: string, then: () => void): void {
    const { world } = this.#keeper.parts;
    this.#ask(() => world.store.closeIntent(id), 1_000, then);
  }

  /** The first answer that comes, or undefined when none came in time. */
  #ask<T>(apply: () => T, timeoutMs: number, then: (answer: T | undefined) => void): void {
    const { id, parts, life } = this.#keeper;
    const { network, store } = parts.world;
    let over = false;
    const end = (answer: T | undefined): void => {
      if (over || life !== this.#keeper.life) return;
      over = true;
      then(answer);
    };
    network.send(id, "store", () => {
      if (!store.up) return;
      const answer = apply();
      network.send("store", id, () => parts.host.now("keeper", () => end(answer)));
    });
    this.#keeper.later(timeoutMs, () => end(undefined));
  }
}
