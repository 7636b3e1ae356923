// Which standbys a commit waits for, and the order in which setting and record follow each other there. A setting is
// changed only to one that is safe with the record, a record only to one that is safe with the setting and with every
// commit so far (quorum.ts). Between any two changes the primary may die.
import { priorityOf } from "./election.ts";
import type { AttachedStandby, LocalView, PrimaryView } from "./observed.ts";
import {
  asynchronous,
  between,
  blocked,
  isAsynchronous,
  isCovered,
  isElectable,
  isImplied,
  isSafe,
  recordOf,
  type SyncRecord,
  type SyncSetting,
  sameRecord,
  sameSetting,
} from "./quorum.ts";
import type { SynchronousSettings } from "./settings.ts";
import type { Situation } from "./situation.ts";
import type { GroupView, OwnLease } from "./state.ts";

/** Where things are to go. */
export interface SyncTarget {
  readonly setting: SyncSetting;
  readonly record: SyncRecord;
}

export interface SyncStep {
  /** What synchronous_standby_names is to be now. */
  readonly setting: SyncSetting;
  /** What the record becomes with the next renewal; null = it stays. */
  readonly record: SyncRecord | null;
  /** What is being waited for; null = setting and record are where they should be. */
  readonly waits: string | null;
}

/** A record of a node that does not replicate synchronously. */
export function noRecord(version = 0): SyncRecord {
  return { version, mode: "off", voters: [], quorum: 1, count: 0 };
}

/** A record by which nobody but the last holder may be promoted. */
export function nobody(version: number): SyncRecord {
  return { version, mode: "on", voters: [], quorum: 1, count: 0 };
}

/**
 * Whether what is committed now without waiting for standbys cannot be lost by an election: the record names nobody, no
 * change of it is under way, and no commit waits for a standby, so that the position from which the next setting is
 * proven, and with it the next record, comes after it.
 */
export function commitsAlone(own: OwnLease | null, postgres: LocalView["postgres"]): boolean {
  if (!own || own.changing !== null || postgres.kind !== "primary") return false;
  const { mode, voters } = own.row.sync;
  return mode === "on" && voters.length === 0 && postgres.sync.setting.count === 0;
}

/** The record that a node begins with. */
export function firstRecord({ mode }: SynchronousSettings): SyncRecord {
  return mode === "off" || mode === "auto" ? noRecord() : nobody(0);
}

/** One step of setting and record of a running primary towards what the settings of the node ask for. */
export function nextSyncStep(s: Situation, record: SyncRecord, primary: PrimaryView): SyncStep {
  const target = syncTarget(s, record, primary);
  return stepTowards(target, record, primary);
}

/**
 * The step, given the target. Of the settings and records that may be in effect at this moment there is always just
 * one that is not known: the setting while it is not proven, and the record never, because the caller waits for its
 * last change.
 */
export function stepTowards(
  target: SyncTarget,
  record: SyncRecord,
  primary: PrimaryView,
): SyncStep {
  const { setting, provenLsn } = primary.sync;
  const stay = (waits: string): SyncStep => ({ setting, record: null, waits });
  if (makesNoClaim(target.record) && !makesNoClaim(record)) {
    return { setting, record: numbered(target.record, record), waits: "the record to be emptied" };
  }
  if (!sameSetting(setting, target.setting) && isSafe(target.setting, record)) {
    return { setting: target.setting, record: null, waits: "the setting to be in effect" };
  }
  if (provenLsn === null && !isAsynchronous(setting)) return stay("the setting to be in effect");
  if (!sameRecord(record, target.record) && isSafe(setting, target.record)) {
    if (target.record.mode === "off" || isImplied(record, target.record)) {
      return { setting, record: numbered(target.record, record), waits: "the record" };
    }
    if (isCovered(target.record, upTo(primary.standbys, provenLsn ?? 0n))) {
      return { setting, record: numbered(target.record, record), waits: "the record" };
    }
    return stay(`${target.record.voters.join(", ")} to catch up`);
  }
  if (sameSetting(setting, target.setting)) return { setting, record: null, waits: null };
  const way = between(setting, record, target.setting);
  if (sameSetting(way, setting)) return stay(`${target.record.voters.join(", ")} to catch up`);
  return { setting: way, record: null, waits: "the setting to be in effect" };
}

/** Nothing is said of any standby: safe with every setting. */
function makesNoClaim(record: SyncRecord): boolean {
  return record.mode === "off" || !isElectable(record);
}

function numbered(to: SyncRecord, from: SyncRecord): SyncRecord {
  return { ...to, version: from.version + 1 };
}

function upTo(standbys: readonly AttachedStandby[], lsn: bigint): readonly string[] {
  return standbys.filter(({ flushed }) => flushed >= lsn).map(({ instance }) => instance);
}

/** What the settings of the node ask for, with the standbys that there are. */
export function syncTarget(s: Situation, record: SyncRecord, primary: PrimaryView): SyncTarget {
  const { synchronous } = s.view.settings;
  if (synchronous.mode === "off") return { setting: asynchronous, record: noRecord() };
  const chosen = chooseStandbys(s, record, primary);
  const count = Math.min(synchronous.count, chosen.length);
  const enough = chosen.length >= synchronous.count;
  if (!enough && synchronous.strict && synchronous.mode !== "auto") {
    return unchanged(record, primary);
  }
  if (count === 0) {
    const none = synchronous.mode === "auto" ? noRecord() : nobody(0);
    return { setting: asynchronous, record: none };
  }
  const setting: SyncSetting = {
    standbys: [...chosen].sort(),
    count: isQuorum(synchronous) ? count : chosen.length,
    blocked: false,
  };
  return { setting, record: recordOf(setting, 0) };
}

/** Too few standbys for what was asked: writes wait for those that were recorded last, or for nobody. */
function unchanged(record: SyncRecord, { sync }: PrimaryView): SyncTarget {
  const waits = !isAsynchronous(sync.setting);
  return { setting: waits ? sync.setting : blocked, record };
}

function isQuorum({ mode, selection }: SynchronousSettings): boolean {
  return mode === "quorum" || selection === "any";
}

/**
 * The standbys that commits should wait for. Those that are waited for already stay while they keep up; one that is
 * gone is replaced at once when there is another, and left out when it stays away.
 */
function chooseStandbys(s: Situation, record: SyncRecord, primary: PrimaryView): readonly string[] {
  const { synchronous } = s.view.settings;
  const present = record.voters.length > 0 ? record.voters : primary.sync.setting.standbys;
  const healthy = candidates(s, primary, present);
  const absent = present.filter((id) => !healthy.includes(id) && isMissed(s, primary, id));
  if (isQuorum(synchronous)) return [...healthy, ...absent];
  const best = healthy.slice(0, synchronous.count);
  return [...best, ...absent.slice(0, synchronous.count - best.length)];
}

/** Attached standbys that a commit may wait for, those first that it waits for now, then by priority and position. */
function candidates(
  s: Situation,
  primary: PrimaryView,
  present: readonly string[],
): readonly string[] {
  const now = (id: string) => (present.includes(id) ? 1 : 0);
  return primary.standbys
    .filter((standby) => isHealthy(s, primary, standby, now(standby.instance) === 1))
    .sort(
      (a, b) =>
        now(b.instance) - now(a.instance) ||
        syncPriorityOf(s.view, b.instance) - syncPriorityOf(s.view, a.instance) ||
        (a.flushed === b.flushed ? 0 : a.flushed < b.flushed ? 1 : -1) ||
        (a.instance < b.instance ? -1 : 1),
    )
    .map(({ instance }) => instance);
}

function isHealthy(
  { view }: Situation,
  primary: PrimaryView,
  { instance, streaming, flushed, replyAgeMs }: AttachedStandby,
  counted: boolean,
): boolean {
  const member = view.members.find(({ instance_id }) => instance_id === instance);
  if (!member || !streaming) return false;
  const { nosync, nofailover, replicatefrom } = member.tags;
  if (nosync === true || nofailover === true || replicatefrom !== undefined) return false;
  if (view.others.get(instance)?.status.leaving) return false;
  if (replyAgeMs > silenceMaxMs(view)) return false;
  const lag = primary.flushed - flushed;
  return counted || lag <= BigInt(view.settings.maximum_lag_bytes);
}

/** A standby that is silent for this long does not count although it is connected. */
function silenceMaxMs({ settings }: GroupView): number {
  return Math.max(settings.loop_ms * 2.5, 2_500);
}

/** It is away, but not for so long that the node goes on without it. */
function isMissed({ view, nowMs }: Situation, primary: PrimaryView, id: string): boolean {
  const { mode, degrade_after_ms } = view.settings.synchronous;
  if (!view.members.some(({ instance_id }) => instance_id === id)) return false;
  if (view.others.get(id)?.status.leaving || mode === "auto") return false;
  const attached = primary.standbys.find(({ instance }) => instance === id);
  const since = primary.missing.find(({ instance }) => instance === id)?.sinceMs;
  if (since !== undefined) return nowMs - since < degrade_after_ms;
  const silentMs = attached?.replyAgeMs ?? nowMs - primary.sinceMs;
  return silentMs < silenceMaxMs(view) + degrade_after_ms;
}

function syncPriorityOf(view: GroupView, id: string): number {
  const priority = view.members.find((member) => member.instance_id === id)?.tags.sync_priority;
  return typeof priority === "number" ? priority : priorityOf(view, id);
}

/** Standbys that have the position that the gate waits for. */
export function behindTheGate({ standbys, gateLsn }: PrimaryView): readonly string[] {
  return upTo(standbys, gateLsn);
}

/** Whether everything that users will see is where it has to be, if this primary dies the moment it opens. */
export function mayOpen(records: readonly SyncRecord[], primary: PrimaryView): boolean {
  if (primary.gate === "open") return true;
  return records.every((record) => isCovered(record, behindTheGate(primary)));
}

/** The records that may be in the store: the last one that is known to be, and one whose fate is not known. */
export function possibleRecords({ row, changing }: OwnLease): readonly SyncRecord[] {
  return changing?.sync ? [row.sync, changing.sync] : [row.sync];
}

/** The setting that a primary starts or is promoted with: as strict as every record that may be in the store says. */
export function startSetting(
  records: readonly SyncRecord[],
  settings: SynchronousSettings,
): SyncSetting {
  const settingsOf = records.map((record) => startSettingOf(record, settings));
  const safe = settingsOf.find((one) => records.every((record) => isSafe(one, record)));
  return safe ?? blocked;
}

function startSettingOf(record: SyncRecord, { mode, strict }: SynchronousSettings): SyncSetting {
  if (record.mode === "off" || mode === "off") return asynchronous;
  const { voters, quorum, count } = record;
  if (voters.length === 0) return strict && mode !== "auto" ? blocked : asynchronous;
  const least = isElectable(record) ? voters.length - quorum + 1 : Math.max(count, 1);
  return { standbys: voters, count: Math.min(least, voters.length), blocked: false };
}
