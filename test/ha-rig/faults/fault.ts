// Faults as values: they print, are drawn from a seed, and mean the same for every system.
import type { Mode, ProcessKind } from "../system.ts";

/** Which host is meant, decided at the moment of the fault. */
export type Role = "primary" | "sync-standby" | "standby" | "store-leader";

/** What a partition separates; `others` are all hosts but the one named, `clients` the rig itself. */
export type Links =
  /** The host from all others. */
  | "alone"
  /** The host's traffic with the store of the others, and nothing else. */
  | "store"
  /** The host's replication traffic with the others, and nothing else. */
  | "replication"
  /** Both other hosts keep in touch with it, but it cannot send to them. */
  | "send"
  /** It cannot hear the others, but they hear it. */
  | "receive"
  /** The host and one other; the third reaches both. */
  | "one-link"
  /** Clients from the host; the hosts among themselves are well. */
  | "clients";

/** What people do to PostgreSQL behind the system's back. */
export type Meddling =
  /** pg_promote on a standby. */
  | "promote-standby"
  /** A fast shutdown of the primary. */
  | "stop-primary"
  /** A standby's data directory is emptied under it. */
  | "remove-standby-data";

export type Fault =
  | { readonly kind: "kill"; readonly what: readonly ProcessKind[]; readonly on: Role }
  | {
      readonly kind: "stop";
      readonly what: readonly ProcessKind[];
      readonly on: Role;
      readonly forMs: number;
    }
  | { readonly kind: "freeze"; readonly on: Role; readonly forMs: number }
  | { readonly kind: "power-off"; readonly on: readonly Role[] | "all"; readonly forMs: number }
  | { readonly kind: "reboot"; readonly on: Role }
  | {
      readonly kind: "partition";
      readonly links: Links;
      readonly on: Role;
      readonly forMs: number;
    }
  | {
      readonly kind: "store-down";
      readonly members: "leader" | "majority" | "all";
      readonly how: "kill" | "stop";
      readonly forMs: number;
    }
  | {
      readonly kind: "slow-link";
      readonly on: Role;
      readonly delayMs: number;
      readonly forMs: number;
    }
  /** The host gets so much of one processor, as beside a greedy neighbour. */
  | {
      readonly kind: "throttle";
      readonly on: Role;
      readonly percent: number;
      readonly forMs: number;
    }
  /** During a pause, in which nobody else may become primary; the pause ends with the fault. */
  | { readonly kind: "paused"; readonly fault: Fault; readonly forMs: number }
  /** Beside a subscriber of a logical slot, which must be sent every row once at least. */
  | { readonly kind: "subscribed"; readonly fault: Fault }
  | { readonly kind: "disk-full"; readonly on: Role; readonly forMs: number }
  | { readonly kind: "meddle"; readonly how: Meddling }
  /** Clients that are no superusers take every connection there is. */
  | { readonly kind: "exhaust"; readonly forMs: number }
  /** Statements that wait for a standby are cancelled, again and again. */
  | { readonly kind: "cancel-waits"; readonly forMs: number }
  | {
      readonly kind: "repeat";
      readonly fault: Fault;
      readonly times: number;
      readonly everyMs: number;
    }
  | { readonly kind: "switchover" }
  | { readonly kind: "clean-stop"; readonly forMs: number };

/** One line for people and for repeating. */
export function describe(fault: Fault): string {
  const seconds = "forMs" in fault ? ` for ${fault.forMs / 1_000} s` : "";
  switch (fault.kind) {
    case "kill":
      return `kill -9 ${fault.what.join("+")} of ${fault.on}`;
    case "stop":
      return `SIGSTOP ${fault.what.join("+")} of ${fault.on}${seconds}`;
    case "freeze":
      return `freeze host of ${fault.on}${seconds}`;
    case "power-off":
      return `power off ${fault.on === "all" ? "all hosts" : fault.on.join(" and ")}${seconds}`;
    case "reboot":
      return `reboot host of ${fault.on}`;
    case "partition":
      return `partition ${fault.on}: ${fault.links}${seconds}`;
    case "store-down":
      return `store ${fault.members} ${fault.how === "kill" ? "killed" : "stopped"}${seconds}`;
    case "slow-link":
      return `slow link of ${fault.on} (${fault.delayMs} ms)${seconds}`;
    case "throttle":
      return `${fault.percent} % of a processor for ${fault.on}${seconds}`;
    case "paused":
      return `in a pause${seconds}: ${describe(fault.fault)}`;
    case "subscribed":
      return `beside a subscriber: ${describe(fault.fault)}`;
    case "disk-full":
      return `disk full on ${fault.on}${seconds}`;
    case "meddle":
      return `by hand: ${fault.how}`;
    case "exhaust":
      return `all connections taken${seconds}`;
    case "cancel-waits":
      return `waiting commits cancelled${seconds}`;
    case "repeat":
      return `${fault.times} times, every ${fault.everyMs / 1_000} s: ${describe(fault.fault)}`;
    case "switchover":
      return "switchover";
    case "clean-stop":
      return `clean stop of primary${seconds}`;
  }
}

/** What a run may show after faults; everything that is not said here is a defect. */
export interface Expectation {
  /** Acknowledged rows may be lost (asynchronous replication and a failover). */
  readonly mayLose: boolean;
  /** Two nodes may acknowledge for as long as the system needs to notice what was done by hand. */
  readonly mayOverlap: boolean;
}

/** In every synchronous mode nothing acknowledged may be lost; two nodes must never acknowledge. */
export function expectation(mode: Mode, byHand = false): Expectation {
  return { mayLose: mode === "async" || byHand, mayOverlap: byHand };
}
