// After the heal every node holds the same data, to the row; and what was moved between accounts still adds up.
import type { Finding } from "./finding.ts";

export interface NodeData {
  readonly node: string;
  /** Checksum over all rows of each table. */
  readonly checksums: ReadonlyMap<string, string>;
  readonly balance: number;
  /** What the server's own check of heap and indexes had to say. */
  readonly corruption: readonly string[];
}

export function checkEquality(nodes: readonly NodeData[], balanceExpected: number): Finding[] {
  const findings: Finding[] = [];
  const [first, ...others] = nodes;
  for (const other of others) {
    for (const [table, checksum] of first?.checksums ?? []) {
      if (other.checksums.get(table) === checksum) continue;
      const message = `${table} differs between ${first?.node} and ${other.node}`;
      findings.push({ check: "equality", message });
    }
  }
  for (const { node, balance, corruption } of nodes) {
    if (balance !== balanceExpected) {
      const message = `${node}: the accounts hold ${balance}, not ${balanceExpected}`;
      findings.push({ check: "balance", message });
    }
    for (const line of corruption) findings.push({ check: "amcheck", message: `${node}: ${line}` });
  }
  return findings;
}
