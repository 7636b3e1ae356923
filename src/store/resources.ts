// Resources as the last steps left them; the planner compares what should be with these.
import { and, asc, eq } from "drizzle-orm";
import { type Resource, resourceKey, type StoredResource } from "../plan/resource.ts";
import type { StoreDb } from "./db.ts";
import { resources } from "./schema.ts";
import type { Query } from "./statement.ts";

/** Resources of a database, by key. */
export async function listResources(
  db: StoreDb,
  databaseId: string,
): Promise<readonly StoredResource[]> {
  const rows = await db
    .select({ resource: resources.resource })
    .from(resources)
    .where(eq(resources.databaseId, databaseId))
    .orderBy(asc(resources.key));
  return rows.map((row): StoredResource => JSON.parse(row.resource));
}

export function saveResource(
  db: StoreDb,
  databaseId: string,
  resource: StoredResource,
  atMs: number,
): Query {
  const text = JSON.stringify(resource);
  return db
    .insert(resources)
    .values({ databaseId, key: resourceKey(resource), resource: text, updatedAtMs: atMs })
    .onConflictDoUpdate({
      target: [resources.databaseId, resources.key],
      set: { resource: text, updatedAtMs: atMs },
    })
    .toSQL();
}

export function deleteResource(db: StoreDb, databaseId: string, resource: Resource): Query {
  return db
    .delete(resources)
    .where(and(eq(resources.databaseId, databaseId), eq(resources.key, resourceKey(resource))))
    .toSQL();
}

export function deleteResourcesOf(db: StoreDb, databaseId: string): Query {
  return db.delete(resources).where(eq(resources.databaseId, databaseId)).toSQL();
}
