// The history of a node for people: who was primary, why it changed, and what was lost with it.
import type { EpochRow, PastEpoch } from "./lease.ts";

export interface Chapter {
  readonly epoch: number;
  readonly instance_id: string;
  /** Wall clock, milliseconds; when the lease was taken. */
  readonly since_ms: number;
  readonly timeline: number;
  /** The same timeline as before: nothing was promoted. */
  readonly resumed: boolean;
  /** One sentence. */
  readonly sentence: string;
  readonly lost: string | null;
}

/** Newest first. */
export function chapters(epochs: readonly PastEpoch[]): readonly Chapter[] {
  return epochs.map((row, index) => chapterOf(row, epochs[index - 1])).reverse();
}

function chapterOf(row: PastEpoch, before: PastEpoch | undefined): Chapter {
  const resumed = before !== undefined && before.timeline === row.timeline;
  return {
    epoch: row.epoch,
    instance_id: row.instance_id,
    since_ms: row.at_ms,
    timeline: row.timeline,
    resumed,
    sentence: sentenceOf(row, before, resumed),
    lost: row.lost,
  };
}

function sentenceOf(row: EpochRow, before: EpochRow | undefined, resumed: boolean): string {
  if (!before) return `${row.instance_id} began the node`;
  if (resumed) return `${row.instance_id} went on as primary: ${row.reason}`;
  const where = row.switch_lsn === null ? "" : ` at ${row.switch_lsn}`;
  const from = row.from_timeline ?? before.timeline;
  const fork = `timeline ${row.timeline} follows ${from}${where}`;
  const lost = row.lost === null ? "" : `; lost: ${row.lost}`;
  return `${row.instance_id} became primary: ${row.reason}; ${fork}${lost}`;
}
