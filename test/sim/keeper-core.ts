// What the parts of a model keeper know of the whole, and what a keeper knows of its world.
import type { Rng } from "../../src/base/rng.ts";
import type { Decision, HaAction } from "../../src/ha/action.ts";
import type {
  Beginning,
  Ending,
  LeaseChange,
  LeaseRow,
  LeaseVersion,
  LeaseWrite,
} from "../../src/ha/lease.ts";
import type { Doing } from "../../src/ha/observed.ts";
import type { HaMember, HaSettings } from "../../src/ha/settings.ts";
import type {
  FailsafePromise,
  FailsafeQuestion,
  GroupView,
  LeaseSight,
  MemberStatus,
  Vote,
} from "../../src/ha/state.ts";
import type { Fencer } from "./fencer.ts";
import type { Host } from "./host.ts";
import type { Network } from "./network.ts";
import type { Postgres } from "./postgres.ts";
import type { Store, StoreState } from "./store.ts";

export interface KeeperWorld {
  readonly rng: Rng;
  readonly network: Network;
  readonly store: Store;
  readonly members: readonly HaMember[];
  /** 1 = as real keepers; less = so fast that nothing but margins keeps them apart. */
  readonly pace: number;
  readonly build: { readonly margin: boolean; readonly ownTimelines: boolean };
  settings(): HaSettings;
  wallMs(): number;
  keeperOf(id: string): KeeperCore | undefined;
  postgresOf(id: string): Postgres | undefined;
  newBranch(timeline: number, from: number): number;
  decided(by: KeeperCore, decision: Decision): void;
  nonce(): string;
}

export interface KeeperParts {
  readonly host: Host;
  readonly postgres: Postgres;
  readonly fencer: Fencer;
  readonly world: KeeperWorld;
  readonly initialPrimary: string;
}

/** What outlives the keeper: in files beside the data. */
export interface Disk {
  vote: Vote | null;
  promise: FailsafePromise | null;
  /** The boot that every time here belongs to. */
  boot: number;
  /** The newest lease that was ever seen. */
  highest: { epoch: number; seq: number };
  failedPromotions: { readonly epoch: number; readonly atMs: number }[];
  crashesAtMs: number[];
}

export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "lost"; readonly found: LeaseRow | null }
  | { readonly kind: "unknown" };

/** The keeper's line to the store. */
export interface StoreLine {
  read(timeoutMs: number, then: (state: StoreState | undefined) => void): void;
  write(write: LeaseWrite, limitMs: number, then: (outcome: Outcome) => void): void;
  saveMember(status: MemberStatus): void;
  startIntent(id: string, then: () => void): void;
  closeIntent(id: string, then: () => void): void;
}

export type Acquire = Extract<HaAction, { readonly kind: "acquire" }>;

export interface HeldLease {
  readonly heldEpoch: number;
  /** Whether the fencer has the deadline of this epoch at this very moment. */
  arms(epoch: number): boolean;
  change(change: LeaseChange): void;
  create(beginning: Beginning, then: () => void): void;
  acquire(action: Acquire, then: () => void): void;
  adopt(row: LeaseRow, then: () => void): void;
  release(ending: Ending, then: () => void): void;
  /** Every member agreed to a question that was sent at `sentAtMs`. */
  agreed(sentAtMs: number, epoch: number): void;
}

/** A keeper as its parts, the invariants and other keepers see it. */
export interface KeeperCore {
  readonly id: string;
  readonly parts: KeeperParts;
  readonly disk: Disk;
  /** Grows with every start; callbacks of an earlier one do nothing. */
  readonly life: number;
  readonly alive: boolean;
  readonly incarnation: string;
  readonly nowMs: number;
  readonly settings: HaSettings;
  readonly sight: LeaseSight | null;
  readonly decision: Decision | null;
  readonly line: StoreLine;
  readonly lease: HeldLease;
  readonly work: { readonly doing: Doing | null };
  readonly leavingSinceMs: number | null;
  rejoin: { rewinds: number; clones: number; retryAtMs: number; error: string };
  crashesSeen: number;
  /** A request to take the lease is under way. */
  acquiring: boolean;
  /** Runs later on this host's clock, unless the keeper died meanwhile. */
  later(ms: number, act: () => void): void;
  read(): void;
  /** A hint that something changed. */
  wake(): void;
  /** Takes over what a read showed. `since`: the newest lease that was known when it was sent. */
  saw(state: StoreState, since: { readonly epoch: number; readonly seq: number }): void;
  heard(status: MemberStatus): void;
  /** Tells the others that the lease is being given back. */
  announce(row: LeaseRow, heldAs: LeaseVersion): void;
  heardRelease(row: LeaseRow, heldAs: LeaseVersion): void;
  answer(question: FailsafeQuestion): boolean;
  view(): GroupView;
}
