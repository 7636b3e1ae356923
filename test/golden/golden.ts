// Texts that a person reviews: a test compares with the file, and writes it when UPDATE_GOLDEN is set.
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Compares with `test/golden/<path>`; with UPDATE_GOLDEN=1 the file is written instead. */
export function expectGolden(path: string, actual: string): void {
  const file = join(import.meta.dir, path);
  if (process.env.UPDATE_GOLDEN === "1") {
    writeFileSync(file, actual);
    return;
  }
  if (!existsSync(file))
    throw new Error(`${file} is missing: run with UPDATE_GOLDEN=1 and read it`);
  expect(actual).toBe(readFileSync(file, "utf8"));
}
