// What users ask of the keepers of a node, as operations and steps write it. Keepers answer through ha-lease.ts.
import { and, count, eq, inArray, isNotNull, lt, or, sql } from "drizzle-orm";
import type { IntentPayload } from "../ha/state.ts";
import type { StoreDb } from "./db.ts";
import { haIntents } from "./schema.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

export type IntentState = "pending" | "running" | "done" | "failed" | "canceled";

/** An intent with what became of it. Times are wall-clock. */
export interface StoredIntent {
  readonly id: string;
  readonly nodeName: string;
  readonly payload: IntentPayload;
  /** Why, in the words of whoever asked. */
  readonly reason: string | null;
  readonly state: IntentState;
  /** What the keeper said last about it. */
  readonly answer: string | null;
  readonly notBeforeMs: number | null;
  readonly expiresAtMs: number | null;
  readonly createdAtMs: number;
}

export interface NewIntent {
  readonly id: string;
  readonly databaseId: string;
  readonly nodeName: string;
  readonly payload: IntentPayload;
  readonly reason?: string;
  readonly expiresAtMs: number;
}

const OPEN = ["pending", "running"];

/** Asks; an intent of the same id that is there already stays as it is, whatever became of it. */
export function insertIntent(db: StoreDb, intent: NewIntent, atMs: number): Query {
  const { id, databaseId, nodeName, payload, reason, expiresAtMs } = intent;
  return db
    .insert(haIntents)
    .values({
      id,
      databaseId,
      nodeName,
      kind: payload.kind,
      payload: JSON.stringify({ ...payload, ...(reason === undefined ? {} : { reason }) }),
      state: "pending",
      expiresAtMs,
      createdAtMs: atMs,
    })
    .onConflictDoNothing({ target: haIntents.id })
    .toSQL();
}

export async function loadIntent(db: StoreDb, id: string): Promise<StoredIntent | undefined> {
  const [row] = await db.select().from(haIntents).where(eq(haIntents.id, id));
  return row && fromRow(row);
}

/** Intents of a database that nobody has finished, oldest first; expired ones too. */
export async function listOpenIntents(
  db: StoreDb,
  databaseId: string,
): Promise<readonly StoredIntent[]> {
  const rows = await db
    .select()
    .from(haIntents)
    .where(and(eq(haIntents.databaseId, databaseId), inArray(haIntents.state, OPEN)))
    .orderBy(haIntents.createdAtMs, haIntents.id);
  return rows.map(fromRow);
}

/** Takes back what no keeper has begun. */
export function withdrawIntent(db: StoreDb, id: string, answer: string, atMs: number): Query {
  return db
    .update(haIntents)
    .set({ state: "canceled", answer, finishedAtMs: atMs })
    .where(and(eq(haIntents.id, id), eq(haIntents.state, "pending")))
    .toSQL();
}

/** Ends an intent that no keeper will end: its time is over. */
export function abandonIntent(db: StoreDb, id: string, answer: string, atMs: number): Query {
  return db
    .update(haIntents)
    .set({ state: "failed", answer, finishedAtMs: atMs })
    .where(and(eq(haIntents.id, id), inArray(haIntents.state, OPEN)))
    .toSQL();
}

/** Ends the pauses of a node. */
export function endPauses(
  db: StoreDb,
  databaseId: string,
  nodeName: string,
  answer: string,
  atMs: number,
): Query {
  return db
    .update(haIntents)
    .set({ state: "done", answer, finishedAtMs: atMs })
    .where(
      and(
        eq(haIntents.databaseId, databaseId),
        eq(haIntents.nodeName, nodeName),
        eq(haIntents.kind, "pause"),
        inArray(haIntents.state, OPEN),
      ),
    )
    .toSQL();
}

/** Holds while nobody is changing the primary of the node. */
export function noHandoverGuard(
  db: StoreDb,
  databaseId: string,
  nodeName: string,
  nowMs: number,
): Guard {
  return {
    name: "no_handover",
    query: db
      .select({ free: sql`${count()} = 0` })
      .from(haIntents)
      .where(
        and(
          eq(haIntents.databaseId, databaseId),
          eq(haIntents.nodeName, nodeName),
          inArray(haIntents.kind, ["switchover", "failover"]),
          inArray(haIntents.state, OPEN),
          or(sql`${haIntents.expiresAtMs} is null`, sql`${haIntents.expiresAtMs} > ${nowMs}`),
        ),
      )
      .toSQL(),
  };
}

/** Ends what nobody ended in its time, and forgets what ended long ago. */
export function pruneIntents(
  db: StoreDb,
  { nowMs, forgetBeforeMs }: { readonly nowMs: number; readonly forgetBeforeMs: number },
): readonly Query[] {
  const over = and(
    inArray(haIntents.state, OPEN),
    isNotNull(haIntents.expiresAtMs),
    lt(haIntents.expiresAtMs, nowMs),
  );
  return [
    db
      .update(haIntents)
      .set({
        state: sql`case when ${haIntents.kind} = 'pause' then 'done' else 'failed' end`,
        answer: "its time was over",
        finishedAtMs: nowMs,
      })
      .where(over)
      .toSQL(),
    db
      .delete(haIntents)
      .where(and(isNotNull(haIntents.finishedAtMs), lt(haIntents.finishedAtMs, forgetBeforeMs)))
      .toSQL(),
  ];
}

function fromRow(row: typeof haIntents.$inferSelect): StoredIntent {
  const { reason, ...payload } = JSON.parse(row.payload);
  return {
    id: row.id,
    nodeName: row.nodeName,
    payload: { ...payload, kind: row.kind },
    reason: typeof reason === "string" ? reason : null,
    state: stateOf(row.state),
    answer: row.answer,
    notBeforeMs: row.notBeforeMs,
    expiresAtMs: row.expiresAtMs,
    createdAtMs: row.createdAtMs,
  };
}

/** The column has a check; anything else is something that nobody waits for. */
function stateOf(text: string): IntentState {
  switch (text) {
    case "pending":
    case "running":
    case "done":
    case "canceled":
      return text;
    default:
      return "failed";
  }
}
