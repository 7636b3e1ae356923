// Does what a step asks of the instance. Every kind of work can be cut anywhere and done again.
import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { keeperRequestTimeoutMs } from "../../src/base/limits.ts";
import { groupName } from "../../src/postgres/roles.ts";
import {
  alterDatabaseOwner,
  createDatabase,
  createExtension,
  groupGrants,
  selectDatabase,
  selectExtensions,
  selectGrantTargets,
} from "../../src/postgres/sql/databases.ts";
import {
  controlsTransaction,
  createMarkerSchema,
  insertMarker,
  selectMarker,
  selectMarkerSchema,
  selectTransaction,
} from "../../src/postgres/sql/scripts.ts";
import type { KeeperRequest } from "../../src/spec/instance-config.ts";
import { ensureRoles } from "./roles.ts";
import type { Slots } from "./slots.ts";
import { openSession, type SqlSession, type SqlTarget } from "./sql.ts";
import { inTransaction } from "./transaction.ts";

export interface RequestDeps {
  readonly clock: Clock;
  /** Where a database of this instance is reached. */
  readonly target: (database: string) => SqlTarget;
  readonly major: number;
  readonly reload: () => Promise<void>;
  readonly slots: Slots;
}

/** Requests that the loop itself does not do. */
export type ServedRequest = Exclude<KeeperRequest, { kind: "restart" }>;
type DatabaseRequest = Extract<KeeperRequest, { kind: "database" }>;
type ScriptRequest = Extract<KeeperRequest, { kind: "script" }>;

/** Does it and answers what was done. Throws AppError; a retryable one means that trying again makes sense. */
export async function serveRequest(
  deps: RequestDeps,
  request: ServedRequest,
  signal: AbortSignal,
): Promise<string> {
  switch (request.kind) {
    case "roles":
      return withSession(deps, deps.target("postgres"), signal, (session) =>
        ensureRoles(session, request, deps.major, signal),
      );
    case "database":
      return ensureDatabase(deps, request, signal);
    case "script":
      return runScript(deps, request, signal);
    case "slots":
      return withSession(deps, deps.target("postgres"), signal, (session) =>
        deps.slots.keep(session, request.slots, signal),
      );
    case "reload":
      await deps.reload();
      return "reloaded";
    case "checkpoint":
      return withSession(deps, deps.target("postgres"), signal, async (session) => {
        await session.query("SET statement_timeout = 0");
        await session.query("CHECKPOINT", [], long(signal));
        return "made a checkpoint";
      });
  }
}

async function ensureDatabase(
  deps: RequestDeps,
  request: DatabaseRequest,
  signal: AbortSignal,
): Promise<string> {
  const done = await withSession(deps, deps.target("postgres"), signal, (session) =>
    createIfMissing(session, request, signal),
  );
  const inside = await withSession(deps, deps.target(request.name), signal, async (session) => {
    const extensions = await ensureExtensions(session, request.extensions, signal);
    await ensureGrants(session, request.name, signal);
    return extensions;
  });
  const all = [...done, ...inside];
  return all.length === 0 ? `database ${request.name} is as it should be` : all.join("; ");
}

async function createIfMissing(
  session: SqlSession,
  { name, owner }: DatabaseRequest,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const [present] = await session.query(selectDatabase, [name]);
  if (!present) {
    await session.query("SET statement_timeout = 0");
    await session.query(createDatabase(name, owner), [], long(signal));
    return [`made database ${name}`];
  }
  if (owner === null || present.owner === owner) return [];
  await session.query(alterDatabaseOwner(name, owner), [], { signal });
  return [`gave database ${name} to ${owner}`];
}

/** The extensions' objects go to schema public unless the extension has its own. */
async function ensureExtensions(
  session: SqlSession,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const present = (await session.query(selectExtensions)).map((row) => String(row.name));
  const missing = names.filter((name) => !present.includes(name));
  for (const name of missing) {
    await inTransaction(session, signal, async () => {
      await session.query("SET LOCAL search_path = public");
      await session.query("SET LOCAL statement_timeout = 0");
      await session.query(createExtension(name), [], long(signal));
    });
  }
  return missing.map((name) => `made extension ${name}`);
}

async function ensureGrants(session: SqlSession, database: string, signal: AbortSignal) {
  const [targets] = await session.query(selectGrantTargets, [groupName]);
  if (targets?.group_exists !== true) return;
  const statements = groupGrants(database).filter(
    (sql) => targets.public_exists === true || !sql.includes("SCHEMA public"),
  );
  await inTransaction(session, signal, async () => {
    for (const sql of statements) await session.query(sql);
  });
}

/** All statements and the marker in one transaction: the script was applied if and only if the marker is there. */
async function runScript(
  deps: RequestDeps,
  request: ScriptRequest,
  signal: AbortSignal,
): Promise<string> {
  const forbidden = request.statements.findIndex(controlsTransaction);
  if (forbidden >= 0) {
    const which = `statement ${forbidden + 1} of ${request.key}`;
    throw new AppError("terminal", `${which} would end the script's transaction`);
  }
  const target: SqlTarget = { ...deps.target(request.database), profile: "script" };
  return withSession(deps, target, signal, async (session) => {
    await ensureMarkerSchema(session, signal);
    return inTransaction(session, signal, () => applyOnce(session, request, signal));
  });
}

async function applyOnce(
  session: SqlSession,
  request: ScriptRequest,
  signal: AbortSignal,
): Promise<string> {
  const applied = await session.query(selectMarker, [request.key]);
  if (applied.length > 0) return `script ${request.key} was applied before`;
  await session.query(insertMarker, [request.key]);
  const transaction = await currentTransaction(session);
  for (const [index, statement] of request.statements.entries()) {
    try {
      await session.query(statement, [], long(signal));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      throw new AppError(error.kind, `statement ${index + 1}: ${error.message}`, { cause: error });
    }
  }
  if ((await currentTransaction(session)) !== transaction) {
    throw new AppError("terminal", `script ${request.key} ended its own transaction`);
  }
  return `applied ${request.statements.length} statements of ${request.key}`;
}

async function currentTransaction(session: SqlSession): Promise<string> {
  return String((await session.query(selectTransaction))[0]?.id);
}

/** A schema of that name that somebody else made could hold a trap; it is refused. */
async function ensureMarkerSchema(session: SqlSession, signal: AbortSignal): Promise<void> {
  const [schema] = await session.query(selectMarkerSchema);
  if (schema && schema.owner !== schema.self) {
    throw new AppError("terminal", `schema pgherd belongs to ${String(schema.owner)}`);
  }
  if (schema) return;
  await inTransaction(session, signal, async () => {
    for (const sql of createMarkerSchema) await session.query(sql);
  });
}

async function withSession<T>(
  deps: RequestDeps,
  target: SqlTarget,
  signal: AbortSignal,
  work: (session: SqlSession) => Promise<T>,
): Promise<T> {
  const session = await openSession(target, deps.clock, signal);
  try {
    return await work(session);
  } catch (error) {
    if (error instanceof AppError) throw error;
    signal.throwIfAborted();
    throw new AppError("terminal", messageOf(error), { cause: error });
  } finally {
    await session.close();
  }
}

function long(signal: AbortSignal): { deadlineMs: number; signal: AbortSignal } {
  return { deadlineMs: keeperRequestTimeoutMs, signal };
}
