import { expect, test } from "bun:test";
import { parseWalSegmentName, walSegmentName } from "./lsn.ts";
import {
  checkpointRecordBytes,
  isSegmentSwitch,
  isShutdownCheckpoint,
  parseRecordHead,
  recordEnd,
} from "./wal-record.ts";

const geometry = { blockBytes: 8192, segmentBytes: 16 * 1024 * 1024 };

test("where a record ends: inside a page, at its end, over page and segment heads", () => {
  const end = (start: bigint) => recordEnd(start, checkpointRecordBytes, geometry);
  expect(end(0x3000028n)).toBe(0x30000a0n);
  // Exactly to the end of the page.
  expect(recordEnd(0x3001f80n, 128, geometry)).toBe(0x3002000n);
  expect(recordEnd(0x3001f88n, 128, geometry)).toBe(0x3002000n + 24n + 8n);
  expect(recordEnd(0x3ffff88n, 128, geometry)).toBe(0x4000000n + 40n + 8n);
  // Over more than one page.
  expect(recordEnd(0x3001000n, 4096 + (8192 - 24) + 8, geometry)).toBe(0x3004000n + 24n + 8n);
});

test("heads of records", () => {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, checkpointRecordBytes, true);
  view.setBigUint64(8, 0x3000028n, true);
  expect(parseRecordHead(bytes)).toEqual({
    totalBytes: checkpointRecordBytes,
    previousLsn: 0x3000028n,
    info: 0,
    resourceManager: 0,
  });
  const head = { totalBytes: 24, previousLsn: 0n, info: 0x40, resourceManager: 0 };
  expect([isSegmentSwitch(head), isShutdownCheckpoint(head)]).toEqual([true, false]);
  expect(isShutdownCheckpoint({ ...head, info: 0x10 })).toBe(false);
  expect(isShutdownCheckpoint({ ...head, info: 0, resourceManager: 1 })).toBe(false);
  expect(parseRecordHead(new Uint8Array(24))).toBeUndefined();
});

test("names of segments", () => {
  expect(walSegmentName(1, 0x3000028n, geometry.segmentBytes)).toBe("000000010000000000000003");
  expect(walSegmentName(26, 0x1_2345_6789n, geometry.segmentBytes)).toBe(
    "0000001A0000000100000023",
  );
  expect(walSegmentName(1, 0x1_0000_0000n, 1024 * 1024 * 1024)).toBe("000000010000000100000000");
  expect(parseWalSegmentName("0000001A0000000100000023", geometry.segmentBytes)).toEqual({
    timeline: 26,
    startLsn: 0x1_2300_0000n,
  });
  expect(parseWalSegmentName("0000001A0000000100000023.partial", 16)).toBeUndefined();
});
