// …/cluster/init and join-token: how a cluster begins, and how others are let in.
import type { ClusterJoinToken } from "../spec/cluster.ts";
import { parseClusterId } from "../spec/ids.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import { runtimeOf } from "./runtime.ts";

/** Initialisation, one at a time. */
export interface Initialiser {
  /** Answers when this server serves the new cluster. The recovery key is in this answer only. */
  init(clusterId: string | undefined): Promise<ClusterJoinToken>;
}

export function createInitialiser(deps: OperationsDeps): Initialiser {
  let running = false;
  return {
    async init(clusterId) {
      if (deps.runtime()) {
        const message = "this server belongs to a cluster already";
        throw new OperationError("cluster_already_initialized", message);
      }
      const id = parseClusterId(clusterId ?? deps.ids.uuid());
      if (!id.ok) {
        const problem = { path: "cluster_id", code: "invalid_identifier", message: id.error };
        throw invalidInput([problem]);
      }
      if (running) {
        const message = "the cluster is being initialized";
        throw new OperationError("operation_already_in_progress", message);
      }
      running = true;
      try {
        const { recoveryKey } = await deps.bootstrap(id.value);
        return { ...joinToken(deps), recovery_key: recoveryKey.reveal() };
      } finally {
        running = false;
      }
    },
  };
}

/** What another host needs to join. */
export function joinToken(deps: OperationsDeps): ClusterJoinToken {
  const runtime = runtimeOf(deps);
  return { token: runtime.joinToken.reveal(), server_urls: [...deps.serverUrls()] };
}
