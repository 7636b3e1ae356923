import { expect, test } from "bun:test";
import { formatLsn, parseLsn } from "./lsn.ts";

test("positions keep all 64 bits", () => {
  expect(parseLsn("0/3000060")).toBe(0x3000060n);
  expect(parseLsn("FFFFFFFF/FFFFFFFF")).toBe(2n ** 64n - 1n);
  expect(formatLsn(2n ** 64n - 1n)).toBe("FFFFFFFF/FFFFFFFF");
  expect(formatLsn(0x1_0000_0000n + 0xabcn)).toBe("1/ABC");
  for (const wrong of ["", "0", "0/", "/0", "x/0", "0/123456789"]) {
    expect(parseLsn(wrong)).toBeUndefined();
  }
});
