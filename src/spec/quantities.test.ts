import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { parseCpus, parseMemory } from "./quantities.ts";

test.each([
  ["0", 0],
  ["1", 1],
  ["0.5", 0.5],
  ["500m", 0.5],
  ["1m", 0.001],
  ["0.001", 0.001],
  ["2.125", 2.125],
  ["1500m", 1.5],
])("%s CPUs are %d", (text, cpus) => {
  expect(parseCpus(text)).toEqual({ ok: true, value: cpus });
});

test.each(["", "x", "-1", "1.", ".5", "0.0001", "1 ", "1e3", "0.5m", "9".repeat(10)])(
  "%j are no CPUs",
  (text) => {
    expect(parseCpus(text).ok).toBe(false);
  },
);

test.each([
  ["0", 0],
  ["1024", 1024],
  ["1B", 1],
  ["1k", 1_000],
  ["1kB", 1_000],
  ["1KiB", 1_024],
  ["1Ki", 1_024],
  ["512MiB", 536_870_912],
  ["512 MiB", 536_870_912],
  ["1GB", 1_000_000_000],
  ["1gb", 1_000_000_000],
  ["1GiB", 1_073_741_824],
  ["1.5GB", 1_500_000_000],
  ["1.1GiB", 1_181_116_006],
  ["2TB", 2_000_000_000_000],
  ["1PiB", 1_125_899_906_842_624],
])("%s is %d bytes", (text, bytes) => {
  expect(parseMemory(text)).toEqual({ ok: true, value: bytes });
});

test.each(["", "GB", "x", "-1GB", "1XB", "1iB", "1.GB", "1GBB", "1,5GB", "1e3", "9EB", "NaN"])(
  "%j is no memory",
  (text) => {
    expect(parseMemory(text).ok).toBe(false);
  },
);

test("CPUs are exact to the thousandth in both notations", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999 }), (milli) => {
      const decimal = `${Math.floor(milli / 1000)}.${String(milli % 1000).padStart(3, "0")}`;
      expect(parseCpus(`${milli}m`)).toEqual({ ok: true, value: milli / 1000 });
      expect(parseCpus(decimal)).toEqual({ ok: true, value: milli / 1000 });
    }),
  );
});

test("memory is exact to the byte in every unit", () => {
  const units: [string, bigint][] = [
    ["B", 1n],
    ["kB", 10n ** 3n],
    ["MB", 10n ** 6n],
    ["GB", 10n ** 9n],
    ["KiB", 2n ** 10n],
    ["MiB", 2n ** 20n],
    ["GiB", 2n ** 30n],
  ];
  fc.assert(
    fc.property(fc.nat({ max: 8_000_000 }), fc.constantFrom(...units), (count, [unit, size]) => {
      const value = Number(BigInt(count) * size);
      expect(parseMemory(`${count}${unit}`)).toEqual({ ok: true, value });
    }),
  );
});
