// What the rqlited that answers can do, found out by asking it: versions of self-built binaries say
// little, and unknown read levels are silently taken for weak ones.
import type { Clock } from "../base/clock.ts";
import { storeRequestTimeoutMs } from "../base/limits.ts";
import type { Secret } from "../base/secret.ts";
import type { RqliteTls } from "./rqlite.ts";
import { StoreError } from "./store-error.ts";

export interface RqliteCapabilities {
  /** As its answers say, e.g. `v8.43.4`. */
  readonly version: string;
  /** Whether `level=linearizable` is known; otherwise use `strong`. */
  readonly linearizable: boolean;
}

export interface Credentials {
  readonly username: string;
  readonly password: Secret;
}

/** One node as it is asked. */
export interface NodeAccess {
  /** `http(s)://host:port` */
  readonly url: string;
  readonly credentials: Credentials;
  /** For https. */
  readonly tls?: () => RqliteTls;
}

/** Asks one node. Throws StoreError when it does not answer or refuses the credentials. */
export async function probeCapabilities(
  node: NodeAccess,
  clock: Clock,
  signal?: AbortSignal,
): Promise<RqliteCapabilities> {
  // A node that knows linearizable reads parses their timeout and refuses this one.
  const path = "/db/query?q=SELECT%201&linearizable_timeout=bogus";
  const response = await ask(node, path, clock.deadline(storeRequestTimeoutMs, signal));
  await response.body?.cancel();
  if (response.status === 401 || response.status === 403) {
    throw new StoreError("auth", "the store refused the credentials");
  }
  if (response.status !== 200 && response.status !== 400) {
    throw new StoreError("unavailable", `the store answered ${response.status} to the probe`);
  }
  const version = response.headers.get("x-rqlite-version") ?? "unknown";
  return { version, linearizable: response.status === 400 };
}

/**
 * ready: the node leads, or knows and reaches its leader, and has applied its log. answering: the node
 * is up, whatever becomes of its leader. False too when it does not answer. Throws StoreError `auth`
 * when it refuses the credentials.
 */
export async function isNode(
  state: "ready" | "answering",
  node: NodeAccess,
  signal: AbortSignal,
): Promise<boolean> {
  let status: number;
  try {
    const path = state === "ready" ? "/readyz" : "/readyz?noleader";
    const response = await ask(node, path, signal);
    await response.body?.cancel();
    status = response.status;
  } catch (thrown) {
    if (thrown instanceof Error) return false;
    throw thrown;
  }
  if (status === 401) throw new StoreError("auth", "the store refused the credentials");
  return status === 200;
}

/** Whether this node leads its cluster. Throws when it does not tell in time. */
export async function isLeader(node: NodeAccess, signal: AbortSignal): Promise<boolean> {
  // A weak read is answered by who leads, and sent elsewhere by who does not. Its status would cost ten times as much.
  const response = await ask(node, "/db/query?q=SELECT%201&level=weak&redirect", signal);
  await response.body?.cancel();
  if (response.status === 301) return false;
  if (response.ok) return true;
  throw new StoreError("unavailable", `the store answered ${response.status} to who leads`);
}

/** Whether peers are really verified under mutual TLS: older releases only say so. */
export function verifiesPeers(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = (/^v?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [])
    .slice(1)
    .map(Number);
  return major * 1e6 + minor * 1e3 + patch >= 8_043_003;
}

/** Sends one request of the node's own API. Throws what fetch throws. */
export function ask(
  { url, credentials, tls }: NodeAccess,
  path: string,
  signal: AbortSignal,
  init: { readonly method?: string; readonly body?: string | Uint8Array<ArrayBuffer> } = {},
): Promise<Response> {
  const pair = `${credentials.username}:${credentials.password.reveal()}`;
  const authorization = `Basic ${Buffer.from(pair).toString("base64")}`;
  return fetch(`${url}${path}`, {
    ...init,
    headers: { authorization },
    redirect: "manual",
    signal,
    ...(tls ? { tls: tls() } : {}),
  });
}
