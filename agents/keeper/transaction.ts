// One transaction on one session.
import type { SqlSession } from "./sql.ts";

/** Commits when `work` resolves; rolls back and throws its error when it does not. */
export async function inTransaction<T>(
  session: SqlSession,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  await session.query("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", [], { signal });
  try {
    const result = await work();
    await session.query("COMMIT", [], { signal });
    return result;
  } catch (error) {
    await rollBack(session);
    throw error;
  }
}

/** A session that cannot even roll back is closed, which rolls back too. */
async function rollBack(session: SqlSession): Promise<void> {
  if (session.usable) await session.query("ROLLBACK").catch(() => session.close());
}
