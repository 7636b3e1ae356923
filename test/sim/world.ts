// One simulated node: hosts, their PostgreSQLs, fencers and keepers, the store between them, and users who write
// wherever they are let in.
import { type Rng, seededRng } from "../../src/base/rng.ts";
import type { Decision } from "../../src/ha/action.ts";
import type { LeaseRow } from "../../src/ha/lease.ts";
import type { HaMember, HaSettings } from "../../src/ha/settings.ts";
import { Fencer } from "./fencer.ts";
import { Host } from "./host.ts";
import { Invariants } from "./invariants.ts";
import { Keeper } from "./keeper.ts";
import type { KeeperCore, KeeperWorld } from "./keeper-core.ts";
import { Network } from "./network.ts";
import { type Commit, Postgres, type PostgresWorld } from "./postgres.ts";
import { drawMembers, drawSettings } from "./scenario.ts";
import { Schedule } from "./schedule.ts";
import { Store } from "./store.ts";

/** What is left as it should be; each `false` is a build that the invariants have to catch. */
export interface Build {
  /** Fencer and watchdog end PostgreSQL at the deadline. */
  readonly fences: boolean;
  /** The holder counts from the moment of sending, and stops a guard before its promise ends. */
  readonly margin: boolean;
  /** Settings are proven before the record follows. */
  readonly proves: boolean;
  /** Timeline numbers are those that the store gave out. */
  readonly ownTimelines: boolean;
  /** Reads are linearizable. */
  readonly linearizable: boolean;
}

export const sound: Build = {
  fences: true,
  margin: true,
  proves: true,
  ownTimelines: true,
  linearizable: true,
};

export interface Member {
  readonly id: string;
  readonly host: Host;
  readonly postgres: Postgres;
  readonly fencer: Fencer;
  readonly keeper: Keeper;
}

export class World implements PostgresWorld, KeeperWorld {
  readonly schedule = new Schedule();
  readonly rng: Rng;
  readonly network: Network;
  readonly store: Store;
  readonly build: Build;
  readonly members: readonly HaMember[];
  readonly pace: number;
  readonly nodes: readonly Member[];
  readonly invariants: Invariants;
  readonly commits: Commit[] = [];
  readonly log: string[] = [];
  readonly keepsLog: boolean;
  /** The configuration as the plan wrote it; keepers take it over at their next cycle. */
  current: HaSettings;
  wallShiftMs = 0;
  #branches = 0;
  #nonces = 0;
  readonly #byId = new Map<string, Member>();

  constructor(seed: number, build: Build, keepsLog: boolean) {
    this.rng = seededRng(seed);
    this.build = build;
    this.keepsLog = keepsLog;
    this.current = drawSettings(this.rng);
    this.members = drawMembers(this.rng);
    this.pace = this.rng.next() < 0.3 ? 0.05 : 1;
    const weather = { lost: 0, doubled: 0, late: 0, delayMs: [1, 30] as const };
    this.network = new Network(this.schedule, this.rng, weather);
    this.store = new Store(this.rng, !build.linearizable);
    this.invariants = new Invariants(this);
    this.store.onLease = (row, before) => this.#leaseChanged(row, before);
    this.nodes = this.members.map(({ instance_id }) => this.#member(instance_id));
    for (const node of this.nodes) this.#byId.set(node.id, node);
    for (const { keeper } of this.nodes) keeper.start();
    this.#write();
  }

  #member(id: string): Member {
    const { rng } = this;
    const rate = 1 + (rng.next() - 0.5) * 0.0019;
    const host = new Host(id, this.schedule, rate, rng.int(60_000, 10_000_000));
    const postgres = new Postgres(id, host, this);
    const fencer = new Fencer({
      host,
      postgres,
      killMs: () => rng.int(1, 150),
      works: this.build.fences,
    });
    const first = this.members[0]?.instance_id ?? id;
    const parts = { host, postgres, fencer, world: this, initialPrimary: first };
    return { id, host, postgres, fencer, keeper: new Keeper(id, parts) };
  }

  find(id: string): Postgres | undefined {
    return this.#byId.get(id)?.postgres;
  }

  postgresOf(id: string): Postgres | undefined {
    return this.find(id);
  }

  keeperOf(id: string): Keeper | undefined {
    return this.#byId.get(id)?.keeper;
  }

  settings(): HaSettings {
    return this.current;
  }

  wallMs(): number {
    return this.schedule.nowMs + this.wallShiftMs;
  }

  nonce(): string {
    this.#nonces += 1;
    return `n${this.#nonces}`;
  }

  newBranch(timeline: number, from: number): number {
    this.#branches += 1;
    this.invariants.branched(this.#branches, timeline, from);
    return this.#branches;
  }

  acknowledged(by: Postgres, commit: Commit): void {
    this.invariants.acknowledged(by, commit);
  }

  becamePrimary(who: Postgres): void {
    this.note(`${who.id} is primary of epoch ${who.primary?.epoch}`);
    this.invariants.becamePrimary(who);
  }

  decided(by: KeeperCore, decision: Decision): void {
    this.invariants.decided(by, decision);
    if (this.keepsLog)
      this.note(`${by.id} [${decision.state}] ${decision.rule}: ${decision.sentence}`);
  }

  note(text: string): void {
    if (this.keepsLog) this.log.push(`${(this.schedule.nowMs / 1_000).toFixed(3)} ${text}`);
  }

  #leaseChanged(row: LeaseRow, before: LeaseRow | null): void {
    if (
      row.epoch !== before?.epoch ||
      row.phase !== before.phase ||
      row.sync.version !== before.sync.version
    ) {
      const { voters, quorum, mode } = row.sync;
      this.note(
        `LEASE epoch ${row.epoch} ${row.phase} ${row.holder} timeline ${row.timeline}; ${mode} ${quorum} of [${voters}]`,
      );
    }
    this.invariants.leaseChanged(row, before);
  }

  /** Users write wherever somebody takes it. */
  #write(): void {
    this.schedule.after(this.rng.int(20, 200), () => {
      for (const { host, postgres } of this.nodes) {
        if (!postgres.primary || !host.up || host.isStopped("postgres")) continue;
        const commit = postgres.commit();
        if (commit) this.commits.push(commit);
      }
      this.#write();
    });
  }
}
