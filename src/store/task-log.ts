// The log of tasks: append-only rows, ordered by entry ids that the writer makes in increasing order.
import { and, asc, desc, eq, gt, inArray } from "drizzle-orm";
import { taskLogEntriesMax } from "../base/limits.ts";
import type { TaskScope } from "../spec/task.ts";
import type { StoreDb } from "./db.ts";
import { taskLog, tasks } from "./schema.ts";
import type { Query } from "./statement.ts";

export interface LogEntry {
  /** A UUID of version 7. */
  readonly entryId: string;
  readonly atMs: number;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Rows of one statement, far below SQLite's bound on parameters. */
const ROWS_PER_STATEMENT = 100;

/** Appends entries; one that is there already stays as it is. */
export function appendLog(
  db: StoreDb,
  taskId: string,
  entries: readonly LogEntry[],
): readonly Query[] {
  const statements: Query[] = [];
  for (let start = 0; start < entries.length; start += ROWS_PER_STATEMENT) {
    const rows = entries.slice(start, start + ROWS_PER_STATEMENT).map((entry) => ({
      taskId,
      ...entry,
      fields: JSON.stringify(entry.fields),
    }));
    statements.push(db.insert(taskLog).values(rows).onConflictDoNothing().toSQL());
  }
  return statements;
}

/** The newest `limit` entries after an entry, oldest first; at most taskLogEntriesMax. */
export async function tailLog(
  db: StoreDb,
  taskId: string,
  page: { readonly afterEntryId?: string; readonly limit?: number },
): Promise<readonly LogEntry[]> {
  const limit = page.limit !== undefined && page.limit > 0 ? page.limit : taskLogEntriesMax;
  const rows = await db
    .select()
    .from(taskLog)
    .where(after(taskId, page.afterEntryId))
    .orderBy(desc(taskLog.entryId))
    .limit(Math.min(limit, taskLogEntriesMax));
  return rows.map(fromRow).reverse();
}

/** The oldest `limit` entries after an entry: for one who follows and wants every entry. */
export async function readLog(
  db: StoreDb,
  taskId: string,
  page: { readonly afterEntryId?: string; readonly limit: number },
): Promise<readonly LogEntry[]> {
  const rows = await db
    .select()
    .from(taskLog)
    .where(after(taskId, page.afterEntryId))
    .orderBy(asc(taskLog.entryId))
    .limit(page.limit);
  return rows.map(fromRow);
}

/** Id of the newest entry of a task. */
export async function lastEntryId(db: StoreDb, taskId: string): Promise<string | undefined> {
  const [row] = await db
    .select({ id: taskLog.entryId })
    .from(taskLog)
    .where(eq(taskLog.taskId, taskId))
    .orderBy(desc(taskLog.entryId))
    .limit(1);
  return row?.id;
}

/** Forgets the logs of all tasks of one entity. Must stand before deleteTasksOf. */
export function deleteTaskLogsOf(db: StoreDb, scope: TaskScope, entityId: string): Query {
  const mine = db
    .select({ id: tasks.id })
    .from(tasks)
    .where(and(eq(tasks.scope, scope), eq(tasks.entityId, entityId)));
  return db.delete(taskLog).where(inArray(taskLog.taskId, mine)).toSQL();
}

function after(taskId: string, entryId: string | undefined) {
  return and(
    eq(taskLog.taskId, taskId),
    entryId === undefined ? undefined : gt(taskLog.entryId, entryId),
  );
}

function fromRow(row: typeof taskLog.$inferSelect): LogEntry {
  const fields: Record<string, unknown> = JSON.parse(row.fields);
  return { entryId: row.entryId, atMs: row.atMs, message: row.message, fields };
}
