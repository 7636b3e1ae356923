// Views of a node of three for tests: small to write, complete, and with everything well unless a test says otherwise.
import type { EpochRow, LeaseRow } from "../../src/ha/lease.ts";
import type { LocalView, PrimaryView, ReadyData, StandbyView } from "../../src/ha/observed.ts";
import { asynchronous } from "../../src/ha/quorum.ts";
import type { HaMember, HaSettings } from "../../src/ha/settings.ts";
import type {
  GroupView,
  HaIntent,
  IntentPayload,
  MemberStatus,
  OwnLease,
} from "../../src/ha/state.ts";
import { noRecord } from "../../src/ha/sync.ts";

/** The boot clock in these situations: the host has been up for long. */
export const NOW = 1_000_000;

export const SETTINGS: HaSettings = {
  ttl_ms: 15_000,
  loop_ms: 2_000,
  retry_ms: 4_000,
  guard_ms: 2_000,
  maximum_lag_bytes: 100,
  primary_start_timeout_ms: 10_000,
  primary_stop_timeout_ms: 0,
  failsafe: true,
  profile: "default",
  synchronous: {
    mode: "off",
    count: 1,
    strict: false,
    selection: "first",
    degrade_after_ms: 10_000,
  },
};

export function member(id: string, tags: HaMember["tags"] = {}): HaMember {
  return {
    instance_id: id,
    host_id: `host-${id}`,
    addresses: [],
    port: 5432,
    rest_port: 8008,
    tags,
  };
}

/** Epoch 2, held by `a` and open. */
export function lease(part: Partial<LeaseRow> = {}): LeaseRow {
  return {
    epoch: 2,
    seq: 7,
    nonce: "nonce",
    holder: "a",
    incarnation: "a-1",
    ttl_ms: 8_000,
    phase: "open",
    timeline: 2,
    next_timeline: 3,
    system_identifier: "7",
    members: ["a", "b", "c"],
    sync: noRecord(),
    optime: "0/64",
    checkpoint_done: true,
    ending: null,
    ...part,
  };
}

export function epoch(number: number, instance: string, part: Partial<EpochRow> = {}): EpochRow {
  return {
    epoch: number,
    instance_id: instance,
    incarnation: `${instance}-1`,
    timeline: number,
    from_timeline: number === 1 ? null : number - 1,
    switch_lsn: number === 1 ? null : `0/${(20 * (number - 1)).toString(16)}`,
    reason: "",
    lost: null,
    ...part,
  };
}

export function status(id: string, part: Partial<MemberStatus> = {}): MemberStatus {
  return {
    instance_id: id,
    incarnation: `${id}-1`,
    beat: 1,
    state: "standby",
    role: "standby",
    system_identifier: "7",
    timeline: 2,
    receive_lsn: "0/64",
    replay_lsn: "0/64",
    streaming: true,
    upstream: "a",
    seen: { epoch: 2, seq: 7 },
    vote: null,
    unfit: null,
    leaving: false,
    ...part,
  };
}

/** As `self` sees the node; the lease was read a moment ago and has been there for no longer. */
export function view(
  self: string,
  row: LeaseRow | null = lease(),
  part: Partial<GroupView> = {},
): GroupView {
  const others = ["a", "b", "c"].filter((id) => id !== self);
  const primary = row?.holder ?? null;
  return {
    self,
    incarnation: `${self}-1`,
    members: [member("a"), member("b"), member("c")],
    initialPrimary: "a",
    settings: SETTINGS,
    lease: { row, readAtMs: NOW - 100, seenAtMs: NOW - 100, wentBack: false },
    own: null,
    history: [epoch(1, "b"), epoch(2, "a")],
    others: new Map(
      others.map((id) => {
        const role = id === primary ? "primary" : "standby";
        return [id, { status: status(id, { role }), heardAtMs: NOW - 100 }] as const;
      }),
    ),
    intents: [],
    promise: null,
    wallMs: 0,
    ...part,
  };
}

/** The lease of `row` as its holder knows it. */
export function own(row: LeaseRow = lease(), part: Partial<OwnLease> = {}): OwnLease {
  return {
    row,
    deadlineMs: NOW + 5_000,
    renewedAtMs: NOW - 1_000,
    changing: null,
    failsafe: false,
    ...part,
  };
}

export function data(part: Partial<ReadyData> = {}): ReadyData {
  return {
    kind: "ready",
    systemIdentifier: "7",
    timeline: 2,
    end: null,
    role: "standby",
    clean: false,
    rewindable: true,
    ...part,
  };
}

export function standby(part: Partial<StandbyView> = {}): StandbyView {
  return {
    kind: "standby",
    sinceMs: 0,
    timeline: 2,
    received: 100n,
    replayed: 100n,
    progressAtMs: NOW,
    upstream: "a",
    streaming: true,
    silentSinceMs: null,
    stranded: null,
    replayPaused: false,
    promotingSinceMs: null,
    ...part,
  };
}

export function primary(part: Partial<PrimaryView> = {}): PrimaryView {
  return {
    kind: "primary",
    sinceMs: 0,
    timeline: 2,
    flushed: 100n,
    forks: [{ timeline: 2, from_timeline: 1, switch_lsn: "0/14" }],
    gateLsn: 20n,
    gate: "open",
    checkpointDone: true,
    sync: { setting: asynchronous, provenLsn: 20n },
    standbys: ["b", "c"].map((instance) => ({
      instance,
      streaming: true,
      flushed: 100n,
      replyAgeMs: 50,
    })),
    missing: [],
    ...part,
  };
}

export function local(part: Partial<LocalView> = {}): LocalView {
  return {
    data: data(),
    postgres: standby(),
    doing: null,
    heldEpoch: 0,
    vote: null,
    attempts: {
      failedPromotions: [],
      crashesAtMs: [],
      rejoin: { rewinds: 0, clones: 0, retryAtMs: 0, error: "" },
    },
    disk: "ok",
    leavingSinceMs: null,
    ...part,
  };
}

export function intent(payload: IntentPayload, part: Partial<HaIntent> = {}): HaIntent {
  return { id: "i1", payload, state: "pending", not_before_ms: null, expires_at_ms: null, ...part };
}
