// What users say of a host: labels, addresses for clients, maintenance.
import { count, eq, sql } from "drizzle-orm";
import type { HostRecord } from "../spec/host.ts";
import type { StoreDb } from "./db.ts";
import { hostSettings, hosts } from "./schema.ts";
import type { Query } from "./statement.ts";
import type { Guard } from "./store.ts";

export interface HostSettings {
  readonly labels: Readonly<Record<string, string>>;
  /** null = what the host says itself. */
  readonly clientAddresses: readonly string[] | null;
  /** null = it is in service. */
  readonly maintenance: { readonly sinceMs: number; readonly reason: string | null } | null;
}

export interface StoredHostSettings extends HostSettings {
  /** 0 = nothing was ever said. */
  readonly generation: number;
}

const NOTHING: StoredHostSettings = {
  generation: 0,
  labels: {},
  clientAddresses: null,
  maintenance: null,
};

export async function loadHostSettings(db: StoreDb, hostId: string): Promise<StoredHostSettings> {
  const [row] = await db
    .select()
    .from(hostSettings)
    .where(eq(hostSettings.hostId, hostId))
    .limit(1);
  return settingsOf(row ?? null);
}

/** Holds while the host exists and nobody changed its settings since they were loaded. */
export function hostSettingsGuard(db: StoreDb, hostId: string, generation: number): Guard {
  const known = db.select({ n: count() }).from(hosts).where(eq(hosts.id, hostId));
  const now = db
    .select({ generation: hostSettings.generation })
    .from(hostSettings)
    .where(eq(hostSettings.hostId, hostId));
  const query = db
    .select({ same: sql`(${known}) = 1 AND coalesce((${now}), 0) = ${generation}` })
    .from(sql`(SELECT 1)`)
    .toSQL();
  return { name: "host_settings", query };
}

export function saveHostSettings(db: StoreDb, hostId: string, settings: StoredHostSettings): Query {
  const values = {
    generation: settings.generation + 1,
    labels: JSON.stringify(settings.labels),
    clientAddresses: settings.clientAddresses && JSON.stringify(settings.clientAddresses),
    maintenanceSinceMs: settings.maintenance?.sinceMs ?? null,
    maintenanceReason: settings.maintenance?.reason ?? null,
  };
  return db
    .insert(hostSettings)
    .values({ hostId, ...values })
    .onConflictDoUpdate({ target: hostSettings.hostId, set: values })
    .toSQL();
}

/** The record as users want it. */
export function withSettings(record: HostRecord, settings: HostSettings): HostRecord {
  const { clientAddresses, maintenance } = settings;
  return {
    ...record,
    ...(clientAddresses ? { client_addresses: [...clientAddresses] } : {}),
    ...(maintenance
      ? {
          maintenance: {
            since_ms: maintenance.sinceMs,
            ...(maintenance.reason === null ? {} : { reason: maintenance.reason }),
          },
        }
      : {}),
  };
}

/** What a row says; without one, nothing. */
export function settingsOf(row: typeof hostSettings.$inferSelect | null): StoredHostSettings {
  if (!row) return NOTHING;
  return {
    generation: row.generation,
    labels: JSON.parse(row.labels),
    clientAddresses: row.clientAddresses === null ? null : JSON.parse(row.clientAddresses),
    maintenance:
      row.maintenanceSinceMs === null
        ? null
        : { sinceMs: row.maintenanceSinceMs, reason: row.maintenanceReason },
  };
}
