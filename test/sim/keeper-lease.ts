// The renewer of a model keeper: writes the lease, knows its deadline, and tells the fencer of it before anything else.
import { offerMs } from "../../src/base/limits.ts";
import {
  acquired,
  adopted,
  type Beginning,
  created,
  deadlineMs,
  type Ending,
  type LeaseChange,
  type LeaseRow,
  type LeaseWrite,
  released,
  renewed,
  type SentRenewal,
  versionOf,
} from "../../src/ha/lease.ts";
import type { OwnLease } from "../../src/ha/state.ts";
import type { Acquire, HeldLease, KeeperCore } from "./keeper-core.ts";
import { lsnText } from "./wal.ts";

interface Held {
  row: LeaseRow;
  /** The last renewal that succeeded, then those whose fate is not known. */
  sent: (SentRenewal & { readonly write: LeaseWrite | null })[];
  failsafeUntilMs: number;
  /** When the answer to it was there: not what counts. */
  answeredAtMs: number;
}

export class Lease implements HeldLease {
  readonly #keeper: KeeperCore;
  #held: Held | null = null;
  #change: LeaseChange | null = null;
  #busy = false;
  heldEpoch = 0;

  constructor(keeper: KeeperCore) {
    this.#keeper = keeper;
  }

  view(): OwnLease | null {
    const held = this.#held;
    if (!held) return null;
    return {
      row: held.row,
      deadlineMs: this.#deadline(held),
      renewedAtMs: held.sent[0]?.sentAtMs ?? 0,
      changing: this.#change,
      failsafe: held.failsafeUntilMs > 0,
    };
  }

  /** In the build without margin: from the answer on, and to the very end of the promise. */
  #deadline(held: Held): number {
    const { settings, parts } = this.#keeper;
    const { margin } = parts.world.build;
    const byRenewals = margin
      ? deadlineMs(held.sent, settings)
      : held.answeredAtMs + held.row.ttl_ms;
    return Math.max(byRenewals, held.failsafeUntilMs);
  }

  /** Whether the fencer has the deadline of this epoch at this very moment: what every start has to wait for. */
  arms(epoch: number): boolean {
    const held = this.#held;
    if (!held || held.row.epoch !== epoch || this.#keeper.nowMs >= this.#deadline(held))
      return false;
    return this.#arm();
  }

  #arm(): boolean {
    const held = this.#held;
    if (!held) return false;
    return this.#keeper.parts.fencer.arm(held.row.epoch, this.#deadline(held));
  }

  change(change: LeaseChange): void {
    if (this.#change || !this.#held) return;
    this.#change = change;
    this.renew();
  }

  renew(): void {
    const held = this.#held;
    if (!held || this.#busy) return;
    const { lsn } = this.#keeper.parts.postgres;
    const primary = this.#keeper.parts.postgres.primary !== null;
    const change = this.#change;
    const write = renewed(held.row, this.#writer(), {
      ...(primary ? { optime: lsnText(lsn) } : {}),
      ...(change ? { change } : {}),
    });
    this.#send(write, (kept) => {
      if (kept && change === this.#change) this.#change = null;
    });
  }

  #send(write: LeaseWrite, then: (kept: boolean) => void): void {
    const held = this.#held;
    if (!held) return;
    const sentAtMs = this.#keeper.nowMs;
    held.sent.push({ sentAtMs, ttlMs: write.row.ttl_ms, write });
    this.#busy = true;
    this.#arm();
    this.#keeper.line.write(write, this.#keeper.settings.retry_ms, (outcome) => {
      this.#busy = false;
      if (this.#held !== held) return;
      if (outcome.kind === "done") {
        this.#settle(held, write);
        then(true);
      } else if (outcome.kind === "lost") this.noticed(outcome.found);
    });
  }

  #settle(held: Held, write: LeaseWrite): void {
    const at = held.sent.find((sent) => sent.write === write);
    held.row = write.row;
    held.answeredAtMs = this.#keeper.nowMs;
    held.sent = at ? [{ ...at, write: null }] : held.sent;
    held.failsafeUntilMs = 0;
    this.#arm();
    if (at && this.#keeper.nowMs - at.sentAtMs > this.#keeper.settings.loop_ms) this.renew();
  }

  /** What a read showed: a renewal in doubt that is there, or the loss of the lease. */
  noticed(row: LeaseRow | null): void {
    const held = this.#held;
    if (!held || !row || row.epoch < held.row.epoch) return;
    if (row.epoch === held.row.epoch && row.seq <= held.row.seq) return;
    const doubtful = held.sent.find(({ write }) => write?.row.nonce === row.nonce)?.write;
    if (doubtful) {
      this.#settle(held, doubtful);
      return;
    }
    this.#drop();
  }

  #drop(): void {
    this.#held = null;
    this.#change = null;
  }

  create(beginning: Beginning, then: () => void): void {
    this.#take(created(this.#writer(), beginning), then);
  }

  acquire({ row, taking, heldAs }: Acquire, then: () => void): void {
    this.#take(acquired(row, this.#writer(), taking, heldAs), then);
  }

  adopt(row: LeaseRow, then: () => void): void {
    this.#take(adopted(row, this.#writer()), then);
  }

  #take(write: LeaseWrite, then: () => void): void {
    const sentAtMs = this.#keeper.nowMs;
    this.#keeper.line.write(write, this.#keeper.settings.retry_ms, (outcome) => {
      if (outcome.kind === "done") {
        const { row } = write;
        this.#held = {
          row,
          sent: [{ sentAtMs, ttlMs: row.ttl_ms, write: null }],
          failsafeUntilMs: 0,
          answeredAtMs: this.#keeper.nowMs,
        };
        this.heldEpoch = row.epoch;
        this.#arm();
      }
      then();
    });
  }

  release(ending: Ending, then: () => void): void {
    const held = this.#held;
    if (!held || this.#busy) {
      then();
      return;
    }
    const write = released(held.row, this.#writer(), ending);
    this.#drop();
    this.#keeper.announce(write.row, versionOf(held.row));
    this.#busy = true;
    const end = () => {
      this.#busy = false;
      then();
    };
    const { world } = this.#keeper.parts;
    this.#keeper.later(world.rng.int(0, offerMs), () => {
      if ((this.#keeper.sight?.row?.epoch ?? 0) > write.row.epoch) end();
      else this.#keeper.line.write(write, this.#keeper.settings.retry_ms, end);
    });
  }

  /** Every member agreed to a question that was sent at `sentAtMs`. */
  agreed(sentAtMs: number, epoch: number): void {
    const held = this.#held;
    if (!held || held.row.epoch !== epoch) return;
    const until = sentAtMs + held.row.ttl_ms - this.#keeper.settings.guard_ms;
    held.failsafeUntilMs = Math.max(held.failsafeUntilMs, until);
    this.#arm();
  }

  #writer() {
    const { id, incarnation, settings, parts } = this.#keeper;
    return { self: id, incarnation, nonce: parts.world.nonce(), settings };
  }
}
