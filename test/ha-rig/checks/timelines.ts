// The history files of all nodes tell one story: a timeline number has one past, and that of the primary contains the
// timeline of every standby and of every acknowledged write.
import type { Finding } from "./finding.ts";

export interface NodeTimelines {
  readonly node: string;
  readonly current: number;
  /** Content of pg_wal/<timeline>.history by timeline, without comments and blank lines. */
  readonly histories: ReadonlyMap<number, string>;
}

/** Lines that PostgreSQL reads: parent, switch point, reason. */
export function parseHistory(text: string): string {
  const lines = text.split("\n").map((line) => line.trim().replaceAll(/\s+/g, " "));
  return lines.filter((line) => line !== "" && !line.startsWith("#")).join("\n");
}

/** Timelines that a history names as ancestors. */
export function ancestors(history: string): number[] {
  return history.split("\n").flatMap((line) => {
    const parent = Number.parseInt(line, 10);
    return Number.isNaN(parent) ? [] : [parent];
  });
}

export function checkTimelines(
  primary: NodeTimelines,
  standbys: readonly NodeTimelines[],
  written: ReadonlySet<number>,
  mayLose: boolean,
): Finding[] {
  const findings: Finding[] = [];
  const report = (message: string) => findings.push({ check: "timelines", message });
  for (const [timeline, versions] of versionsByTimeline([primary, ...standbys])) {
    if (versions.size > 1) report(`timeline ${timeline} has ${versions.size} pasts`);
  }
  const chain = new Set([
    primary.current,
    ...ancestors(primary.histories.get(primary.current) ?? ""),
  ]);
  for (const { node, current } of standbys) {
    if (current !== primary.current) {
      report(
        `${node} is on timeline ${current}, the primary ${primary.node} on ${primary.current}`,
      );
    }
  }
  for (const timeline of written) {
    if (!mayLose && !chain.has(timeline)) {
      report(`timeline ${timeline} acknowledged writes and is no ancestor of ${primary.current}`);
    }
  }
  return findings;
}

/** Different contents per timeline; a file of comments alone reserves a number and tells nothing. */
function versionsByTimeline(nodes: readonly NodeTimelines[]): Map<number, Set<string>> {
  const versions = new Map<number, Set<string>>();
  for (const { histories } of nodes) {
    for (const [timeline, history] of histories) {
      if (history === "") continue;
      versions.set(timeline, (versions.get(timeline) ?? new Set()).add(history));
    }
  }
  return versions;
}
