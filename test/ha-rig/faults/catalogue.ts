// The fault matrix: every fault with a number that stays, and what it must not do. Times follow the system's own
// settings, so that "longer than it takes to notice" means the same everywhere.
import type { Fault } from "./fault.ts";

export interface CatalogueEntry {
  /** Group of the matrix and place in it. */
  readonly id: string;
  readonly fault: Fault;
  /** The primary must stay: nothing that it needs was taken from it. */
  readonly noPromotion: boolean;
  /** Longest time without writes: another instance must have taken over before the fault ends. */
  readonly gapMaxMs: number;
  /** Belongs to the small set that is run on every major version of PostgreSQL. */
  readonly core: boolean;
  readonly kind: EntryKind;
  /** Takes so long that it is done only when it is asked for by its number. */
  readonly slow: boolean;
}

/** Faults of one kind share labs. `by-hand`: nobody can promise that rows written behind the system's back stay. */
export const ENTRY_KINDS = ["usual", "small-disks", "by-hand"] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

interface Row {
  readonly fault: Fault;
  readonly takenOver?: boolean;
  readonly gapMaxMs?: number;
  readonly quiet?: boolean;
  readonly core?: boolean;
  readonly kind?: EntryKind;
  readonly slow?: boolean;
}

const brief = 4_000;
/** Longest pause of a primary that has no reason to stop, on a busy machine. */
const goesOnMs = 5_000;

/** The matrix for a system that notices a lost host after `detectionMs`. */
export function catalogue(detectionMs: number): CatalogueEntry[] {
  const long = detectionMs + 10_000;
  const gapMaxMs = detectionMs + 5_000;
  const groups: Readonly<Record<string, readonly Row[]>> = {
    S1: [{ fault: { kind: "switchover" }, takenOver: true, core: true }],
    S2: [{ fault: { kind: "clean-stop", forMs: brief }, core: true }],
    F1: [
      { fault: { kind: "kill", what: ["postmaster"], on: "primary" }, core: true },
      { fault: { kind: "kill", what: ["postmaster"], on: "sync-standby" }, quiet: true },
    ],
    F2: [
      { fault: { kind: "kill", what: ["backend"], on: "primary" } },
      { fault: { kind: "kill", what: ["checkpointer"], on: "primary" } },
      { fault: { kind: "kill", what: ["walsender"], on: "primary" } },
      { fault: { kind: "kill", what: ["walreceiver"], on: "sync-standby" }, quiet: true },
      { fault: { kind: "kill", what: ["startup"], on: "sync-standby" }, quiet: true },
    ],
    F3: [
      { fault: { kind: "kill", what: ["agent"], on: "primary" }, quiet: true, core: true },
      { fault: { kind: "kill", what: ["agent"], on: "standby" }, quiet: true },
    ],
    F4: [
      { fault: { kind: "kill", what: ["fencer"], on: "primary" } },
      { fault: { kind: "kill", what: ["agent", "fencer"], on: "primary" } },
    ],
    F5: [
      { fault: { kind: "stop", what: ["agent"], on: "primary", forMs: brief } },
      {
        fault: { kind: "stop", what: ["agent"], on: "primary", forMs: long },
        takenOver: true,
        core: true,
      },
      { fault: { kind: "stop", what: ["agent"], on: "sync-standby", forMs: long }, quiet: true },
    ],
    F6: [
      {
        fault: { kind: "stop", what: ["fencer"], on: "primary", forMs: long },
        takenOver: true,
        core: true,
      },
      {
        fault: { kind: "stop", what: ["agent", "fencer"], on: "primary", forMs: long },
        takenOver: true,
      },
    ],
    F7: [
      {
        fault: { kind: "stop", what: ["postmaster"], on: "primary", forMs: long },
        takenOver: true,
        core: true,
      },
      { fault: { kind: "stop", what: ["checkpointer"], on: "primary", forMs: long } },
      {
        fault: { kind: "stop", what: ["walreceiver"], on: "sync-standby", forMs: long },
        quiet: true,
      },
      { fault: { kind: "stop", what: ["startup"], on: "sync-standby", forMs: long }, quiet: true },
      {
        fault: { kind: "stop", what: ["postmaster", "backend"], on: "primary", forMs: long },
        takenOver: true,
      },
    ],
    F8: [
      { fault: { kind: "freeze", on: "primary", forMs: brief } },
      { fault: { kind: "freeze", on: "primary", forMs: long }, takenOver: true, core: true },
      { fault: { kind: "freeze", on: "sync-standby", forMs: long }, quiet: true },
    ],
    F9: [
      { fault: { kind: "power-off", on: ["primary"], forMs: long }, takenOver: true, core: true },
      { fault: { kind: "power-off", on: ["primary"], forMs: 0 } },
      { fault: { kind: "power-off", on: ["sync-standby"], forMs: long }, quiet: true },
    ],
    F10: [
      { fault: { kind: "reboot", on: "primary" }, core: true },
      { fault: { kind: "reboot", on: "sync-standby" }, quiet: true },
    ],
    F11: [
      {
        fault: { kind: "partition", links: "alone", on: "primary", forMs: long },
        takenOver: true,
        core: true,
      },
      {
        fault: { kind: "partition", links: "store", on: "primary", forMs: long },
        quiet: true,
        gapMaxMs: goesOnMs,
      },
      {
        fault: { kind: "partition", links: "replication", on: "primary", forMs: long },
        quiet: true,
      },
      {
        fault: { kind: "partition", links: "replication", on: "sync-standby", forMs: long },
        quiet: true,
      },
      {
        fault: { kind: "partition", links: "alone", on: "sync-standby", forMs: long },
        quiet: true,
      },
      { fault: { kind: "partition", links: "store", on: "standby", forMs: long }, quiet: true },
      { fault: { kind: "partition", links: "clients", on: "primary", forMs: brief }, quiet: true },
    ],
    F12: [
      { fault: { kind: "partition", links: "send", on: "primary", forMs: long }, takenOver: true },
      {
        fault: { kind: "partition", links: "receive", on: "primary", forMs: long },
        takenOver: true,
      },
    ],
    F13: [{ fault: { kind: "partition", links: "one-link", on: "primary", forMs: long } }],
    F14: [
      { fault: { kind: "slow-link", on: "primary", delayMs: 100, forMs: long }, quiet: true },
      { fault: { kind: "slow-link", on: "standby", delayMs: 200, forMs: long }, quiet: true },
    ],
    F15: [
      { fault: { kind: "store-down", members: "leader", how: "kill", forMs: long }, quiet: true },
      { fault: { kind: "store-down", members: "leader", how: "stop", forMs: long } },
      {
        fault: { kind: "store-down", members: "majority", how: "stop", forMs: 60_000 },
        core: true,
      },
      { fault: { kind: "store-down", members: "all", how: "kill", forMs: 60_000 } },
      {
        fault: { kind: "store-down", members: "all", how: "kill", forMs: 600_000 },
        quiet: true,
        gapMaxMs: goesOnMs,
        slow: true,
      },
    ],
    F17: [
      { fault: { kind: "disk-full", on: "primary", forMs: long }, kind: "small-disks" },
      { fault: { kind: "disk-full", on: "sync-standby", forMs: long }, kind: "small-disks" },
    ],
    F21: [
      { fault: { kind: "throttle", on: "primary", percent: 20, forMs: long }, quiet: true },
      { fault: { kind: "throttle", on: "sync-standby", percent: 20, forMs: long }, quiet: true },
      { fault: { kind: "throttle", on: "primary", percent: 5, forMs: long } },
    ],
    F22: [
      { fault: { kind: "exhaust", forMs: long }, quiet: true },
      { fault: { kind: "cancel-waits", forMs: 5_000 }, quiet: true },
    ],
    F23: [
      { fault: { kind: "power-off", on: ["primary", "store-leader"], forMs: long } },
      { fault: { kind: "power-off", on: ["primary", "sync-standby"], forMs: long } },
      { fault: { kind: "power-off", on: "all", forMs: brief } },
    ],
    F24: [
      {
        fault: {
          kind: "repeat",
          fault: { kind: "kill", what: ["postmaster"], on: "primary" },
          times: 6,
          everyMs: 5_000,
        },
      },
      {
        fault: {
          kind: "repeat",
          fault: { kind: "partition", links: "alone", on: "primary", forMs: 0 },
          times: 6,
          everyMs: 6_000,
        },
      },
    ],
    F26: [
      { fault: { kind: "meddle", how: "stop-primary" } },
      { fault: { kind: "meddle", how: "remove-standby-data" }, quiet: true },
      { fault: { kind: "meddle", how: "promote-standby" }, kind: "by-hand" },
    ],
    F29: inPause(
      [
        { kind: "kill", what: ["postmaster"], on: "primary" },
        { kind: "kill", what: ["agent", "fencer"], on: "primary" },
        { kind: "partition", links: "alone", on: "primary", forMs: 0 },
        { kind: "power-off", on: ["primary"], forMs: 0 },
        { kind: "store-down", members: "leader", how: "stop", forMs: 0 },
      ],
      long,
    ),
    F30: [
      { fault: beside({ kind: "switchover" }, 10, 15_000) },
      { fault: beside({ kind: "clean-stop", forMs: 0 }, 5, 30_000) },
    ],
  };
  return Object.entries(groups).flatMap(([group, rows]) =>
    rows.map((row, at) => ({
      id: `${group}.${at + 1}`,
      fault: row.fault,
      gapMaxMs: row.gapMaxMs ?? (row.takenOver ? gapMaxMs : Number.POSITIVE_INFINITY),
      noPromotion: row.quiet ?? false,
      core: row.core ?? false,
      kind: row.kind ?? "usual",
      slow: row.slow ?? false,
    })),
  );
}

function inPause(faults: readonly Fault[], forMs: number): readonly Row[] {
  return faults.map((fault) => ({ fault: { kind: "paused", fault, forMs } }));
}

function beside(fault: Fault, times: number, everyMs: number): Fault {
  return { kind: "subscribed", fault: { kind: "repeat", fault, times, everyMs } };
}

/** What of the matrix cannot be done here, for the report. */
export const NOT_DONE: readonly string[] = [
  "F16: answers of the store that are lost, doubled or late: simulated, not done to a real store",
  "F18, F19: slow or lying disks need device-mapper, which this kernel has not",
  "F20: wall clocks are shifted by the C library, which neither store uses; simulated instead",
];
