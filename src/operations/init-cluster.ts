// …/cluster/init, join and join-token: how a cluster begins, and how others are let in.
import { Secret } from "../base/secret.ts";
import type { ClusterJoinToken } from "../spec/cluster.ts";
import { parseClusterId } from "../spec/ids.ts";
import { loadStandingToken } from "../store/join-tokens.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import { runtimeOf } from "./runtime.ts";

/** Init and join, one at a time. */
export interface Initialiser {
  /** Answers when this server serves the new cluster. The recovery key is in this answer only. */
  init(clusterId: string | undefined): Promise<ClusterJoinToken>;
  /** Resolves when this server is a healthy member. Can be repeated whatever became of it. */
  join(request: ClusterJoinToken): Promise<void>;
}

export function createInitialiser(deps: OperationsDeps): Initialiser {
  let running = false;
  const alone = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running) {
      const message = "the cluster is being initialized or joined";
      throw new OperationError("operation_already_in_progress", message);
    }
    running = true;
    try {
      return await work();
    } finally {
      running = false;
    }
  };
  return {
    async init(clusterId) {
      if (deps.runtime()) throw alreadyInitialised();
      const id = parseClusterId(clusterId ?? deps.ids.uuid());
      if (!id.ok) {
        const problem = { path: "cluster_id", code: "invalid_identifier", message: id.error };
        throw invalidInput([problem]);
      }
      return alone(async () => {
        const { recoveryKey } = await deps.bootstrap(id.value);
        return { ...(await joinToken(deps)), recovery_key: recoveryKey.reveal() };
      });
    },
    async join({ token: text, server_urls: urls }) {
      const token = new Secret(text);
      if (deps.runtime()) {
        if (await deps.joinedUnanswered(token)) return;
        throw alreadyInitialised();
      }
      urls.forEach(checkUrl);
      if (urls.length === 0) {
        const message = "needs the address of at least one member";
        throw invalidInput([{ path: "server_urls", code: "missing", message }]);
      }
      await alone(() => deps.join(token, urls));
    },
  };
}

function checkUrl(text: string, index: number): void {
  const { protocol } = URL.parse(text) ?? {};
  if (protocol === "http:" || protocol === "https:") return;
  const message = "must be the base URL of a server, for example http://10.0.0.1:3000";
  throw invalidInput([{ path: `server_urls[${index}]`, code: "invalid_url", message }]);
}

function alreadyInitialised(): OperationError {
  const message = "this server belongs to a cluster already";
  return new OperationError("cluster_already_initialized", message);
}

/** What another host needs to join. */
export async function joinToken(deps: OperationsDeps): Promise<ClusterJoinToken> {
  const { store, sealer, joinTokenText } = runtimeOf(deps);
  const secret = await loadStandingToken(store.db, sealer);
  if (!secret) {
    const message = "every token that did not expire was revoked: create another one";
    throw new OperationError("not_found", message);
  }
  return { token: joinTokenText(secret).reveal(), server_urls: [...deps.serverUrls()] };
}
