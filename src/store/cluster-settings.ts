// Numbers that concern the whole cluster and only grow.
import { eq, lt } from "drizzle-orm";
import type { StoreDb } from "./db.ts";
import { clusterSettings } from "./schema.ts";
import type { Query } from "./statement.ts";

/**
 * `certificates_after_ms`: hosts replace certificates that are older (wall clock, milliseconds).
 * `store_users_after_ms`: hosts take other passwords of the store than those that were made before (the same).
 * `recovery`: how often the cluster went on from what was left; hosts that know less stay out.
 */
export type ClusterSetting = "certificates_after_ms" | "store_users_after_ms" | "recovery";

/** 0 when it was never set. */
export async function loadClusterSetting(db: StoreDb, name: ClusterSetting): Promise<number> {
  const [row] = await db
    .select({ value: clusterSettings.value })
    .from(clusterSettings)
    .where(eq(clusterSettings.name, name))
    .limit(1);
  return row?.value ?? 0;
}

/** Raises it to the value; a smaller one changes nothing. */
export function raiseClusterSetting(db: StoreDb, name: ClusterSetting, value: number): Query {
  return db
    .insert(clusterSettings)
    .values({ name, value })
    .onConflictDoUpdate({
      target: clusterSettings.name,
      set: { value },
      setWhere: lt(clusterSettings.value, value),
    })
    .toSQL();
}
