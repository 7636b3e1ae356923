// A read through the routed endpoint that began after a write was acknowledged must see it.
import { type Attempt, type Read, rowId } from "../attempt.ts";
import { type Finding, some } from "./finding.ts";

/** `lost` are rows whose loss is reported already (asynchronous mode): not seeing them is no second finding. */
export function checkStaleReads(
  attempts: readonly Attempt[],
  reads: readonly Read[],
  lost: ReadonlySet<string>,
): Finding[] {
  const byClient = new Map<string, Attempt[]>();
  for (const attempt of attempts) {
    if (attempt.outcome !== "acked" || lost.has(rowId(attempt))) continue;
    const list = byClient.get(attempt.client) ?? [];
    list.push(attempt);
    byClient.set(attempt.client, list);
  }
  const stale: string[] = [];
  for (const read of reads) {
    for (const [client, writes] of byClient) {
      const expected = newestBefore(writes, read.sentMs);
      const seen = read.newest.get(client) ?? -1;
      if (expected > seen) stale.push(`${read.host} showed ${client}:${seen}, not ${expected}`);
    }
  }
  if (stale.length === 0) return [];
  return [{ check: "stale-read", message: `${stale.length} stale reads: ${some(stale)}` }];
}

/** Highest row acknowledged before `ms`; a client's writes end in the order of their numbers. */
function newestBefore(writes: readonly Attempt[], ms: number): number {
  let low = 0;
  let high = writes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((writes[middle]?.endedMs ?? ms) < ms) low = middle + 1;
    else high = middle;
  }
  return writes[low - 1]?.n ?? -1;
}
