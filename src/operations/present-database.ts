// A database as users see it. Secrets never leave.
import { rfc3339 } from "../base/clock.ts";
import type { Database, DatabaseSummary } from "../spec/database.ts";
import { presentSpec } from "../spec/present.ts";
import type { DatabaseRecord } from "../store/databases.ts";
import type { ShownInstance } from "../store/instances.ts";
import { presentInstance } from "./present-instance.ts";

/** With its spec; `instances` as sorted by the store, absent in answers to changes. */
export function presentDatabase(
  record: DatabaseRecord,
  seen?: { readonly instances: readonly ShownInstance[]; readonly nowMs: number },
): Database {
  return {
    ...head(record),
    state: record.state,
    ...(seen
      ? { instances: seen.instances.map((instance) => presentInstance(instance, seen.nowMs)) }
      : {}),
    spec: presentSpec(record.spec),
  };
}

export function presentSummary(
  record: Omit<DatabaseRecord, "spec">,
  instances: readonly ShownInstance[],
  nowMs: number,
): DatabaseSummary {
  return {
    ...head(record),
    state: record.state,
    instances: instances.map((instance) => presentInstance(instance, nowMs)),
  };
}

function head(record: Omit<DatabaseRecord, "spec">) {
  return {
    id: record.id,
    ...(record.tenantId === null ? {} : { tenant_id: record.tenantId }),
    created_at: rfc3339(record.createdAtMs),
    updated_at: rfc3339(record.updatedAtMs),
  };
}
