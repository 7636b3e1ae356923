// As much of the write-ahead log's format as is needed to know where a record ends (source, xlogrecord.h and
// xlog_internal.h; unchanged since PostgreSQL 9.5). Texts of pg_waldump change with versions, this does not.

export interface WalGeometry {
  readonly blockBytes: number;
  readonly segmentBytes: number;
}

/** The fixed part of a record. */
export interface RecordHead {
  /** With the head itself. */
  readonly totalBytes: number;
  /** Where the record before begins. */
  readonly previousLsn: bigint;
  readonly info: number;
  readonly resourceManager: number;
}

export const recordHeadBytes = 24;
/** A checkpoint record of PostgreSQL 14 to 18: head, short data head, the checkpoint itself. */
export const checkpointRecordBytes = 24 + 2 + 88;
/** Heads of pages: of the first one of a segment, and of the others. */
const longPageHead = 40;
const shortPageHead = 24;
const alignment = 8n;
const xlogManager = 0;
const shutdownCheckpointInfo = 0x00;
const xlogSwitchInfo = 0x40;
/** The upper half of the info byte is the resource manager's. */
const infoMask = 0xf0;

/** Parses the head from its bytes, page heads left out; undefined when this can be no record. */
export function parseRecordHead(bytes: Uint8Array): RecordHead | undefined {
  if (bytes.length < recordHeadBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const totalBytes = view.getUint32(0, true);
  if (totalBytes < recordHeadBytes) return undefined;
  return {
    totalBytes,
    previousLsn: view.getBigUint64(8, true),
    info: view.getUint8(16),
    resourceManager: view.getUint8(17),
  };
}

/** Whether it is the record that a clean shutdown of a primary ends with. */
export function isShutdownCheckpoint(head: RecordHead): boolean {
  return head.resourceManager === xlogManager && (head.info & infoMask) === shutdownCheckpointInfo;
}

/** Whether it only fills the rest of a segment. */
export function isSegmentSwitch(head: RecordHead): boolean {
  return head.resourceManager === xlogManager && (head.info & infoMask) === xlogSwitchInfo;
}

/** Where a record ends that begins at `startLsn`: page heads lie in between, and the end is aligned. */
export function recordEnd(startLsn: bigint, totalBytes: number, geometry: WalGeometry): bigint {
  const block = BigInt(geometry.blockBytes);
  let lsn = startLsn;
  let left = BigInt(totalBytes);
  for (;;) {
    const room = block - (lsn % block);
    const taken = left < room ? left : room;
    lsn += taken;
    left -= taken;
    if (left === 0n) break;
    lsn += BigInt(pageHeadBytes(lsn, geometry));
  }
  return (lsn + alignment - 1n) & ~(alignment - 1n);
}

/** Size of the head of the page that begins here. */
export function pageHeadBytes(pageLsn: bigint, geometry: WalGeometry): number {
  return pageLsn % BigInt(geometry.segmentBytes) === 0n ? longPageHead : shortPageHead;
}
