// What must not be left behind: slots without a standby, rows that no vacuum may take, processes without their
// postmaster, a second postmaster.
import type { Finding } from "./finding.ts";

export interface NodeLeftovers {
  readonly node: string;
  readonly postmasters: number;
  /** postgres processes whose parent is no postmaster. */
  readonly orphans: readonly string[];
  /** Physical replication slots that nobody uses. */
  readonly idleSlots: readonly string[];
  /** Transactions since the oldest one that a slot keeps rows of. */
  readonly heldTransactions: number;
  /** Directories of replaced data; reported, and wrong only when there are more than faults can explain. */
  readonly keptAside: readonly string[];
}

/** Standbys say every few seconds what they see. */
const heldMax = 100;

/** Whether slots keep rows of no more transactions than those that standbys have not told of yet. */
export function holdsFew({ heldTransactions }: Pick<NodeLeftovers, "heldTransactions">): boolean {
  return heldTransactions <= heldMax;
}

export function checkLeaks(nodes: readonly NodeLeftovers[], keptAsideMax: number): Finding[] {
  const findings: Finding[] = [];
  const report = (message: string) => findings.push({ check: "leaks", message });
  for (const left of nodes) {
    const { node, postmasters, orphans, idleSlots, keptAside } = left;
    if (postmasters !== 1) report(`${node}: ${postmasters} postmasters`);
    if (orphans.length > 0) report(`${node}: orphans ${orphans.join(", ")}`);
    if (idleSlots.length > 0) report(`${node}: idle slots ${idleSlots.join(", ")}`);
    if (!holdsFew(left))
      report(`${node}: slots keep rows of ${left.heldTransactions} transactions`);
    if (keptAside.length > keptAsideMax) report(`${node}: kept aside ${keptAside.join(", ")}`);
  }
  return findings;
}
