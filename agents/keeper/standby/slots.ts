// Physical slots of the members: every member has one for every other, so that whoever becomes the primary still has
// the log that the others need. Slots of others are not touched; those of absent members stay, because dropping them
// keeps a member from coming back, and max_slot_wal_keep_size bounds what they keep.
import { messageOf } from "../../../src/base/errors.ts";
import { formatLsn, maxLsn, minLsn, parseLsn } from "../../../src/postgres/lsn.ts";
import { isMemberSlot, isSlotName } from "../../../src/postgres/replication.ts";
import {
  advanceSlot,
  copyPhysicalSlot,
  createInterimSlot,
  createPhysicalSlot,
  dropSlot,
  parseSlot,
  type SlotRow,
  selectPositions,
  selectSlots,
} from "../../../src/postgres/sql/replication.ts";
import { SqlError, type SqlSession } from "../sql.ts";

/** A physical slot that should be there. */
export interface WantedSlot {
  readonly name: string;
  /** Up to where its owner has the log; a slot on a standby is moved there. */
  readonly confirmedLsn?: bigint;
}

export interface SlotChanges {
  readonly created: readonly string[];
  readonly dropped: readonly string[];
  readonly advanced: readonly string[];
  /**
   * Logical slots of a primary that end with it: those that were not made for failover (17+), and every one up to 16,
   * which cannot have them on standbys. Their consumers have to begin anew after a failover.
   */
  readonly unprotected: readonly string[];
  /** A primary has logical slots that standbys are to have: decoding should wait for them (17+). */
  readonly protects: boolean;
  /** Logical slots of a standby's time as primary that are still there (17+). */
  readonly stranded: readonly string[];
  /** What could not be done, one sentence each; tried again the next time. */
  readonly problems: readonly string[];
}

interface Changes {
  readonly created: string[];
  readonly dropped: string[];
  readonly advanced: string[];
  readonly unprotected: readonly string[];
  readonly protects: boolean;
  readonly stranded: readonly string[];
  readonly problems: string[];
}

/**
 * Makes the physical slots be as wanted, on a primary or a standby. Drops slots of members that are no longer wanted,
 * and on a standby that streams those that it has from its time as primary and that keep copies of the new primary's
 * from coming (17+); both only when nobody uses them.
 */
export async function ensureSlots(
  session: SqlSession,
  wanted: readonly WantedSlot[],
  signal: AbortSignal,
): Promise<SlotChanges> {
  const [positions] = await session.query(selectPositions, [], { signal });
  const replayLsn = lsnOf(positions?.replay_lsn);
  const standby = positions?.in_recovery === true;
  const slots = (await session.query(selectSlots)).map(parseSlot);
  const logical = standby ? [] : slots.filter((slot) => slot.kind === "logical" && !slot.temporary);
  const stranded = standby ? slots.filter(isStranded) : [];
  // Without a primary it may become that again, and its consumers go on where they were.
  const streams = positions?.receiver_status === "streaming";
  const needless = streams ? stranded.filter((slot) => !slot.active) : [];
  const changes: Changes = {
    created: [],
    dropped: [],
    advanced: [],
    unprotected: logical.filter(({ failover }) => !failover).map(({ name }) => name),
    protects: logical.some(({ failover }) => failover),
    stranded: stranded.map(({ name }) => name),
    problems: standby ? slots.filter((each) => isLeftBehind(each, wanted)).map(leftBehind) : [],
  };
  for (const slot of [...slots.filter((each) => isForgotten(each, wanted)), ...needless]) {
    await attempt(changes, slot.name, async () => {
      await session.query(dropSlot, [slot.name], { signal });
      changes.dropped.push(slot.name);
    });
  }
  for (const want of wanted) {
    const slot = slots.find((candidate) => candidate.name === want.name);
    await attempt(changes, want.name, async () => {
      const present = await ensureSlot(session, want, slot, changes);
      if (!standby || !present || present.active) return;
      if (present.holdsRows) await release(session, want, changes);
      await follow(session, want, { slot: present, replayLsn }, changes);
    });
  }
  return {
    ...changes,
    stranded: changes.stranded.filter((name) => !changes.dropped.includes(name)),
  };
}

/** Ours, of a member that is no longer one, and not in use. */
function isForgotten(slot: SlotRow, wanted: readonly WantedSlot[]): boolean {
  if (!isMemberSlot(slot.name) || slot.active || slot.temporary) return false;
  return slot.kind === "physical" && !wanted.some((want) => want.name === slot.name);
}

/** Somebody else's, of a standby's time as primary: ours are replaced, theirs are not touched (hazard H77). */
function isLeftBehind(slot: SlotRow, wanted: readonly WantedSlot[]): boolean {
  const { name, kind, active, temporary, holdsRows } = slot;
  if (kind !== "physical" || active || temporary || !holdsRows) return false;
  return !isMemberSlot(name) && !wanted.some((want) => want.name === name);
}

function leftBehind({ name }: SlotRow): string {
  return `slot ${name} keeps the primary from vacuuming what its user saw when this was the primary: drop it here when nobody will use it`;
}

/** Of the time as primary; a copy of the new primary's slot of that name cannot come while it is there (hazard H77). */
function isStranded(slot: SlotRow): boolean {
  return slot.kind === "logical" && slot.failover && !slot.synced;
}

/** There, and keeping log: one that lost it, or never had any, is made anew (hazard H76). */
async function ensureSlot(
  session: SqlSession,
  want: WantedSlot,
  slot: SlotRow | undefined,
  changes: Changes,
): Promise<SlotRow | undefined> {
  if (!isSlotName(want.name)) {
    changes.problems.push(`${JSON.stringify(want.name)} cannot be the name of a slot`);
    return undefined;
  }
  if (slot?.kind === "logical") {
    changes.problems.push(`slot ${want.name} is a logical one that somebody else made`);
    return undefined;
  }
  if (slot && slot.restartLsn !== undefined && slot.walStatus !== "lost") return slot;
  if (slot?.active) return slot;
  if (slot) {
    await session.query(dropSlot, [want.name]);
    changes.dropped.push(want.name);
  }
  await session.query(createPhysicalSlot, [want.name]);
  changes.created.push(want.name);
  return (await session.query(selectSlots)).map(parseSlot).find(({ name }) => name === want.name);
}

/** Ends with the session at the latest. */
const INTERIM_SLOT = "pgherd_interim";

/**
 * Replaces a slot of a standby's time as primary. What its owner saw then it goes on holding back vacuum for, and
 * hot_standby_feedback passes that on to the primary for as long as the slot is there (hazard H77). The new one keeps
 * log from the last restartpoint on: an owner that has not come so far keeps the old one until it has.
 */
async function release(session: SqlSession, want: WantedSlot, changes: Changes): Promise<void> {
  const [made] = await session.query(createInterimSlot, [INTERIM_SLOT]);
  try {
    const keptFrom = lsnOf(made?.lsn);
    if (keptFrom === undefined || want.confirmedLsn === undefined) return;
    if (keptFrom > want.confirmedLsn) return;
    await session.query(dropSlot, [want.name]);
    changes.dropped.push(want.name);
    await session.query(copyPhysicalSlot, [INTERIM_SLOT, want.name]);
    changes.created.push(want.name);
  } finally {
    await session.query(dropSlot, [INTERIM_SLOT]);
  }
}

/** On a standby nobody streams from the slot, so it is moved to where its owner is, and not beyond what is here. */
async function follow(
  session: SqlSession,
  want: WantedSlot,
  here: { readonly slot: SlotRow; readonly replayLsn: bigint | undefined },
  changes: Changes,
): Promise<void> {
  const { slot, replayLsn } = here;
  const at = slot.restartLsn === undefined ? undefined : parseLsn(slot.restartLsn);
  if (want.confirmedLsn === undefined || replayLsn === undefined) return;
  if (at === undefined) return;
  const target = minLsn(want.confirmedLsn, replayLsn);
  if (maxLsn(target, at) === at) return;
  await session.query(advanceSlot, [want.name, formatLsn(target)]);
  changes.advanced.push(want.name);
}

/** What one slot refuses does not keep the others from being made. */
async function attempt(changes: Changes, name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SqlError) || error.sqlState === undefined) throw error;
    changes.problems.push(`slot ${name}: ${messageOf(error)}`);
  }
}

function lsnOf(value: unknown): bigint | undefined {
  return typeof value === "string" ? parseLsn(value) : undefined;
}
