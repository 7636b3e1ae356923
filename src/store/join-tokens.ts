// Tokens with which hosts join: who they let in, until when, and whether they still do.
import { and, asc, eq, isNull } from "drizzle-orm";
import type { Secret } from "../base/secret.ts";
import type { JoinRole } from "../spec/cluster.ts";
import type { StoreDb } from "./db.ts";
import { joinTokens } from "./schema.ts";
import type { Sealer } from "./sealing.ts";
import type { Query } from "./statement.ts";

export interface JoinTokenRecord {
  /** First 16 hexadecimal digits of the SHA-256 of the secret. */
  readonly id: string;
  readonly role: JoinRole;
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly createdAtMs: number;
}

/** All tokens, oldest first, without their secrets. */
export async function listJoinTokens(db: StoreDb): Promise<readonly JoinTokenRecord[]> {
  const rows = await db
    .select()
    .from(joinTokens)
    .orderBy(asc(joinTokens.createdAtMs), asc(joinTokens.id));
  return rows.map(({ secret: _sealed, ...shown }) => shown);
}

/** One token with the secret part of its text, whatever its state. */
export async function loadJoinToken(
  db: StoreDb,
  sealer: Sealer,
  id: string,
): Promise<{ readonly record: JoinTokenRecord; readonly secret: Secret } | undefined> {
  const [row] = await db.select().from(joinTokens).where(eq(joinTokens.id, id)).limit(1);
  if (!row) return undefined;
  const { secret, ...record } = row;
  return { record, secret: sealer.open(secret, placeOf(id)) };
}

/** The oldest token that lets in any host and never expires, for those who ask for "the" token. */
export async function loadStandingToken(db: StoreDb, sealer: Sealer): Promise<Secret | undefined> {
  const [row] = await db
    .select({ id: joinTokens.id, secret: joinTokens.secret })
    .from(joinTokens)
    .where(
      and(
        eq(joinTokens.role, "voter"),
        isNull(joinTokens.expiresAtMs),
        isNull(joinTokens.revokedAtMs),
      ),
    )
    .orderBy(asc(joinTokens.createdAtMs), asc(joinTokens.id))
    .limit(1);
  return row && sealer.open(row.secret, placeOf(row.id));
}

export function insertJoinToken(
  db: StoreDb,
  sealer: Sealer,
  token: { readonly record: JoinTokenRecord; readonly secret: Secret },
): Query {
  const { record, secret } = token;
  const sealed = sealer.seal(secret, placeOf(record.id));
  return db
    .insert(joinTokens)
    .values({ ...record, secret: sealed })
    .toSQL();
}

/** The first revocation counts. */
export function revokeJoinToken(db: StoreDb, id: string, atMs: number): Query {
  return db
    .update(joinTokens)
    .set({ revokedAtMs: atMs })
    .where(and(eq(joinTokens.id, id), isNull(joinTokens.revokedAtMs)))
    .toSQL();
}

function placeOf(id: string): string {
  return `join_tokens/${id}/secret`;
}
