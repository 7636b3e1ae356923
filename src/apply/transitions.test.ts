import { expect, test } from "bun:test";
import { isFinal, mayBecome, STORED_TASK_STATUSES, statusesBefore } from "./transitions.ts";

test("every status is reached from pending, and none leads back", () => {
  const reached = new Set<string>(["pending"]);
  for (let round = 0; round < STORED_TASK_STATUSES.length; round++) {
    for (const to of STORED_TASK_STATUSES) {
      if (statusesBefore(to).some((from) => reached.has(from))) reached.add(to);
    }
  }
  expect([...reached].sort()).toEqual([...STORED_TASK_STATUSES].sort());
  for (const from of STORED_TASK_STATUSES) {
    for (const to of STORED_TASK_STATUSES) {
      if (mayBecome(from, to)) expect(mayBecome(to, from)).toBe(false);
    }
  }
});

test("every status that is not final leads to one that is", () => {
  for (const from of STORED_TASK_STATUSES.filter((status) => !isFinal(status))) {
    const next = STORED_TASK_STATUSES.filter((to) => mayBecome(from, to));
    const further = next.flatMap((via) => STORED_TASK_STATUSES.filter((to) => mayBecome(via, to)));
    expect([...next, ...further].some(isFinal)).toBe(true);
  }
});
