// What must not be left behind: slots without a standby, processes without their postmaster, a second postmaster.
import type { Finding } from "./finding.ts";

export interface NodeLeftovers {
  readonly node: string;
  readonly postmasters: number;
  /** postgres processes whose parent is no postmaster. */
  readonly orphans: readonly string[];
  /** Physical replication slots that nobody uses. */
  readonly idleSlots: readonly string[];
  /** Directories of replaced data; reported, and wrong only when there are more than faults can explain. */
  readonly keptAside: readonly string[];
}

export function checkLeaks(nodes: readonly NodeLeftovers[], keptAsideMax: number): Finding[] {
  const findings: Finding[] = [];
  const report = (message: string) => findings.push({ check: "leaks", message });
  for (const { node, postmasters, orphans, idleSlots, keptAside } of nodes) {
    if (postmasters !== 1) report(`${node}: ${postmasters} postmasters`);
    if (orphans.length > 0) report(`${node}: orphans ${orphans.join(", ")}`);
    if (idleSlots.length > 0) report(`${node}: idle slots ${idleSlots.join(", ")}`);
    if (keptAside.length > keptAsideMax) report(`${node}: kept aside ${keptAside.join(", ")}`);
  }
  return findings;
}
