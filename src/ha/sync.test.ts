// The order in which setting and record follow each other: from every pair that belongs together to every other, step
// by step, and whatever is in effect at any moment of it, also when a step is cut, is safe.
import { describe, expect, test } from "bun:test";
import { lease, own } from "../../test/support/ha-situations.ts";
import type { PrimaryView } from "./observed.ts";
import {
  asynchronous,
  blocked,
  isCovered,
  isSafe,
  recordOf,
  type SyncRecord,
  type SyncSetting,
  sameRecord,
  sameSetting,
} from "./quorum.ts";
import {
  commitsAlone,
  nobody,
  noRecord,
  type SyncTarget,
  startSetting,
  stepTowards,
} from "./sync.ts";

const STANDBYS = ["a", "b", "c"];

/** Settings that somebody may ask for, each with its record. */
const TARGETS: readonly SyncTarget[] = [
  { setting: asynchronous, record: noRecord() },
  { setting: asynchronous, record: nobody(0) },
  ...["a", "b", "ab", "bc", "abc"].flatMap((names) => {
    const standbys = [...names];
    return standbys.map((_, index) => {
      const setting = { standbys, count: index + 1, blocked: false };
      return { setting, record: recordOf(setting, 0) };
    });
  }),
];

interface State {
  readonly setting: SyncSetting;
  readonly record: SyncRecord;
}

function primary(
  setting: SyncSetting,
  provenLsn: bigint | null,
  has: readonly string[],
): PrimaryView {
  return {
    kind: "primary",
    sinceMs: 0,
    timeline: 1,
    flushed: 100n,
    forks: [],
    gateLsn: 0n,
    gate: "open",
    checkpointDone: true,
    sync: { setting, provenLsn },
    standbys: STANDBYS.map((instance) => ({
      instance,
      streaming: true,
      flushed: has.includes(instance) ? 100n : 0n,
      replyAgeMs: 0,
    })),
    missing: [],
  };
}

/** Goes from one target to another; `see` gets everything that may be in effect at once. */
function walk(
  from: SyncTarget,
  to: SyncTarget,
  has: readonly string[],
  see: (settings: readonly SyncSetting[], records: readonly SyncRecord[]) => void,
): State {
  let state: State = from;
  for (let steps = 0; steps < 12; steps += 1) {
    const step = stepTowards(to, state.record, primary(state.setting, 50n, has));
    if (step.record) {
      see([state.setting], [state.record, step.record]);
      state = { ...state, record: step.record };
    } else if (!sameSetting(step.setting, state.setting)) {
      see([state.setting, step.setting], [state.record]);
      const unproven = stepTowards(to, state.record, primary(step.setting, null, has));
      if (unproven.record) see([state.setting, step.setting], [state.record, unproven.record]);
      state = { ...state, setting: step.setting };
    } else return state;
  }
  throw new Error(`no end: ${JSON.stringify({ from, to, state })}`);
}

describe("every way", () => {
  test("is safe at every moment, cut anywhere", () => {
    let moments = 0;
    for (const from of TARGETS) {
      for (const to of TARGETS) {
        walk(from, to, STANDBYS, (settings, records) => {
          moments += 1;
          for (const setting of settings) {
            for (const record of records) expect(isSafe(setting, record)).toBe(true);
          }
        });
      }
    }
    expect(moments).toBeGreaterThan(200);
  });

  test("arrives when every standby has caught up", () => {
    for (const from of TARGETS) {
      for (const to of TARGETS) {
        const end = walk(from, to, STANDBYS, () => {});
        expect(sameSetting(end.setting, to.setting)).toBe(true);
        expect(sameRecord(end.record, to.record)).toBe(true);
      }
    }
  });

  test("never records somebody who may lack a commit, however few have caught up", () => {
    for (const has of [[], ["a"], ["b"], ["a", "b"]]) {
      for (const from of TARGETS) {
        const old = from.record;
        const covers = (record: SyncRecord) => isCovered(record, has);
        for (const to of TARGETS) {
          walk(from, to, has, (_, records) => {
            const last = records.at(-1);
            // A wider record than the old one needs those who caught up; a narrower one has nobody new.
            if (last && covers(old) && last.mode === "on") expect(covers(last)).toBe(true);
          });
        }
      }
    }
  });

  test("waits for the proof of a setting before the record follows", () => {
    const to = { standbys: ["a"], count: 1, blocked: false };
    const target = { setting: to, record: recordOf(to, 0) };
    const unproven = stepTowards(target, nobody(3), primary(to, null, STANDBYS));
    expect(unproven.record).toBeNull();
    const proven = stepTowards(target, nobody(3), primary(to, 50n, STANDBYS));
    expect(proven.record).toMatchObject({ version: 4, voters: ["a"], quorum: 1 });
    const behind = stepTowards(target, nobody(3), primary(to, 50n, []));
    expect(behind).toMatchObject({ record: null, waits: "a to catch up" });
  });
});

describe("a commit that waits for nobody", () => {
  const waiting: SyncSetting = { standbys: ["a"], count: 1, blocked: false };
  const holds = (sync: SyncRecord) => own(lease({ sync }));

  test("is covered by every record that follows while nobody is waited for", () => {
    for (const setting of [asynchronous, blocked]) {
      expect(commitsAlone(holds(nobody(3)), primary(setting, 50n, []))).toBe(true);
    }
  });

  test("may be missing from a standby that is about to be recorded", () => {
    // The next renewal may name it: it has everything up to the proof, and the commit comes after that.
    const proven = primary(waiting, 50n, ["a"]);
    const target = { setting: waiting, record: recordOf(waiting, 0) };
    expect(stepTowards(target, nobody(3), proven).record).toMatchObject({ voters: ["a"] });
    expect(commitsAlone(holds(nobody(3)), proven)).toBe(false);
    expect(commitsAlone(holds(nobody(3)), primary(waiting, null, []))).toBe(false);
  });

  test("may be missing where somebody is recorded, may be recorded by now, or the lease is not held", () => {
    const alone = primary(asynchronous, 50n, []);
    const recorded = recordOf(waiting, 4);
    expect(commitsAlone(holds(recorded), alone)).toBe(false);
    expect(commitsAlone(holds(noRecord()), alone)).toBe(false);
    const changing = { sync: recorded };
    expect(commitsAlone({ ...holds(nobody(3)), changing }, alone)).toBe(false);
    expect(commitsAlone(null, alone)).toBe(false);
  });
});

describe("starting", () => {
  const strict = {
    mode: "on",
    count: 1,
    strict: true,
    selection: "first",
    degrade_after_ms: 0,
  } as const;

  test("is as strict as the record, and as every record that may be there", () => {
    const on = recordOf({ standbys: ["a"], count: 1, blocked: false }, 1);
    expect(startSetting([on], strict)).toMatchObject({ standbys: ["a"], count: 1 });
    expect(startSetting([nobody(1)], { ...strict, strict: false })).toEqual(asynchronous);
    expect(startSetting([nobody(1)], strict)).toEqual(blocked);
    const both = startSetting([nobody(1), on], { ...strict, strict: false });
    expect(both).toMatchObject({ standbys: ["a"], count: 1 });
    const other = recordOf({ standbys: ["b"], count: 1, blocked: false }, 2);
    expect(startSetting([on, other], strict)).toEqual(blocked);
  });
});
