import { expect, test } from "bun:test";
import { isNewer } from "./care.ts";

test("only a later version is brought to a host: members of two versions do not undo each other's work", () => {
  expect(isNewer("1.2.3", "1.2.2")).toBe(true);
  expect(isNewer("1.10.0", "1.9.9")).toBe(true);
  expect(isNewer("2.0.0", "1.99.99")).toBe(true);
  for (const [own, other] of [
    ["1.2.3", "1.2.3"],
    ["1.2.2", "1.2.3"],
    ["0.0.0-dev", "0.0.0"],
  ] as const) {
    expect(isNewer(own, other)).toBe(false);
  }
});
