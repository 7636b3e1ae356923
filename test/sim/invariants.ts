// What must hold after every step, whatever the nemesis did. A violation ends the run with its seed.
import type { Decision } from "../../src/ha/action.ts";
import type { LeaseRow } from "../../src/ha/lease.ts";
import { isCovered, isSafe } from "../../src/ha/quorum.ts";
import { dueIntent } from "../../src/ha/situation.ts";
import { TRANSITIONS } from "../../src/ha/transitions.ts";
import type { Host } from "./host.ts";
import type { KeeperCore } from "./keeper-core.ts";
import type { Commit, Postgres } from "./postgres.ts";
import type { Store } from "./store.ts";
import { contains, endOf } from "./wal.ts";

/** What is looked at. */
interface Observed {
  readonly schedule: { readonly nowMs: number };
  readonly store: Store;
  readonly nodes: readonly {
    readonly id: string;
    readonly host: Host;
    readonly postgres: Postgres;
    readonly keeper: KeeperCore;
  }[];
  find(id: string): Postgres | undefined;
}

export class Violation extends Error {}

const ROWS = new Map(TRANSITIONS.map((row) => [row.name, row]));

/** After the thaw of a whole host its PostgreSQL may run before its fencer does: no longer than this. */
const thawGraceMs = 400;

export class Invariants {
  readonly #world: Observed;
  readonly #timelines = new Map<number, number>();
  readonly #holders = new Map<number, string>();
  /** Commits that were acknowledged synchronously and have to survive everything that follows. */
  #promised: Commit[] = [];
  #newestEpoch = 0;
  /** Of the lease, for readers that go backwards. */
  readonly #seen = new Map<string, { readonly epoch: number; readonly seq: number }>();
  acknowledgedSync = 0;
  acknowledgedAsync = 0;
  promotions = 0;

  constructor(world: Observed) {
    this.#world = world;
  }

  /** I1: at any moment at most one PostgreSQL of the node could acknowledge a write. */
  afterStep(): void {
    let writable: Postgres | null = null;
    for (const { postgres, host } of this.#world.nodes) {
      if (!postgres.isWritable() || this.#isThawing(host.thawedAtMs)) continue;
      if (writable) fail(`I1: ${writable.id} and ${postgres.id} are writable at once`);
      writable = postgres;
    }
  }

  #isThawing(thawedAtMs: number): boolean {
    return this.#world.schedule.nowMs - thawedAtMs < thawGraceMs;
  }

  /** I2: no epoch is acknowledged in after a later one began, but for the moment after a thaw. */
  acknowledged(by: Postgres, commit: Commit): void {
    const late = commit.epoch < this.#newestEpoch;
    if (late && !this.#isThawing(by.host.thawedAtMs)) {
      fail(`I2: ${by.id} acknowledges in epoch ${commit.epoch} during epoch ${this.#newestEpoch}`);
    }
    if (commit.acknowledged === "sync") {
      this.acknowledgedSync += 1;
      if (late) this.#isInNewest(commit);
      this.#promised.push(commit);
    } else this.acknowledgedAsync += 1;
  }

  /** Acknowledged late, but before it froze the standbys that follow the new primary had it. */
  #isInNewest({ branch, lsn }: Commit): void {
    for (const { postgres } of this.#world.nodes) {
      const isNewest = postgres.primary?.epoch === this.#newestEpoch;
      if (isNewest && !contains(postgres.data.wal, branch, lsn)) {
        fail(`I3: ${postgres.id} lacks ${lsn}, which an old primary acknowledges`);
      }
    }
  }

  /** I3: every primary has every write that was acknowledged synchronously. */
  becamePrimary(who: Postgres): void {
    this.promotions += 1;
    const epoch = who.primary?.epoch ?? 0;
    if (epoch < this.#newestEpoch && this.#isThawing(who.host.thawedAtMs)) return;
    this.#newestEpoch = Math.max(this.#newestEpoch, epoch);
    this.checkPromised(who);
    const row = this.#world.store.state.row;
    if (row && row.epoch === epoch && row.holder !== who.id) {
      fail(`I5: ${who.id} is primary of epoch ${epoch}, which ${row.holder} holds`);
    }
  }

  checkPromised(who: Postgres): void {
    const { wal } = who.data;
    for (const { branch, lsn } of this.#promised) {
      if (!contains(wal, branch, lsn)) {
        fail(`I3: ${who.id} lacks ${lsn} of branch ${branch}, which was acknowledged`);
      }
    }
  }

  /** I4: a timeline number belongs to one history. */
  branched(branch: number, timeline: number, from: number): void {
    const other = this.#timelines.get(timeline);
    if (other !== undefined) {
      fail(`I4: timeline ${timeline} begins twice, the second time at ${from} (branch ${branch})`);
    }
    this.#timelines.set(timeline, branch);
  }

  /** I5: an epoch has one holder. I6: setting and record of the holder go together. */
  leaseChanged(row: LeaseRow, before: LeaseRow | null): void {
    if (before && row.epoch < before.epoch) fail("I5: the epoch went back");
    if (row.holder === null) return;
    const known = this.#holders.get(row.epoch);
    if (known !== undefined && known !== row.holder) fail(`I5: epoch ${row.epoch} has two holders`);
    this.#holders.set(row.epoch, row.holder);
    const loss = this.#world.store.state.epochs.at(-1)?.lost ?? null;
    if (row.sync.mode === "off" || (row.epoch !== before?.epoch && loss !== null)) this.forgive();
    this.#checkRecord(row);
  }

  #checkRecord(row: LeaseRow): void {
    const holder = row.holder === null ? undefined : this.#world.find(row.holder);
    const primary = holder?.primary;
    if (!holder || !primary || primary.epoch !== row.epoch) return;
    for (const setting of primary.possible) {
      if (!isSafe(setting, row.sync)) {
        fail(`I6: ${JSON.stringify(setting)} does not go with ${JSON.stringify(row.sync)}`);
      }
    }
    for (const { branch, lsn } of this.#promised) {
      const having = row.sync.voters.filter((id) => {
        const wal = this.#world.find(id)?.data.wal;
        return wal && contains(wal, branch, lsn);
      });
      if (!isCovered(row.sync, having)) fail(`I6: the record does not cover commit ${lsn}`);
    }
    this.#compact(holder);
  }

  /** What is in the one history for good need not be looked up for ever. */
  #compact({ data }: Postgres): void {
    const everywhere = this.#promised.filter(({ branch, lsn }) =>
      this.#world.nodes.every(({ postgres }) => contains(postgres.data.wal, branch, lsn)),
    );
    if (everywhere.length > 50) {
      const newest = Math.max(...everywhere.map(({ lsn }) => lsn));
      this.#promised = this.#promised.filter(
        ({ branch, lsn }) => lsn >= newest || !contains(data.wal, branch, lsn),
      );
    }
  }

  /** A user agreed to lose what the next primary lacks, or turned synchronous replication off. */
  forgive(): void {
    this.#promised = [];
  }

  /** I7: what a keeper acts on is never older than what it acted on before. I8: a pause is a pause. */
  decided(by: KeeperCore, decision: Decision): void {
    const row = by.sight?.row;
    const before = this.#seen.get(by.id);
    if (by.sight?.wentBack) fail(`I7: ${by.id} read a lease that is older than one it saw`);
    // A release that is only announced may never arrive.
    const read = by.sight?.heldAs ?? row;
    if (
      read &&
      before &&
      (read.epoch < before.epoch || (read.epoch === before.epoch && read.seq < before.seq))
    ) {
      fail(`I7: ${by.id} acts on an old lease`);
    }
    if (read) this.#seen.set(by.id, { epoch: read.epoch, seq: read.seq });
    this.#isAsTheTableSays(decision);
    const { kind } = decision.action;
    const asked = dueIntent(by.view(), "failover");
    const named = asked ?? (row?.ending?.kind === "manual" ? row.ending : undefined);
    if (kind === "acquire" && !named && dueIntent(by.view(), "pause")) {
      fail(`I8: ${by.id} takes the lease during a pause`);
    }
  }

  /** I10: a row does what the table, and so the diagram, says of it. */
  #isAsTheTableSays({ state, rule, action, goal }: Decision): void {
    const row = ROWS.get(rule);
    const honest =
      row?.from === state && row.action === action.kind && [goal.kind, "any"].includes(row.goal);
    if (!honest) fail(`I10: ${rule} in ${state} does ${action.kind} with goal ${goal.kind}`);
  }

  /** I9: once everything is well again, there is one open primary, everybody follows it, and nothing is lost. */
  atRest(): void {
    const problem = this.restProblem();
    if (problem === null) {
      const primary = this.#world.nodes.find(({ postgres }) => postgres.primary);
      if (primary) this.checkPromised(primary.postgres);
      return;
    }
    const states = this.#world.nodes.map(
      ({ id, keeper, postgres }) =>
        `${id} ${postgres.server.kind} [${keeper.decision?.state}] ${keeper.decision?.sentence}`,
    );
    fail(`I9: at rest, ${problem}; ${states.join("; ")}`);
  }

  /** Why the node is not as well as it can be. */
  restProblem(): string | null {
    const { nodes, store } = this.#world;
    const primaries = nodes.filter(({ postgres }) => postgres.primary?.gate === "open");
    const [primary] = primaries;
    if (!primary || primaries.length !== 1) return `there are ${primaries.length} open primaries`;
    const { row } = store.state;
    if (row?.holder !== primary.id || row.phase !== "open") return `the lease is ${row?.phase}`;
    const { timeline } = endOf(primary.postgres.data.wal);
    const apart = nodes.find(
      ({ id, postgres }) =>
        id !== primary.id &&
        !(postgres.standby?.streaming && endOf(postgres.data.wal).timeline === timeline),
    );
    return apart ? `${apart.id} does not stream` : null;
  }
}

function fail(message: string): never {
  throw new Violation(message);
}
