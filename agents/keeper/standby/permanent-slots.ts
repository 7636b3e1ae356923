// Logical slots that a node keeps for consumers outside of it, and the end of slots that it no longer keeps. Physical
// ones are looked after together with those of the members (slots.ts).
import { messageOf } from "../../../src/base/errors.ts";
import { formatLsn, minLsn, parseLsn } from "../../../src/postgres/lsn.ts";
import {
  type PermanentLogicalSlot,
  type PermanentSlot,
  slotsOfStandbys,
} from "../../../src/postgres/replication.ts";
import {
  advanceSlot,
  createLogicalSlot,
  dropSlot,
  parseSlot,
  type SlotRow,
  selectPositions,
  selectSlots,
} from "../../../src/postgres/sql/replication.ts";
import { SqlError, type SqlSession } from "../sql.ts";

export interface PermanentInput {
  readonly major: number;
  readonly role: "primary" | "standby";
  readonly wanted: readonly PermanentSlot[];
  /** Names that were kept here before. */
  readonly kept: readonly string[];
  /** Where the primary has its slots: consumers have everything before. Of a standby up to 16. */
  readonly primaryAt: Readonly<Record<string, string>>;
  /** How long making one may wait for transactions that run. */
  readonly waitMs: number;
  readonly openDatabase: (database: string) => Promise<SqlSession>;
  readonly signal: AbortSignal;
}

export interface PermanentChanges {
  readonly created: string[];
  readonly dropped: string[];
  /** What could not be done, one sentence each. */
  readonly problems: string[];
  /** Another attempt may do better. */
  again: boolean;
}

/**
 * Drops what is no longer wanted, and makes logical slots. A standby gets them from PostgreSQL; up to 16 it makes its own,
 * and moves them to where the primary's are.
 */
export async function keepPermanent(
  session: SqlSession,
  input: PermanentInput,
): Promise<PermanentChanges> {
  const { wanted, kept, role } = input;
  const changes: PermanentChanges = { created: [], dropped: [], problems: [], again: false };
  const slots = (await session.query(selectSlots)).map(parseSlot);
  const names = new Set(wanted.map(({ name }) => name));
  for (const slot of slots) {
    if (names.has(slot.name) || !kept.includes(slot.name)) continue;
    // What was copied goes with the primary's own; on a primary that was a standby the mark is left over.
    if (slot.temporary || (slot.synced && role === "standby")) continue;
    await attempt(changes, slot.name, () => drop(session, slot, changes, input.signal));
  }
  if (role === "standby" && slotsOfStandbys(input.major) !== "own") return changes;
  for (const want of wanted) {
    if (want.type !== "logical") continue;
    const slot = slots.find(({ name }) => name === want.name);
    if (role === "standby") {
      await attempt(changes, want.name, () => shadow(session, want, slot, input, changes));
    } else if (slot) judge(want, slot, input.major, changes);
    else await attempt(changes, want.name, () => make(want, input, changes));
  }
  return changes;
}

/** A slot that lost its log on a standby is nobody's loss yet: it is made anew. */
async function shadow(
  session: SqlSession,
  want: PermanentLogicalSlot,
  slot: SlotRow | undefined,
  input: PermanentInput,
  changes: PermanentChanges,
): Promise<void> {
  if (slot && !isSame(want, slot)) {
    judge(want, slot, input.major, changes);
    return;
  }
  if (slot?.active) return;
  if (slot && slot.walStatus !== "lost") {
    await follow(session, want, slot, input);
    return;
  }
  if (slot) await drop(session, slot, changes, input.signal);
  await make(want, input, changes);
}

/** To where the primary's is, and not beyond what was replayed here; never back. */
async function follow(
  session: SqlSession,
  { name, database }: PermanentLogicalSlot,
  slot: SlotRow,
  { primaryAt, waitMs, openDatabase, signal }: PermanentInput,
): Promise<void> {
  const [positions] = await session.query(selectPositions, [], { signal });
  const [there, replayed, here] = [primaryAt[name], positions?.replay_lsn, slot.confirmedLsn].map(
    (text) => (typeof text === "string" ? parseLsn(text) : undefined),
  );
  if (there === undefined || replayed === undefined || here === undefined) return;
  const target = minLsn(there, replayed);
  if (target <= here) return;
  const open = await openDatabase(database);
  try {
    await open.query(`SET statement_timeout = ${waitMs}`);
    const options = { deadlineMs: waitMs + 5_000, signal };
    await open.query(advanceSlot, [name, formatLsn(target)], options);
  } finally {
    await open.close();
  }
}

async function drop(
  session: SqlSession,
  slot: SlotRow,
  changes: PermanentChanges,
  signal: AbortSignal,
): Promise<void> {
  if (slot.active) {
    changes.problems.push(`slot ${slot.name} is in use by ${slot.usedBy}`);
    return;
  }
  await session.query(dropSlot, [slot.name], { signal });
  changes.dropped.push(slot.name);
}

/** Whether a slot is the wanted one; another of that name is somebody else's. */
export function isSame(want: PermanentSlot, slot: SlotRow): boolean {
  if (want.type === "physical" || slot.kind === "physical") return want.type === slot.kind;
  return slot.plugin === want.plugin && slot.database === want.database;
}

/** A logical slot that is not as wanted stays: making it anew would skip changes for whoever uses it. */
function judge(
  want: PermanentLogicalSlot,
  slot: SlotRow,
  major: number,
  { problems }: PermanentChanges,
): void {
  const says = (text: string) => problems.push(`slot ${want.name} ${text}`);
  if (slot.kind === "physical") says("is a physical one that somebody else made");
  else if (!isSame(want, slot)) {
    says(`is for ${slot.plugin} in ${slot.database}, not for ${want.plugin} in ${want.database}`);
  } else if (slot.walStatus === "lost") {
    says("has lost its log: drop it, and its consumer begins anew");
  } else if (slotsOfStandbys(major) === "copied" && !slot.failover) {
    says("was not made for failover: drop it, and it is made anew");
  }
}

async function make(
  { name, plugin, database }: PermanentLogicalSlot,
  { major, waitMs, openDatabase, signal }: PermanentInput,
  changes: PermanentChanges,
): Promise<void> {
  const open = await openDatabase(database);
  try {
    await open.query(`SET statement_timeout = ${waitMs}`);
    // The server gives up first: a session that is left alone would go on making the slot.
    const options = { deadlineMs: waitMs + 5_000, signal };
    await open.query(createLogicalSlot(major), [name, plugin], options);
    changes.created.push(name);
  } finally {
    await open.close();
  }
}

/** Slots that are all taken do not become free by waiting. */
const TOO_MANY_SLOTS = "53400";

/** What one slot refuses does not keep the others from being made. */
async function attempt(
  changes: PermanentChanges,
  name: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SqlError) || error.sqlState === undefined) throw error;
    changes.problems.push(`slot ${name}: ${messageOf(error)}`);
    if (error.kind === "retryable" && error.sqlState !== TOO_MANY_SLOTS) changes.again = true;
  }
}
