// What would happen now if an instance or a host died: the decisions that the other members would come to, by the same
// function that makes them. Time is moved, not the world.
import { decide } from "./decide.ts";
import { contestableAtMs, type EpochRow, type LeaseRow, promiseMs } from "./lease.ts";
import type { LocalView, StandbyView } from "./observed.ts";
import { lsnOf } from "./position.ts";
import type { HaMember, HaSettings } from "./settings.ts";
import type { GroupView, HaIntent, MemberStatus } from "./state.ts";

/** What is known of the node when somebody asks. */
export interface NodeFacts {
  readonly members: readonly HaMember[];
  readonly initialPrimary: string;
  readonly settings: HaSettings;
  readonly lease: LeaseRow | null;
  readonly statuses: readonly MemberStatus[];
  /** Members that said nothing lately: they are dead already. */
  readonly silent: readonly string[];
  readonly history: readonly EpochRow[];
  readonly intents: readonly HaIntent[];
  readonly wallMs: number;
}

export interface Explanation {
  /** Who would be primary then; null = nobody by itself. */
  readonly primary: string | null;
  /** How long nobody could write at the most, without what promoting takes; 0 = writes go on. */
  readonly writes_stop_ms: number;
  /** Whether every write that was acknowledged would be there. */
  readonly loses: "nothing" | "recent writes" | "unknown";
  /** Members that are still there then, each with what it would do and why. */
  readonly members: readonly { readonly instance_id: string; readonly sentence: string }[];
  readonly sentence: string;
}

/** What would happen if these instances died at this moment, without a word. */
export function explainLoss(facts: NodeFacts, dead: readonly string[]): Explanation {
  const { lease } = facts;
  const gone = [...dead, ...facts.silent];
  const rest = facts.statuses.filter(({ instance_id }) => !gone.includes(instance_id));
  const holder = lease?.holder ?? null;
  if (!lease || (holder !== null && !gone.includes(holder)))
    return goesOn(facts, rest, dead, holder);
  const freeAtMs = contestableAtMs(0, promiseMs(facts.settings));
  const ends = rest.map(({ instance_id }) => ({
    instance_id,
    ...raceOf(facts, rest, instance_id),
  }));
  const winner = ends
    .filter(({ takesAtMs }) => takesAtMs !== null)
    .sort((a, b) => (a.takesAtMs ?? 0) - (b.takesAtMs ?? 0))[0];
  const primary = winner?.instance_id ?? null;
  const writesStopMs = Math.ceil(winner?.takesAtMs ?? freeAtMs);
  return {
    primary,
    writes_stop_ms: writesStopMs,
    loses: lossOf(lease, primary),
    members: ends.map(({ instance_id, sentence }) => ({ instance_id, sentence })),
    sentence: primary
      ? `${primary} would take over after at most ${seconds(writesStopMs)} and the promotion`
      : `nobody would take over by itself: ${ends[0]?.sentence ?? "no member is left"}`,
  };
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function lossOf({ sync }: LeaseRow, primary: string | null): Explanation["loses"] {
  if (primary === null) return "unknown";
  return sync.mode === "on" ? "nothing" : "recent writes";
}

/** The primary is not among the dead: what changes for its commits? */
function goesOn(
  { lease, settings }: NodeFacts,
  rest: readonly MemberStatus[],
  dead: readonly string[],
  holder: string | null,
): Explanation {
  const voters = lease?.sync.voters ?? [];
  const waited = voters.filter((voter) => dead.includes(voter));
  const { strict, degrade_after_ms } = settings.synchronous;
  const left = rest.some(({ instance_id, role }) => instance_id !== holder && role === "standby");
  const stops = waited.length > 0 && !left;
  const sentence = stops
    ? strict
      ? `${holder} stays primary, and its writes wait until a standby is back`
      : `${holder} stays primary; its writes wait ${seconds(degrade_after_ms)} for ${waited.join(", ")}, then go on without`
    : `${holder ?? "nobody"} stays primary`;
  return {
    primary: holder,
    writes_stop_ms: stops ? degrade_after_ms : 0,
    loses: "nothing",
    members: rest.map(({ instance_id }) => ({ instance_id, sentence: "goes on" })),
    sentence,
  };
}

/** When this member would take the lease, counted from the last renewal, or why it would not. */
function raceOf(
  facts: NodeFacts,
  rest: readonly MemberStatus[],
  self: string,
): { readonly takesAtMs: number | null; readonly sentence: string } {
  const status = rest.find(({ instance_id }) => instance_id === self);
  const { lease } = facts;
  if (!status || !lease) return { takesAtMs: null, sentence: "nothing is known of it" };
  const seenAtMs = bootMs;
  const freeAtMs = contestableAtMs(seenAtMs, lease.ttl_ms);
  const limitMs = freeAtMs + lease.ttl_ms + patienceMs;
  let sentence = "";
  for (let nowMs = freeAtMs; nowMs <= limitMs; nowMs += stepMs) {
    const decision = decide(viewAt(facts, rest, self, nowMs), localOf(status, lease), nowMs);
    sentence = decision.sentence;
    if (decision.action.kind === "acquire") return { takesAtMs: nowMs - seenAtMs, sentence };
  }
  return { takesAtMs: null, sentence };
}

/** Late enough that no promise of an earlier boot matters. */
const bootMs = 1_000_000_000;
const stepMs = 250;
const patienceMs = 70_000;

function viewAt(
  facts: NodeFacts,
  rest: readonly MemberStatus[],
  self: string,
  nowMs: number,
): GroupView {
  const { lease, members, initialPrimary, settings, history, intents, wallMs } = facts;
  const others = rest
    .filter(({ instance_id }) => instance_id !== self)
    .map(
      (status) => [status.instance_id, { status: voted(status, lease), heardAtMs: nowMs }] as const,
    );
  return {
    self,
    incarnation: "",
    members,
    initialPrimary,
    settings,
    lease: { row: lease, readAtMs: nowMs, seenAtMs: bootMs, wentBack: false },
    own: null,
    history,
    others: new Map(others),
    intents,
    promise: null,
    wallMs: wallMs + (nowMs - bootMs),
  };
}

/** Every member that is left would have written down its final position by then. */
function voted(status: MemberStatus, lease: LeaseRow | null): MemberStatus {
  const { timeline, receive_lsn } = status;
  if (!lease || timeline === null || receive_lsn === null) return status;
  const { epoch, seq, nonce } = lease;
  return { ...status, vote: { epoch, seq, nonce, timeline, lsn: receive_lsn } };
}

function localOf(status: MemberStatus, lease: LeaseRow): LocalView {
  const received = lsnOf(status.receive_lsn) ?? 0n;
  const server: StandbyView = {
    kind: "standby",
    sinceMs: 0,
    timeline: status.timeline ?? 0,
    received,
    replayed: lsnOf(status.replay_lsn) ?? received,
    progressAtMs: bootMs,
    upstream: null,
    streaming: false,
    silentSinceMs: null,
    stranded: null,
    replayPaused: false,
    promotingSinceMs: null,
  };
  return {
    data: {
      kind: "ready",
      systemIdentifier: status.system_identifier ?? lease.system_identifier ?? "",
      timeline: server.timeline,
      end: null,
      role: "standby",
      clean: false,
      rewindable: true,
    },
    postgres: status.role === "standby" ? server : { kind: "stopped", crash: null, empty: true },
    doing: null,
    heldEpoch: 0,
    vote: voted(status, lease).vote,
    attempts: {
      failedPromotions: [],
      crashesAtMs: [],
      rejoin: { rewinds: 0, clones: 0, retryAtMs: 0, error: "" },
    },
    disk: status.unfit === null ? "ok" : "full",
    leavingSinceMs: null,
  };
}
