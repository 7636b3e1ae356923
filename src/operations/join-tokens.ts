// …/cluster/join-tokens: further tokens, with an end and a role, that can be taken back.
import { rfc3339 } from "../base/clock.ts";
import type {
  CreateJoinTokenRequest,
  CreateJoinTokenResponse,
  JoinTokenInfo,
} from "../spec/cluster.ts";
import {
  insertJoinToken,
  type JoinTokenRecord,
  listJoinTokens as listStoredTokens,
  revokeJoinToken,
} from "../store/join-tokens.ts";
import type { OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { runtimeOf } from "./runtime.ts";

/** Oldest first; also those that let nobody in any more. */
export async function listJoinTokens(deps: OperationsDeps): Promise<readonly JoinTokenInfo[]> {
  const { store } = runtimeOf(deps);
  const nowMs = deps.clock.nowMs();
  return (await listStoredTokens(store.display)).map((record) => present(record, nowMs));
}

/** The text is in this answer only. */
export async function createJoinToken(
  deps: OperationsDeps,
  request: CreateJoinTokenRequest,
): Promise<CreateJoinTokenResponse> {
  const { store, sealer, newJoinToken, joinTokenText } = runtimeOf(deps);
  const nowMs = deps.clock.nowMs();
  const { id, secret } = newJoinToken();
  const seconds = request.expires_in_seconds;
  const record: JoinTokenRecord = {
    id,
    role: request.role ?? "voter",
    expiresAtMs: seconds === undefined ? null : nowMs + seconds * 1_000,
    revokedAtMs: null,
    createdAtMs: nowMs,
  };
  await store.commit({
    opId: deps.ids.uuid(),
    guards: [],
    statements: [insertJoinToken(store.db, sealer, { record, secret })],
  });
  return {
    id,
    token: joinTokenText(secret).reveal(),
    server_urls: [...deps.serverUrls()],
    role: record.role,
    ...(record.expiresAtMs === null ? {} : { expires_at: rfc3339(record.expiresAtMs) }),
  };
}

/** From now on it lets nobody in. Members that came with it stay. */
export async function revokeToken(deps: OperationsDeps, tokenId: string): Promise<JoinTokenInfo> {
  const { store } = runtimeOf(deps);
  const nowMs = deps.clock.nowMs();
  await store.commit({
    opId: deps.ids.uuid(),
    guards: [],
    statements: [revokeJoinToken(store.db, tokenId, nowMs)],
  });
  const record = (await listStoredTokens(store.db)).find(({ id }) => id === tokenId);
  if (record) return present(record, nowMs);
  throw new OperationError("not_found", `join token ${tokenId} does not exist`);
}

function present(record: JoinTokenRecord, nowMs: number): JoinTokenInfo {
  const { id, role, createdAtMs, expiresAtMs, revokedAtMs } = record;
  const expired = expiresAtMs !== null && expiresAtMs <= nowMs;
  return {
    id,
    role,
    state: revokedAtMs !== null ? "revoked" : expired ? "expired" : "valid",
    created_at: rfc3339(createdAtMs),
    ...(expiresAtMs === null ? {} : { expires_at: rfc3339(expiresAtMs) }),
    ...(revokedAtMs === null ? {} : { revoked_at: rfc3339(revokedAtMs) }),
  };
}
