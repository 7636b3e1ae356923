// The rules of time, and what each change of the row keeps.
import { describe, expect, test } from "bun:test";
import { lease, SETTINGS } from "../../test/support/ha-situations.ts";
import {
  acquired,
  adopted,
  clockRateErrorMax,
  contestableAtMs,
  created,
  deadlineMs,
  promisedUntilMs,
  promiseMs,
  released,
  renewed,
} from "./lease.ts";
import { noRecord } from "./sync.ts";

const writer = { self: "b", incarnation: "b-1", nonce: "new", settings: SETTINGS };
const taking = { timeline: 2, resumes: false, sync: noRecord(), reason: "", lost: null };

describe("time", () => {
  test("the promise is the ttl, or shorter where a holder gives up before", () => {
    expect(promiseMs(SETTINGS)).toBe(8_000);
    expect(promiseMs({ ...SETTINGS, ttl_ms: 6_000 })).toBe(6_000);
    const patroni = { ...SETTINGS, ttl_ms: 30_000, loop_ms: 10_000, retry_ms: 10_000 };
    expect(promiseMs(patroni)).toBe(22_000);
  });

  test("a taker never begins before the holder has ended, however their clocks differ", () => {
    for (const holderRate of [1 - clockRateErrorMax, 1, 1 + clockRateErrorMax]) {
      for (const takerRate of [1 - clockRateErrorMax, 1, 1 + clockRateErrorMax]) {
        // Real time, the worst case: the taker saw the row the moment it was sent.
        const ends = 8_000 / holderRate;
        const begins = contestableAtMs(0, 8_000) / takerRate;
        expect(begins).toBeGreaterThanOrEqual(ends - 1e-6);
        const promised = promisedUntilMs(0, 8_000) / takerRate;
        expect(promised).toBeGreaterThanOrEqual(ends - 1e-6);
      }
    }
  });

  test("a renewal in doubt counts when it promised less (H: change of the ttl)", () => {
    const before = { sentAtMs: 0, ttlMs: 30_000 };
    expect(deadlineMs([before], SETTINGS)).toBe(28_000);
    expect(deadlineMs([before, { sentAtMs: 2_000, ttlMs: 8_000 }], SETTINGS)).toBe(8_000);
    expect(deadlineMs([before, { sentAtMs: 2_000, ttlMs: 30_000 }], SETTINGS)).toBe(28_000);
  });
});

describe("changes", () => {
  test("a renewal keeps everything but what changes, and is guarded by what was seen", () => {
    const { expected, row, history } = renewed(lease(), writer, {
      change: { phase: "gated", forks: [{ timeline: 2, from_timeline: 1, switch_lsn: "0/14" }] },
    });
    expect(expected).toEqual({ epoch: 2, seq: 7, nonce: "nonce" });
    expect(row).toEqual({ ...lease(), seq: 8, nonce: "new", phase: "gated" });
    expect(history).toMatchObject({ kind: "complete" });
  });

  test("an epoch begins with a timeline that nobody had, or goes on with its own", () => {
    expect(acquired(lease(), writer, taking).row).toMatchObject({
      epoch: 3,
      seq: 0,
      holder: "b",
      phase: "acquiring",
      timeline: 3,
      next_timeline: 4,
      checkpoint_done: false,
      ending: null,
    });
    expect(acquired(lease(), writer, { ...taking, timeline: 9 }).row).toMatchObject({
      timeline: 10,
      next_timeline: 11,
    });
    expect(acquired(lease(), writer, { ...taking, resumes: true }).row).toMatchObject({
      timeline: 2,
      next_timeline: 3,
      checkpoint_done: true,
    });
  });

  test("the first row takes data over that is there already", () => {
    const beginning = { members: ["b", "a"], sync: noRecord(), data: null };
    expect(created(writer, beginning)).toMatchObject({
      expected: null,
      row: { epoch: 1, timeline: 1, next_timeline: 2, members: ["a", "b"] },
    });
    const data = { timeline: 4, systemIdentifier: "7" };
    expect(created(writer, { ...beginning, data }).row).toMatchObject({
      timeline: 4,
      next_timeline: 5,
      system_identifier: "7",
    });
  });

  test("adopting and releasing grow the sequence, so that what is under way is void", () => {
    expect(adopted(lease(), writer).row).toMatchObject({ seq: 8, incarnation: "b-1", holder: "a" });
    const ending = {
      kind: "clean",
      holder: "a",
      lsn: "0/99",
      timeline: 2,
      successor: null,
    } as const;
    expect(released(lease(), writer, ending).row).toMatchObject({
      seq: 8,
      holder: null,
      phase: "released",
      optime: "0/99",
    });
  });
});
