// GET /v1/databases. The rows behind the list are kept between requests and read again only when the store's change
// version says that something changed; how fresh every keeper's report is, is asked each time.
import type { DatabaseSummary } from "../spec/database.ts";
import { listDatabases as listRows } from "../store/databases.ts";
import {
  changeVersionAndReportTimes,
  listShownInstances,
  type ShownInstance,
} from "../store/instances.ts";
import type { Store } from "../store/store.ts";
import type { OperationsDeps } from "./deps.ts";
import { presentSummary } from "./present-database.ts";
import { runtimeOf } from "./runtime.ts";

interface Rows {
  readonly version: number;
  readonly databases: Awaited<ReturnType<typeof listRows>>;
  readonly instances: ReadonlyMap<string, readonly ShownInstance[]>;
}

/** Lists by id, with instances and without specs. One lister serves one server. */
export function createDatabaseLister(
  deps: OperationsDeps,
): () => Promise<readonly DatabaseSummary[]> {
  let kept: { readonly store: Store; readonly rows: Rows } | undefined;
  return async () => {
    const { store } = runtimeOf(deps);
    // The version is read before the rows: a change in between makes the next request read again.
    const { version, observedAtMs } = await changeVersionAndReportTimes(store.display);
    if (kept?.store !== store || kept.rows.version !== version) {
      kept = { store, rows: await readRows(store, version) };
    }
    const { databases, instances } = kept.rows;
    const nowMs = deps.clock.nowMs();
    return databases.map((database) => {
      const shown = (instances.get(database.id) ?? []).map((instance) =>
        seenAt(instance, observedAtMs.get(instance.id)),
      );
      return presentSummary(database, shown, nowMs);
    });
  };
}

async function readRows(store: Store, version: number): Promise<Rows> {
  const [databases, instances] = await Promise.all([
    listRows(store.display),
    listShownInstances(store.display),
  ]);
  return { version, databases, instances: Map.groupBy(instances, ({ databaseId }) => databaseId) };
}

/** Keepers raise the change version when what they see changes; otherwise only the time of the look is new. */
function seenAt(instance: ShownInstance, observedAtMs: number | undefined): ShownInstance {
  const { report } = instance;
  if (!report || observedAtMs === undefined) return instance;
  return { ...instance, report: { ...report, observed_at_ms: observedAtMs } };
}
