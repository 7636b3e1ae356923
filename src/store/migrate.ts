// Brings the tables up to date. Every migration is one request whose first statement claims its number,
// so that it is applied exactly once however many servers start together.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Migration } from "./migrations.gen.ts";
import type { RequestOptions, Rqlite } from "./rqlite.ts";
import type { Query } from "./statement.ts";
import { StoreError } from "./store-error.ts";

export interface MigrateDeps {
  readonly rqlite: Rqlite;
  readonly clock: Clock;
}

/** What `migrate` found and did. */
export interface MigrateResult {
  /** Numbers applied by this call. */
  readonly applied: readonly number[];
  /** Numbers in the store that this binary does not know; none of them is breaking. */
  readonly unknown: readonly number[];
}

interface AppliedMigration {
  readonly index: number;
  readonly name: string;
  readonly sha256: string;
  readonly breaking: boolean;
}

const CREATE: Query = {
  sql: `CREATE TABLE IF NOT EXISTS migrations (idx INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL,
    sha256 TEXT NOT NULL, breaking INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT`,
  params: [],
};
const SELECT: Query = {
  sql: "SELECT idx, name, sha256, breaking FROM migrations ORDER BY idx",
  params: [],
};

/**
 * Applies what is missing, in order. Throws a terminal AppError when a migration in the store differs
 * from ours, or when a newer binary has applied one that is marked breaking.
 */
export async function migrate(
  deps: MigrateDeps,
  migrations: readonly Migration[],
  signal?: AbortSignal,
): Promise<MigrateResult> {
  const options: RequestOptions = signal ? { signal } : {};
  await deps.rqlite.request([CREATE], { ...options, idempotent: true });
  let present = await loadApplied(deps.rqlite, options);
  const unknown = checkUnknown(present, migrations);
  const applied: number[] = [];
  for (const migration of migrations) {
    if (!present.has(migration.index)) {
      if (await apply(deps, migration, options)) applied.push(migration.index);
      present = await loadApplied(deps.rqlite, options);
    }
    checkSame(present.get(migration.index), migration);
  }
  return { applied, unknown };
}

async function loadApplied(
  rqlite: Rqlite,
  options: RequestOptions,
): Promise<ReadonlyMap<number, AppliedMigration>> {
  const [result] = await rqlite.request([SELECT], { ...options, level: "strong" });
  return new Map(
    (result?.rows ?? []).map(([index, name, sha256, breaking]) => [
      Number(index),
      {
        index: Number(index),
        name: String(name),
        sha256: String(sha256),
        breaking: breaking === 1,
      },
    ]),
  );
}

/** Whether it was applied by this call; false when another did it or when the outcome is unknown. */
async function apply(
  deps: MigrateDeps,
  migration: Migration,
  options: RequestOptions,
): Promise<boolean> {
  const { index, name, sha256, breaking, statements } = migration;
  const claim: Query = {
    sql: "INSERT INTO migrations (idx, name, sha256, breaking, at_ms) VALUES (?, ?, ?, ?, ?)",
    params: [index, name, sha256, breaking ? 1 : 0, deps.clock.nowMs()],
  };
  const request = [claim, ...statements.map((sql) => ({ sql, params: [] }))];
  try {
    await deps.rqlite.request(request, { ...options, transaction: true });
    return true;
  } catch (thrown) {
    if (!(thrown instanceof StoreError)) throw thrown;
    const claimed = thrown.reason === "constraint" && thrown.statement === 0;
    if (claimed || thrown.reason === "unknown") return false;
    throw thrown;
  }
}

function checkUnknown(
  present: ReadonlyMap<number, AppliedMigration>,
  migrations: readonly Migration[],
): readonly number[] {
  const known = new Set(migrations.map((migration) => migration.index));
  const newer = [...present.values()].filter((migration) => !known.has(migration.index));
  const breaking = newer.find((migration) => migration.breaking);
  if (breaking) {
    throw new AppError(
      "terminal",
      `the store was changed by a newer pgherd (migration ${breaking.index} ${breaking.name}) in a way this version cannot work with: upgrade this host`,
    );
  }
  return newer.map((migration) => migration.index);
}

function checkSame(applied: AppliedMigration | undefined, migration: Migration): void {
  const what = `migration ${migration.index} ${migration.name}`;
  if (!applied) throw new StoreError("unknown", `${what}: it is unknown whether it was applied`);
  if (applied.sha256 === migration.sha256) return;
  throw new AppError("terminal", `${what} differs from the one that was applied to the store`);
}
