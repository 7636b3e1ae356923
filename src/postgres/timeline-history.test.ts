import { expect, test } from "bun:test";
import { parseLsn } from "./lsn.ts";
import {
  endOfTimeline,
  historyFileName,
  isReservedHistory,
  kinshipOf,
  parseHistory,
  parseHistoryFileName,
  reservedHistoryText,
  type TimelineHistory,
  timelineAt,
} from "./timeline-history.ts";

const lsn = (text: string): bigint => parseLsn(text) ?? 0n;
const history = (timeline: number, ...switches: [number, string][]): TimelineHistory => ({
  timeline,
  ancestors: switches.map(([parent, at]) => ({ timeline: parent, switchLsn: lsn(at), reason: "" })),
});

test("a history file as PostgreSQL writes it", () => {
  const text =
    "1\t0/3000158\tno recovery target specified\n\n\n2\t0/5000000\tafter LSN 0/4FFFFF0\n";
  expect(parseHistory(3, text)).toEqual({
    timeline: 3,
    ancestors: [
      { timeline: 1, switchLsn: 0x3000158n, reason: "no recovery target specified" },
      { timeline: 2, switchLsn: 0x5000000n, reason: "after LSN 0/4FFFFF0" },
    ],
  });
  expect(parseHistory(2, "")).toEqual({ timeline: 2, ancestors: [] });
  for (const bad of ["1", "x 0/1", "1 0/1\n1 0/2", "2 0/1\n1 0/2", "3 0/1", "1 0/G"]) {
    expect([bad, parseHistory(3, bad)]).toEqual([bad, undefined]);
  }
});

test("reserved numbers are recognised, and real histories are none of them", () => {
  expect(isReservedHistory(reservedHistoryText)).toBe(true);
  expect(parseHistory(4, reservedHistoryText)).toEqual({ timeline: 4, ancestors: [] });
  expect(isReservedHistory("1\t0/3000158\tno recovery target specified\n")).toBe(false);
  expect(isReservedHistory("")).toBe(false);
});

test("names of history files", () => {
  expect(historyFileName(26)).toBe("0000001A.history");
  expect(parseHistoryFileName("0000001A.history")).toBe(26);
  expect(parseHistoryFileName("0000001A.history.ready")).toBeUndefined();
});

test("which timeline a position belongs to", () => {
  const known = history(5, [1, "0/3000000"], [4, "0/5000000"]);
  expect(timelineAt(known, lsn("0/2FFFFFF"))).toBe(1);
  expect(timelineAt(known, lsn("0/3000000"))).toBe(1);
  expect(timelineAt(known, lsn("0/3000001"))).toBe(4);
  expect(timelineAt(known, lsn("0/5000001"))).toBe(5);
  expect(endOfTimeline(known, 4)).toBe(lsn("0/5000000"));
  expect(endOfTimeline(known, 5)).toBeNull();
  expect(endOfTimeline(known, 2)).toBeUndefined();
});

const leader = history(4, [1, "0/3000000"], [2, "0/5000000"]);
const own = (timeline: number, end: string, of: TimelineHistory) => ({
  timeline,
  lsn: lsn(end),
  history: of,
});

test("data that is part of the other history", () => {
  for (const data of [
    own(1, "0/2000000", history(1)),
    own(1, "0/3000000", history(1)),
    own(2, "0/5000000", history(2, [1, "0/3000000"])),
    own(4, "0/9000000", leader),
    // Its own history file is gone: it cannot contradict.
    own(2, "0/4000000", history(2)),
  ]) {
    expect(kinshipOf(data, leader)).toEqual({ kind: "prefix" });
  }
});

test("data with records of its own", () => {
  const cases: [ReturnType<typeof own>, number, string][] = [
    // H9: one shutdown checkpoint more than the other knows.
    [own(1, "0/3000078", history(1)), 1, "0/3000000"],
    [own(2, "0/5000001", history(2, [1, "0/3000000"])), 2, "0/5000000"],
    // H2: the timeline is in no history of the other.
    [own(3, "0/6000000", history(3, [1, "0/3000000"], [2, "0/4000000"])), 2, "0/4000000"],
    [own(3, "0/6000000", history(3, [1, "0/2000000"])), 1, "0/2000000"],
    // The same number, reached from elsewhere.
    [own(2, "0/4000000", history(2, [1, "0/2800000"])), 1, "0/2800000"],
    [own(4, "0/6000000", history(4, [1, "0/3000000"], [2, "0/4800000"])), 2, "0/4800000"],
    // Ahead of a leader that went on from an earlier point of the same timeline.
    [own(5, "0/6000000", history(5, [1, "0/3000000"], [2, "0/5000000"])), 2, "0/5000000"],
  ];
  for (const [data, timeline, fork] of cases) {
    expect(kinshipOf(data, leader)).toEqual({
      kind: "diverged",
      timeline,
      forkLsn: lsn(fork),
      lost: { from: lsn(fork), to: data.lsn, timeline: data.timeline },
    });
  }
});

test("nothing in common", () => {
  expect(kinshipOf(own(7, "0/1", history(7)), leader)).toEqual({ kind: "unrelated" });
});
