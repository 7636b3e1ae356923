// Removes rows that nobody will ask for again.
import type { Clock } from "../base/clock.ts";
import type { Ids } from "../base/ids.ts";
import {
  idempotencyKeptMs,
  intentsKeptMs,
  keeperRequestsKeptMs,
  operationsLogKeptMs,
} from "../base/limits.ts";
import { pruneIntents } from "../store/ha-intents.ts";
import { pruneAnswers } from "../store/idempotency.ts";
import { pruneKeeperRequests } from "../store/keeper-requests.ts";
import type { Store } from "../store/store.ts";
import type { Lease } from "./lease.ts";

/** One round. */
export async function prune(
  deps: { readonly store: Store; readonly clock: Clock; readonly ids: Ids },
  lease: Lease,
): Promise<void> {
  const { store, clock, ids } = deps;
  const nowMs = clock.nowMs();
  await store.commit({
    opId: ids.uuid(),
    guards: [lease.guard],
    statements: [
      pruneAnswers(store.db, nowMs - idempotencyKeptMs),
      pruneKeeperRequests(store.db, nowMs - keeperRequestsKeptMs),
      ...pruneIntents(store.db, { nowMs, forgetBeforeMs: nowMs - intentsKeptMs }),
    ],
  });
  await store.pruneOperations(nowMs - operationsLogKeptMs);
}
