// The one row that makes a store a cluster: identity, certificate authority, join token. Secrets sealed.
import { count, sql } from "drizzle-orm";
import type { Secret } from "../base/secret.ts";
import type { StoreDb } from "./db.ts";
import { cluster } from "./schema.ts";
import type { Sealer } from "./sealing.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

export interface ClusterRecord {
  readonly id: string;
  readonly caCertificatePem: string;
  readonly caPrivateKeyPem: Secret;
  readonly joinToken: Secret;
  readonly createdAtMs: number;
}

const SINGLETON = 1;
/** What the private key of the authority is sealed for. */
export const CA_KEY_PLACE = "cluster/ca_key";
const JOIN_TOKEN = "cluster/join_token";

/** The cluster, or undefined while init has not succeeded. Throws when its secrets cannot be opened. */
export async function loadCluster(db: StoreDb, sealer: Sealer): Promise<ClusterRecord | undefined> {
  const [row] = await db.select().from(cluster).limit(1);
  if (!row) return undefined;
  return {
    id: row.id,
    caCertificatePem: row.caCertificate,
    caPrivateKeyPem: sealer.open(row.caKey, CA_KEY_PLACE),
    joinToken: sealer.open(row.joinToken, JOIN_TOKEN),
    createdAtMs: row.createdAtMs,
  };
}

/** Writes the row; goes with `noClusterGuard`. */
export function insertCluster(db: StoreDb, sealer: Sealer, record: ClusterRecord): Query {
  return db
    .insert(cluster)
    .values({
      singleton: SINGLETON,
      id: record.id,
      caCertificate: record.caCertificatePem,
      caKey: sealer.seal(record.caPrivateKeyPem, CA_KEY_PLACE),
      joinToken: sealer.seal(record.joinToken, JOIN_TOKEN),
      createdAtMs: record.createdAtMs,
    })
    .toSQL();
}

/** Holds while the store is no cluster yet. */
export function noClusterGuard(db: StoreDb): Guard {
  const query = db
    .select({ free: sql`${count()} = 0` })
    .from(cluster)
    .toSQL();
  return { name: "no_cluster", query };
}
