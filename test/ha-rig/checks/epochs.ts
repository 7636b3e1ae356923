// Who was primary, as the system itself tells it: epochs grow, each has one holder, timelines only grow.
import type { Finding } from "./finding.ts";

export interface Epoch {
  readonly epoch: number;
  readonly holder: string;
  /** Timeline of the epoch; the same as before when the holder went on without a promotion. */
  readonly timeline: number;
}

export function checkEpochs(epochs: readonly Epoch[]): Finding[] {
  const findings: Finding[] = [];
  const report = (message: string) => findings.push({ check: "epochs", message });
  const owners = new Map<number, string>();
  let last: Epoch | undefined;
  for (const now of epochs) {
    if (last && now.epoch <= last.epoch) report(`epoch ${now.epoch} follows ${last.epoch}`);
    if (last && now.timeline < last.timeline) {
      report(`timeline ${now.timeline} of epoch ${now.epoch} follows timeline ${last.timeline}`);
    }
    const owner = owners.get(now.timeline);
    if (owner !== undefined && owner !== now.holder) {
      report(`timeline ${now.timeline} belongs to ${owner} and to ${now.holder}`);
    }
    owners.set(now.timeline, now.holder);
    last = now;
  }
  return findings;
}
