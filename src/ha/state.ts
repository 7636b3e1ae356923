// What one member knows of its group at one moment: the lease as it was read, what the others said, what users
// asked for. The keeper fills it; decide() reads it. LSNs of stored things are texts, as in LeaseRow.
import type { EpochRow, LeaseChange, LeaseRow, LeaseVersion } from "./lease.ts";
import type { HaMember, HaSettings } from "./settings.ts";

/** Where a member stands; the keys of the table in transitions.ts. */
export const MEMBER_STATES = [
  /** Nothing is known: the store was not read since the keeper started, or PostgreSQL's state is not known. */
  "unknown",
  /** There is no data. */
  "empty",
  /** initdb runs, for the first epoch of the node. */
  "bootstrapping",
  /** A copy of another member is being made. */
  "cloning",
  /** Data is being turned back to where it left the primary's history. */
  "rewinding",
  /** There is data that must not be started: a copy or a rewind was cut, or it left the primary's history. */
  "diverged",
  /** There is good data, and PostgreSQL does not run. */
  "stopped",
  /** PostgreSQL is starting or stopping. */
  "changing",
  /** Runs as standby. */
  "standby",
  /** Runs as standby, the lease has ended, and this member takes part in the race. */
  "candidate",
  /** Holds the lease and is not primary yet. */
  "promoting",
  /** Holds the lease, is primary, and keeps users out until its commits are safe. */
  "gated",
  /** Holds the lease, is primary and open. */
  "primary",
  /** Holds the lease and closes in order, to give it away. */
  "draining",
  /** Holds the lease, but cannot renew it; goes on until the deadline, and further while all members agree. */
  "isolated",
  /** Runs as primary without holding the lease: has to end at once. */
  "unleased",
  /** A person has to look: the data belongs to another system, or was refused. */
  "refused",
] as const;
export type MemberState = (typeof MEMBER_STATES)[number];

/** The group as one of its members sees it. */
export interface GroupView {
  /** Instance id of this member. */
  readonly self: string;
  /** Of this keeper: new with every start. */
  readonly incarnation: string;
  /** As in InstanceConfig.ha. */
  readonly members: readonly HaMember[];
  readonly initialPrimary: string;
  readonly settings: HaSettings;
  /** null = never read since the keeper started. */
  readonly lease: LeaseSight | null;
  /** null = this keeper holds no lease. */
  readonly own: OwnLease | null;
  /** All rows of ha_epochs of the node, oldest first. */
  readonly history: readonly EpochRow[];
  /** What the other members said last, by instance id. */
  readonly others: ReadonlyMap<string, MemberSight>;
  /** Open ones, oldest first. */
  readonly intents: readonly HaIntent[];
  /** What this member promised to a holder without the store; kept in a file, void after a reboot. */
  readonly promise: FailsafePromise | null;
  /** Wall clock, for the times of intents and nothing else. */
  readonly wallMs: number;
}

/** The lease row by linearizable reads. Answers older than the newest (epoch, seq) ever seen are dropped before. */
export interface LeaseSight {
  /** null = the node has no row yet. */
  readonly row: LeaseRow | null;
  /** Boot clock: when the last answer had arrived. */
  readonly readAtMs: number;
  /** Boot clock: when the answer that showed this version for the first time had arrived. */
  readonly seenAtMs: number;
  /** The store went back behind what was seen before: it was restored or wiped. Nothing is done by itself then. */
  readonly wentBack: boolean;
  /**
   * The holder said itself that it writes `row`, its release, over this version. It holds nothing any more; the store
   * may have either.
   */
  readonly heldAs?: LeaseVersion;
}

/**
 * The lease as its holder knows it. From the moment in which a release is sent there is none, whatever becomes of it:
 * if it turns out not to be there, the lease is adopted again.
 */
export interface OwnLease {
  /** As of the last write that certainly succeeded. */
  readonly row: LeaseRow;
  /** Boot clock: deadlineMs() of lease.ts, later where a failsafe round was agreed to by all. The fencer has it too. */
  readonly deadlineMs: number;
  /** Boot clock: when the newest renewal that succeeded was sent. */
  readonly renewedAtMs: number;
  /** The change that was handed to the renewer and may or may not be in the store by now; null = none. */
  readonly changing: LeaseChange | null;
  /** The last failsafe round was agreed to by all, after the last renewal. */
  readonly failsafe: boolean;
}

/** What a member wrote about itself. */
export interface MemberSight {
  readonly status: MemberStatus;
  /** Boot clock: when something new of it arrived last, by the store or by itself. */
  readonly heardAtMs: number;
}

/** A row of ha_members; also the answer of a member that is asked directly. */
export interface MemberStatus {
  readonly instance_id: string;
  readonly incarnation: string;
  /** Grows with every writing, so that a silent member can be told from an unchanged one. */
  readonly beat: number;
  readonly state: MemberState;
  /** As PostgreSQL runs at this moment. */
  readonly role: "primary" | "standby" | "none";
  readonly system_identifier: string | null;
  /** Of `receive_lsn`: the timeline that the newest received record is on. */
  readonly timeline: number | null;
  /** Flushed on disk; of a primary its own flush position. */
  readonly receive_lsn: string | null;
  readonly replay_lsn: string | null;
  readonly streaming: boolean;
  /** Instance id of the member it receives from. */
  readonly upstream: string | null;
  /** The newest lease that it has seen. */
  readonly seen: { readonly epoch: number; readonly seq: number } | null;
  /** Its last word on an ended lease; see Vote. */
  readonly vote: Vote | null;
  /** Why it cannot be promoted now; null = it can. */
  readonly unfit: string | null;
  /** It is about to stop and must not be waited for by commits. */
  readonly leaving: boolean;
  /** Id of the pause that it keeps; absent = it knows of none. */
  readonly pause?: string;
  /** Up to where the consumers of its permanent slots have everything, by name; absent = the node has none. */
  readonly slots?: Readonly<Record<string, string>>;
}

/**
 * The final position of a member for one version of the lease: it stopped receiving, wrote this to disk, and receives
 * nothing again while the lease has this version.
 */
export interface Vote extends LeaseVersion {
  readonly timeline: number;
  readonly lsn: string;
}

/** A member's word to a holder that it keeps away from the lease. */
export interface FailsafePromise {
  readonly holder: string;
  readonly epoch: number;
  /** Boot clock of this member. */
  readonly untilMs: number;
}

/** What a holder without the store asks of every member. */
export interface FailsafeQuestion {
  readonly holder: string;
  readonly incarnation: string;
  readonly epoch: number;
  readonly ttl_ms: number;
}

/** Something a user asked of the node. Times are wall-clock. */
export interface HaIntent {
  readonly id: string;
  readonly payload: IntentPayload;
  readonly state: "pending" | "running";
  readonly not_before_ms: number | null;
  readonly expires_at_ms: number | null;
}

export type IntentPayload =
  /** Planned: the primary stops in order and `to`, or the best standby, takes over. Nothing is lost. */
  | { readonly kind: "switchover"; readonly from: string | null; readonly to: string | null }
  /** `to` takes over whatever it lacks; the user agreed to the loss. */
  | { readonly kind: "failover"; readonly to: string }
  /** Nothing happens by itself: no promotion, no restart, no rejoin. Fencing goes on. */
  | { readonly kind: "pause" }
  | { readonly kind: "restart"; readonly instance_id: string; readonly reason: string }
  /** The instance's data is replaced by a new copy; what it had is kept aside until the copy streams. */
  | { readonly kind: "reinitialize"; readonly instance_id: string; readonly from: string | null }
  /** The instance's data is turned back to the primary's history; where that cannot be done, the answer says why. */
  | { readonly kind: "rewind"; readonly instance_id: string };

/** Whether an intent is in force: its time has come and has not passed. */
export function isDue({ not_before_ms, expires_at_ms }: HaIntent, wallMs: number): boolean {
  return (not_before_ms ?? wallMs) <= wallMs && !isExpired({ expires_at_ms }, wallMs);
}

export function isExpired(
  { expires_at_ms }: Pick<HaIntent, "expires_at_ms">,
  wallMs: number,
): boolean {
  return expires_at_ms !== null && expires_at_ms <= wallMs;
}
