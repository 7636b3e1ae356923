// This host joins a cluster: it asks members until one lets it in, takes over what that one answers, follows
// the store without a vote until it has everything, and serves. Any part of it can be done again.
import { rm } from "node:fs/promises";
import { Value } from "@sinclair/typebox/value";
import { messageOf } from "../base/errors.ts";
import { joinPatienceMs, joinRequestTimeoutMs } from "../base/limits.ts";
import { Secret } from "../base/secret.ts";
import * as processes from "../host/process.ts";
import { invalidInput, OperationError } from "../operations/errors.ts";
import { fingerprintOf } from "../pki/authority.ts";
import { openJoin, sealJoin } from "../pki/join-seal.ts";
import { type JoinTokenParts, parseJoinToken } from "../pki/join-token.ts";
import {
  type ClusterKey,
  loadClusterKey,
  parseRecoveryText,
  saveClusterKey,
} from "../store/cluster-key.ts";
import { adoptUsers, rqlitedPaths } from "../store/rqlited-files.ts";
import { endProcess, findByDataDirectory } from "../store/rqlited-process.ts";
import { JoinGrant, joinProof } from "./admit.ts";
import type { ServerEnvironment } from "./environment.ts";
import { clusterKeyPath } from "./member.ts";
import { MembershipFile } from "./membership.ts";

/** What a host that was let in has on disk. */
export interface Joining {
  readonly membership: MembershipFile;
  readonly key: ClusterKey;
  readonly tokenId: string;
}

/** Is let in by one of the members and writes what that one answered. Throws OperationError. */
export async function takeSeat(
  environment: ServerEnvironment,
  token: Secret,
  serverUrls: readonly string[],
): Promise<Joining> {
  const parts = parseJoinToken(token);
  if (!parts) throw new OperationError("invalid_join_token", "this is not a join token");
  const grant = await askMembers(environment, parts, serverUrls);
  if (fingerprintOf(grant.ca_certificate) !== parts.fingerprint) {
    const message = "who answered does not belong to the cluster of this join token";
    throw new OperationError("invalid_join_token", message);
  }
  const membership = await MembershipFile.create(environment.config.data_dir, environment.rng, {
    phase: "joining",
    cluster_id: grant.cluster_id,
    ca_certificate: grant.ca_certificate,
    ca_key: grant.ca_key,
    registered: false,
    clustered: true,
    recovery: grant.recovery,
    ...(grant.store_users_ms === undefined ? {} : { store_users_ms: grant.store_users_ms }),
    members: grant.members,
  });
  const key = await replaceKey(environment, grant.cluster_key);
  await emptyStore(environment);
  await adoptUsers(rqlitedPaths(environment.config.data_dir), grant.users, environment.rng);
  return { membership, key, tokenId: parts.id };
}

const JOIN_PAUSE_MS = 500;

/** The grant of the first member that answers. What one of them refuses, no other is asked. */
async function askMembers(
  environment: ServerEnvironment,
  parts: JoinTokenParts,
  serverUrls: readonly string[],
): Promise<JoinGrant> {
  const { clock } = environment;
  const failures = new Map<string, string>();
  // Members that cannot let anybody in just now are asked again.
  for (const ending = clock.deadline(joinPatienceMs); ; ) {
    let later = false;
    for (const url of serverUrls) {
      try {
        return await askMember(environment, parts, url);
      } catch (thrown) {
        if (thrown instanceof OperationError && thrown.error !== "no_quorum") throw thrown;
        later ||= thrown instanceof OperationError;
        failures.set(url, `${url}: ${messageOf(thrown)}`);
      }
    }
    if (!later || ending.aborted) break;
    await clock.sleep(JOIN_PAUSE_MS, ending).catch(() => undefined);
  }
  const message = `no member could be asked: ${[...failures.values()].join("; ") || "no address was given"}`;
  throw invalidInput([{ path: "server_urls", code: "unreachable", message }]);
}

async function askMember(
  environment: ServerEnvironment,
  { id, secret }: JoinTokenParts,
  url: string,
): Promise<JoinGrant> {
  const { config, clock, rng } = environment;
  const channel = {
    secret,
    nonce: Buffer.from(rng.bytes(16)).toString("hex"),
    hostId: config.host_id,
  };
  const proof = await ownProof(environment);
  const statement = {
    host_id: config.host_id,
    voter: config.etcd_mode === "server",
    ...(proof === undefined ? {} : { proof }),
  };
  const sealed = sealJoin(channel, "request", new Secret(JSON.stringify(statement)), rng);
  const response = await fetch(`${url.replace(/\/+$/, "")}/v1/internal/cluster/join-options`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token_id: id, host_id: config.host_id, nonce: channel.nonce, sealed }),
    redirect: "error",
    signal: clock.deadline(joinRequestTimeoutMs),
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw refusal(response.status, answer);
  const text = isRecord(answer) && typeof answer.sealed === "string" ? answer.sealed : "";
  const opened = openJoin(channel, "answer", text);
  const grant: unknown = opened && JSON.parse(opened.reveal());
  if (Value.Check(JoinGrant, grant)) return grant;
  throw new OperationError("invalid_join_token", `${url} does not know this join token`);
}

/** What a member said, in its own words. */
function refusal(status: number, answer: unknown): Error {
  const message = isRecord(answer) ? String(answer.message) : `it answered ${status}`;
  switch (status) {
    case 401:
      return new OperationError("invalid_join_token", message);
    case 400:
    case 409:
      return invalidInput([{ path: "", code: "refused", message }]);
    case 503:
      return new OperationError("no_quorum", message);
    default:
      return new Error(message);
  }
}

/** A host that was let in before has the key; what it left half way is its own. */
async function ownProof(environment: ServerEnvironment): Promise<string | undefined> {
  const { config, rng } = environment;
  const membership = await MembershipFile.load(config.data_dir, rng);
  if (membership?.content.phase !== "joining") return undefined;
  try {
    return joinProof(await loadClusterKey(clusterKeyPath(config)), config.host_id);
  } catch (thrown) {
    // The earlier try did not come so far.
    if (thrown instanceof Error) return undefined;
    throw thrown;
  }
}

async function replaceKey(environment: ServerEnvironment, text: string): Promise<ClusterKey> {
  const parsed = parseRecoveryText(text);
  if (!parsed.ok) throw new OperationError("invalid_join_token", "the member's answer is damaged");
  const path = clusterKeyPath(environment.config);
  await rm(path, { force: true });
  await saveClusterKey(path, parsed.value, environment.rng);
  return parsed.value;
}

/** Ends what an earlier try left running and removes its copy of the store: the members have it all. */
async function emptyStore({ config, clock }: ServerEnvironment): Promise<void> {
  const { data } = rqlitedPaths(config.data_dir);
  for (const identity of findByDataDirectory(processes, data)) {
    await endProcess(identity, processes, clock);
  }
  await rm(data, { recursive: true, force: true });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
