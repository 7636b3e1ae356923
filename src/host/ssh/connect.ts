// One authenticated connection to one host: resolve, connect, check the host key, authenticate.
import { lookup } from "node:dns/promises";
import { createConnection, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Client, type ConnectConfig, type SshFailure } from "ssh2";
import type { Clock } from "../../base/clock.ts";
import { AppError, isAbort } from "../../base/errors.ts";
import {
  sshConnectTimeoutMs,
  sshKeepaliveIntervalMs,
  sshKeepaliveMissesMax,
} from "../../base/limits.ts";
import type { Secret } from "../../base/secret.ts";
import type { HostKeyCheck, HostKeyPolicy } from "./known-hosts.ts";
import { SshError, type SshPhase } from "./ssh-error.ts";

/** How to prove who we are. */
export type SshAuth =
  | {
      readonly kind: "key";
      /** OpenSSH or PEM text: ed25519, rsa or ecdsa. */
      readonly privateKey: Secret;
      readonly passphrase?: Secret;
    }
  | { readonly kind: "agent" /** Path of the agent's socket. */; readonly socket: string };

/** Where a host is and how to get in. */
export interface SshTarget {
  readonly hostId: string;
  /** Name or address; seen from the jump host when there is one. */
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly auth: SshAuth;
  readonly hostKey: HostKeyPolicy;
  /** Everything is done as root, which the user may become by sudo without a password. */
  readonly become?: "sudo";
}

export interface SshTimings {
  /** From resolving to being authenticated. */
  readonly connectTimeoutMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveMissesMax: number;
}

export const defaultTimings: SshTimings = {
  connectTimeoutMs: sshConnectTimeoutMs,
  keepaliveIntervalMs: sshKeepaliveIntervalMs,
  keepaliveMissesMax: sshKeepaliveMissesMax,
};

/** An authenticated connection. */
export interface OpenConnection {
  readonly client: Client;
  /** Aborts with an SshError as soon as the connection is lost or closed. */
  readonly gone: AbortSignal;
}

/** Opens the way to the host's sshd; through another host where there is a jump. */
export type Route = (target: SshTarget, signal: AbortSignal) => Promise<Duplex>;

/** Connects within the time limit. Throws an SshError with the phase that failed. */
export async function connectSsh(
  target: SshTarget,
  hostKey: HostKeyCheck,
  route: Route,
  clock: Clock,
  timings: SshTimings = defaultTimings,
): Promise<OpenConnection> {
  const limit = clock.deadline(timings.connectTimeoutMs);
  const socket = await route(target, limit);
  return handshake(target, hostKey, socket, timings, limit);
}

/** Straight over TCP: the addresses of the name in turn. */
export const directRoute: Route = async (target, signal) => {
  let failure: unknown;
  for (const address of await resolve(target, signal)) {
    try {
      return await openSocket(address, target.port, signal);
    } catch (error) {
      failure = error;
      if (signal.aborted) break;
    }
  }
  throw new SshError("retryable", target.hostId, "connect", saidInTime(failure, signal));
};

async function resolve(target: SshTarget, signal: AbortSignal): Promise<readonly string[]> {
  if (isIP(target.address) !== 0) return [target.address];
  try {
    const found = await orAborted(lookup(target.address, { all: true }), signal);
    return found.map(({ address }) => address);
  } catch (error) {
    throw new SshError("retryable", target.hostId, "resolve", saidInTime(error, signal));
  }
}

function openSocket(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((accept, reject) => {
    const socket = createConnection({ host, port, noDelay: true });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.removeListener("error", reject);
      accept(socket);
    });
    socket.once("error", reject);
  });
}

function handshake(
  target: SshTarget,
  hostKey: HostKeyCheck,
  socket: Duplex,
  timings: SshTimings,
  limit: AbortSignal,
): Promise<OpenConnection> {
  const client = new Client();
  const gone = new AbortController();
  let phase: SshPhase = "host key";
  let refusal: unknown;
  return new Promise((accept, reject) => {
    const lose = (thrown: unknown) => {
      limit.removeEventListener("abort", onLimit);
      const error = asSshError(target, phase, refusal ?? thrown);
      if (!gone.signal.aborted) gone.abort(error);
      reject(error);
      // ssh2 closes its socket late or, when nobody answers any more, never.
      socket.destroy();
    };
    const onLimit = () => lose(saidInTime(limit.reason, limit));
    limit.addEventListener("abort", onLimit, { once: true });
    client.on("handshake", () => {
      phase = "authenticate";
    });
    client.on("ready", () => {
      phase = "channel";
      limit.removeEventListener("abort", onLimit);
      accept({ client, gone: gone.signal });
    });
    // More than one error may come, the last of them after the connection is closed.
    client.on("error", lose);
    client.on("close", () => lose(new Error("the connection was closed")));
    const onRefusal = (thrown: unknown) => {
      refusal = thrown;
    };
    try {
      client.connect(connectConfig(target, hostKey, socket, timings, onRefusal));
    } catch (error) {
      // A private key that cannot be read is found out before anything is sent.
      phase = "authenticate";
      lose(new AppError("terminal", keyProblem(error)));
    }
  });
}

function connectConfig(
  target: SshTarget,
  hostKey: HostKeyCheck,
  sock: Duplex,
  timings: SshTimings,
  onRefusal: (thrown: unknown) => void,
): ConnectConfig {
  return {
    sock,
    username: target.user,
    ...credentials(target.auth),
    // The whole way has a limit of its own.
    readyTimeout: 0,
    keepaliveInterval: timings.keepaliveIntervalMs,
    keepaliveCountMax: timings.keepaliveMissesMax,
    algorithms: { serverHostKey: hostKey.algorithms() },
    hostVerifier: (key, verify) => {
      hostKey.verify(key).then(
        () => verify(true),
        (thrown: unknown) => {
          onRefusal(thrown);
          verify(false);
        },
      );
    },
  };
}

function credentials(
  auth: SshAuth,
): { privateKey: string; passphrase?: string } | { agent: string } {
  if (auth.kind === "agent") return { agent: auth.socket };
  const privateKey = auth.privateKey.reveal();
  return auth.passphrase ? { privateKey, passphrase: auth.passphrase.reveal() } : { privateKey };
}

/** Terminal is what will fail again in the same way: a wrong key, refused credentials, no common algorithm. */
function asSshError(target: SshTarget, phase: SshPhase, thrown: unknown): SshError {
  if (thrown instanceof SshError) return thrown;
  if (thrown instanceof AppError) return new SshError(thrown.kind, target.hostId, phase, thrown);
  const terminal =
    thrown instanceof Error &&
    (/no matching|Too many authentication/.test(thrown.message) ||
      ["client-authentication", "agent"].includes(levelOf(thrown) ?? ""));
  return new SshError(terminal ? "terminal" : "retryable", target.hostId, phase, thrown);
}

function levelOf(error: Error & Partial<SshFailure>): string | undefined {
  return error.level;
}

/** ssh2 says "Cannot parse privateKey: …" and never shows a part of it. */
function keyProblem(error: unknown): string {
  return error instanceof Error ? error.message : "the private key cannot be used";
}

function saidInTime(thrown: unknown, signal: AbortSignal): unknown {
  return signal.aborted && (isAbort(signal.reason) || thrown === signal.reason)
    ? new Error("no answer in time")
    : thrown;
}

/** Waits for a promise, but no longer than until the signal aborts. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((accept, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(accept, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
