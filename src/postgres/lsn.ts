// Positions in the write-ahead log (manual, "pg_lsn Type"): 64 bits, so bigint and never a number.

/** Parses "0/3000060"; undefined for anything else. */
export function parseLsn(text: string): bigint | undefined {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (!match) return undefined;
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** As PostgreSQL prints it, e.g. "0/3000060". */
export function formatLsn(lsn: bigint): string {
  const high = (lsn >> 32n).toString(16);
  const low = (lsn & 0xffffffffn).toString(16);
  return `${high}/${low}`.toUpperCase();
}

/** The smaller of two positions. */
export function minLsn(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** The larger of two positions. */
export function maxLsn(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** A timeline as file names have it: "0000000A". */
export function timelineHex(timeline: number): string {
  return hex(BigInt(timeline));
}

/** The name of the segment that holds the byte at this position (manual, "WAL Internals"). */
export function walSegmentName(timeline: number, lsn: bigint, segmentBytes: number): string {
  const perLog = 0x1_0000_0000n / BigInt(segmentBytes);
  const segment = lsn / BigInt(segmentBytes);
  return `${timelineHex(timeline)}${hex(segment / perLog)}${hex(segment % perLog)}`;
}

/** Timeline and first position of a segment by its name; undefined for other names, partial segments included. */
export function parseWalSegmentName(
  name: string,
  segmentBytes: number,
): { readonly timeline: number; readonly startLsn: bigint } | undefined {
  const match = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/.exec(name);
  if (!match) return undefined;
  const perLog = 0x1_0000_0000n / BigInt(segmentBytes);
  const segment = BigInt(`0x${match[2]}`) * perLog + BigInt(`0x${match[3]}`);
  return {
    timeline: Number.parseInt(match[1] ?? "", 16),
    startLsn: segment * BigInt(segmentBytes),
  };
}

function hex(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(8, "0");
}
