// Asks other hosts of the cluster. Trusts nothing but the cluster's authority, and of its certificates only that
// of the host that is meant.
import type { PeerCertificate } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { AppError, isAbort, messageOf } from "../base/errors.ts";
import type { PeerLink, PeerRequest } from "../host/peer-link.ts";
import { HOST_HEADER } from "../host/peer-messages.ts";
import type { PeerCredentials } from "./credentials.ts";

export interface PeerAddress {
  readonly hostId: string;
  /** Best first. */
  readonly addresses: readonly string[];
  readonly port: number;
}

/** For callers that rather wait for a server that only restarts than fail at once. */
export interface Patience {
  readonly clock: Clock;
  /** How long a host that takes no connection is asked again. */
  readonly forMs: number;
}

const REPEAT_MS = 200;

/** A way to the host; its addresses are tried in turn, beginning with the last good one. */
export function peerLink(
  peer: PeerAddress,
  credentials: () => PeerCredentials,
  patience?: Patience,
): PeerLink {
  let good = 0;
  return {
    hostId: peer.hostId,
    async request(request) {
      const count = Math.max(peer.addresses.length, 1);
      const endMs = patience ? patience.clock.monotonicMs() + patience.forMs : 0;
      for (let tried = 0; ; tried++) {
        const at = (good + tried) % count;
        try {
          const response = await send(peer, peer.addresses[at], request, credentials());
          good = at;
          return response;
        } catch (thrown) {
          request.signal.throwIfAborted();
          if (isAbort(thrown)) throw thrown;
          const lost = unreachable(peer, peer.addresses[at], thrown);
          if (!isNotSent(thrown)) throw lost;
          if ((tried + 1) % count !== 0) continue;
          if (!patience || patience.clock.monotonicMs() >= endMs) throw lost;
          await patience.clock.sleep(REPEAT_MS, request.signal);
        }
      }
    },
  };
}

async function send(
  peer: PeerAddress,
  address: string | undefined,
  request: PeerRequest,
  { ca, cert, key }: PeerCredentials,
): Promise<Response> {
  if (address === undefined) throw new AppError("terminal", "it has no address");
  const host = address.includes(":") ? `[${address}]` : address;
  const query = request.query ? `?${new URLSearchParams(request.query)}` : "";
  return await fetch(`https://${host}:${peer.port}${request.path}${query}`, {
    method: request.method,
    headers: { ...request.headers, [HOST_HEADER]: peer.hostId },
    redirect: "error",
    signal: request.signal,
    ...(request.body === undefined ? {} : { body: request.body }),
    tls: {
      ca,
      cert,
      key: key.reveal(),
      checkServerIdentity: (_name: string, found: PeerCertificate) => {
        const name: unknown = found.subject?.CN;
        if (name === peer.hostId) return undefined;
        return new AppError("retryable", `host ${String(name)} answers there`);
      },
    },
  });
}

/** Failures to connect: the request never left, so another address may be tried. */
const NOT_SENT = new Set([
  "ConnectionRefused",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "FailedToOpenSocket",
]);

function isNotSent(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && NOT_SENT.has(String(thrown.code));
}

function unreachable(peer: PeerAddress, address: string | undefined, thrown: unknown): AppError {
  const where = `${address ?? "no address"}, port ${peer.port}`;
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : undefined;
  // The runtime's own words for these ask whether the computer has a network.
  const why = isNotSent(thrown) ? code : messageOf(thrown);
  const text = `host ${peer.hostId} (${where}) cannot be reached: ${why}`;
  return new AppError("retryable", text);
}
