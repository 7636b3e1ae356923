// Whether a node of the store leads, as it knows itself; nobody else is asked.
import type { Clock } from "../base/clock.ts";
import { storeLeadershipTimeoutMs } from "../base/limits.ts";
import { ask, type NodeAccess } from "./capabilities.ts";
import { StoreError } from "./store-error.ts";

/** True while it is the leader. Throws a StoreError when it does not answer. */
export async function isLeader(
  node: NodeAccess,
  clock: Clock,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = clock.deadline(storeLeadershipTimeoutMs, signal);
  const response = await ask(node, "/status?key=store.raft", deadline);
  const text = await response.text();
  if (!response.ok) throw new StoreError("unavailable", `the store answered ${response.status}`);
  const status: unknown = JSON.parse(text);
  return typeof status === "object" && status !== null && "state" in status
    ? status.state === "Leader"
    : false;
}
