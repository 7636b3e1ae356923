// Ports of machines, and whether one machine reaches another's.
import { hostReachTimeoutMs } from "../base/limits.ts";
import type { Executor } from "../host/executor.ts";

/** A port of some machine. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Where a URL leads; addresses of IPv6 without their brackets. */
export function placeOf(url: string): Place {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}

/** Why a machine cannot connect to a port; undefined when it can. bash has what no other program of every distribution has. */
export async function checkReachFrom(
  executor: Executor,
  { host, port }: Place,
  signal: AbortSignal,
): Promise<string | undefined> {
  const connect = 'exec 3<>"/dev/tcp/$1/$2"';
  const argv = ["/bin/bash", "-c", connect, "bash", host, String(port)] as const;
  const result = await executor.run({ argv, timeoutMs: hostReachTimeoutMs }, { signal });
  signal.throwIfAborted();
  return result.exitCode === 0 ? undefined : result.stderr.trim() || "no answer";
}
