// Makes roles be as asked: the built-in ones first, then the wanted ones, then those that lose their login.
import { AppError } from "../../src/base/errors.ts";
import { replicatorName, superuserName } from "../../src/postgres/hba.ts";
import {
  checkRole,
  disableStatements,
  groupName,
  type PresentRole,
  type RoleStatement,
  roleStatements,
  type WantedRole,
} from "../../src/postgres/roles.ts";
import {
  builtInRoleStatements,
  selectBuiltInRoles,
} from "../../src/postgres/sql/built-in-roles.ts";
import { parsePresentRole, selectRoles } from "../../src/postgres/sql/roles.ts";
import type { RoleConfig } from "../../src/spec/instance-config.ts";
import type { SqlSession } from "./sql.ts";
import { inTransaction } from "./transaction.ts";

export interface RolesWork {
  readonly roles: readonly RoleConfig[];
  readonly disabled: readonly string[];
}

/** All or nothing. Answers what was done, without secrets; throws a terminal AppError naming every bad role. */
export async function ensureRoles(
  session: SqlSession,
  work: RolesWork,
  major: number,
  signal: AbortSignal,
): Promise<string> {
  const wanted = work.roles.map(wantedRole);
  const problems = wanted.flatMap(checkRole);
  if (problems.length > 0) {
    const text = problems.map((problem) => `${problem.path}: ${problem.message}`).join("; ");
    throw new AppError("terminal", text);
  }
  const done: string[] = [];
  await inTransaction(session, signal, async () => {
    done.push(...(await ensureBuiltIns(session, major)));
    done.push(...(await runAll(session, await plan(session, wanted, work.disabled, major))));
  });
  return done.length === 0 ? "all roles are as they should be" : done.join("; ");
}

/** The roles that every database has, the one that standbys replicate with among them. Answers what was done. */
export async function ensureBuiltIns(
  session: SqlSession,
  major: number,
): Promise<readonly string[]> {
  const existing = (await session.query(selectBuiltInRoles)).map((row) => String(row.name));
  const statements = builtInRoleStatements(existing, major);
  for (const sql of statements) await session.query(sql);
  return statements.length === 0 ? [] : ["made the built-in roles"];
}

/** Roles are made before any membership among them is granted. */
async function plan(
  session: SqlSession,
  wanted: readonly WantedRole[],
  disabled: readonly string[],
  major: number,
): Promise<readonly RoleStatement[]> {
  const present = await readRoles(session, [...wanted.map((role) => role.name), ...disabled]);
  const changes = wanted.flatMap((role) => roleStatements(role, present.get(role.name), major));
  const isGrant = (statement: RoleStatement) => statement.sql.startsWith("GRANT ");
  const reserved = [superuserName, replicatorName, groupName];
  const disabling = disabled
    .filter((name) => !reserved.includes(name))
    .flatMap((name) => disableStatements(present.get(name)));
  return [
    ...changes.filter((statement) => !isGrant(statement)),
    ...changes.filter(isGrant),
    ...disabling,
  ];
}

async function readRoles(
  session: SqlSession,
  names: readonly string[],
): Promise<ReadonlyMap<string, PresentRole>> {
  const rows = await session.query(selectRoles, [JSON.stringify(names)]);
  return new Map(rows.map(parsePresentRole).map((role) => [role.name, role]));
}

async function runAll(
  session: SqlSession,
  statements: readonly RoleStatement[],
): Promise<readonly string[]> {
  for (const statement of statements) {
    try {
      await session.query(statement.sql);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      throw new AppError(error.kind, `${statement.shown}: ${error.message}`);
    }
  }
  return statements.map((statement) => statement.shown);
}

function wantedRole(role: RoleConfig): WantedRole {
  return {
    name: role.name,
    attributes: role.attributes,
    memberOf: role.member_of,
    ...(role.verifier === undefined ? {} : { verifier: role.verifier }),
  };
}
