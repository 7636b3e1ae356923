// Ends every process of an instance, however it behaves, and proves it. Killing the postmaster alone
// is no fence: a backend in a loop goes on committing for many seconds without it.
import type { Clock } from "../../src/base/clock.ts";
import { identify, type ProcessEntry, signalProcess } from "../../src/host/process.ts";
import { fencerKillTimeoutMs } from "./client.ts";
import type { KillProof } from "./protocol.ts";
import { membersOf, postmasterAmong, type Territory } from "./territory.ts";

const roundPauseMs = 3;

export interface KillDeps {
  readonly clock: Clock;
  /** Collects dead children, so that a zombie is not mistaken for something that resists. */
  readonly reap: () => void;
}

/**
 * Freezes the postmaster, so that it starts nothing new; kills all others, then itself; looks again,
 * until nothing is left or fencerKillTimeoutMs is over (a process that hangs in the kernel).
 */
export async function killAll(territory: Territory, deps: KillDeps): Promise<KillProof> {
  const endMs = deps.clock.monotonicMs() + fencerKillTimeoutMs;
  const killed = new Set<string>();
  for (;;) {
    const remaining = killRound(territory, killed);
    deps.reap();
    if (remaining === 0) return { killed: killed.size, remaining };
    if (deps.clock.monotonicMs() >= endMs) return { killed: killed.size, remaining };
    await deps.clock.sleep(roundPauseMs);
  }
}

/** One look and one kill of everything seen. Returns how many were seen: 0 is the proof. */
function killRound(territory: Territory, killed: Set<string>): number {
  const seen = membersOf(territory);
  const postmaster = postmasterAmong(seen);
  if (!postmaster) {
    for (const entry of seen) kill(entry, killed);
    return seen.length;
  }
  send(postmaster, "SIGSTOP");
  const now = membersOf(territory);
  for (const entry of now) if (entry.pid !== postmaster.pid) kill(entry, killed);
  kill(postmaster, killed);
  return now.length;
}

function kill(entry: ProcessEntry, killed: Set<string>): void {
  if (send(entry, "SIGKILL")) killed.add(`${entry.pid}@${entry.startTicks}`);
}

/** Only to the process that was seen: its pid may belong to another by now. */
function send(entry: ProcessEntry, signal: NodeJS.Signals): boolean {
  const identity = identify(entry.pid);
  return identity?.startTicks === entry.startTicks && signalProcess(identity, signal);
}
