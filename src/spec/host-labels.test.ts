import { expect, test } from "bun:test";
import { parseSelector, validateLabels } from "./host-labels.ts";

const labels = { zone: "a", "example.com/rack": "7", ssd: "" };

test.each([
  ["zone=a", true],
  ["zone=b", false],
  ["zone!=b", true],
  ["zone!=a", false],
  ["disk!=hdd", true],
  ["ssd", true],
  ["!ssd", false],
  ["!disk", true],
  ["ssd=", true],
  ["zone=a,ssd", true],
  ["zone=a, !ssd", false],
  ["example.com/rack=7", true],
])("%s", (text, matches) => {
  expect(parseSelector(text)?.(labels)).toBe(matches);
});

test.each(["", "zone=a,", "!zone=a", "=a", "zo ne", "a/b/c", "-a"])("%p is no selector", (text) => {
  expect(parseSelector(text)).toBeUndefined();
});

test("keys that are none, and too many labels, are named", () => {
  expect(validateLabels(labels, labels)).toEqual([]);
  const wrong = { "no spaces": "x", "": "y" };
  expect(validateLabels(wrong, wrong).map(({ path }) => path)).toEqual([
    "labels.no spaces",
    "labels.",
  ]);
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`l${n}`, ""]));
  expect(validateLabels(many, many).map(({ code }) => code)).toEqual(["too_many"]);
});
